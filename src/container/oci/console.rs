//! Who takes the terminal of a program that nobody of ours stays with.

use std::os::fd::BorrowedFd;
use std::path::Path;

use anyhow::Context;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use oci_spec::runtime::Box as Size;

use super::handing;
use crate::error::Explain;
use crate::sys::tty;

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
        handing::send(path, b"console", terminal)
    };
    send()
        .with_context(|| format!("send the terminal to {path:?}"))
        .hint("--console-socket is where somebody listens who takes it, as an engine does")
}
