//! Who of an engine's listens at a socket gets a descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send as send_bytes, socket,
};

use crate::launch::pause;
use crate::sys::{Errno, fd};

/// How long somebody is waited for who doesn't accept or read, and how often he
/// is looked after.
const PATIENCE: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(20);

/// Sends `bytes`, and the descriptor with the first of them, to the stream socket
/// that listens at `path`.
///
/// # Errors
/// Where nobody takes it; a signal by which the user gives up.
pub fn send(path: &Path, bytes: &[u8], descriptor: BorrowedFd<'_>) -> anyhow::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let address = UnixAddr::new(path).map_err(|errno| anyhow!(errno.desc()))?;
    let until = Instant::now() + PATIENCE;
    patiently(until, || connect(socket.as_raw_fd(), &address))?;
    // All at once, if there is room: agents read it so.
    let first = || fd::stream_with_descriptor(socket.as_fd(), bytes, descriptor);
    let mut sent = patiently(until, first)?;
    while sent < bytes.len() {
        let rest = || send_bytes(socket.as_raw_fd(), &bytes[sent..], MsgFlags::MSG_NOSIGNAL);
        sent += patiently(until, rest)?;
    }
    Ok(())
}

/// Does what would have to wait, again and again.
fn patiently<T>(
    until: Instant,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> anyhow::Result<T> {
    loop {
        match attempt() {
            Err(Errno::EAGAIN) if until <= Instant::now() => {
                bail!("nobody has accepted and read it for {PATIENCE:?}")
            }
            Err(Errno::EAGAIN | Errno::EINTR) => pause(MOMENT)?,
            done => return done.map_err(|errno| anyhow!(errno.desc())),
        }
    }
}
