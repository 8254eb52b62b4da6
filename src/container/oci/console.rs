//! Who takes the terminal of a program that nobody of ours stays with.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Context;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use oci_spec::runtime::Box as Size;

use crate::sys::{fd, tty};

/// Sends the terminal, of that size, to the socket that listens at `path`.
///
/// # Errors
/// Where nobody takes it.
pub fn hand_over(path: &Path, terminal: BorrowedFd<'_>, size: Option<Size>) -> anyhow::Result<()> {
    let send = || -> anyhow::Result<()> {
        if let Some(size) = size {
            let number = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
            tty::set_size(terminal, number(size.height()), number(size.width()))
                .context("set its size")?;
        }
        // Who takes it reads it as any other file.
        fcntl(terminal, FcntlArg::F_SETFL(OFlag::O_RDWR)).context("have it wait")?;
        let socket = UnixStream::connect(path)?;
        fd::send_with_descriptor(socket.as_fd(), b"console", terminal)?;
        Ok(())
    };
    send().with_context(|| format!("send the terminal to {path:?}"))
}
