//! The socket by which the program speaks to the service manager.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;

use super::Outcome;
use super::report::Report;
use crate::plan::notify::NAME;
use crate::sys::{call, fd, socket};

/// Makes it in the container's /dev, for whoever is in there, and sends it
/// through `channel`.
pub fn open(dev: BorrowedFd<'_>, channel: BorrowedFd<'_>) -> Outcome {
    // A path from /dev on, so that nothing of the root is on it.
    fd::change_directory(dev)?;
    let made = socket::datagrams_at(NAME)?;
    // SAFETY: the kernel reads a string that ends.
    unsafe { call!(libc::SYS_fchmodat, dev.as_raw_fd(), NAME.as_ptr(), 0o666)? };
    Ok(fd::send_with_descriptor(channel, &Report::Notify.to_bytes(), made.as_fd())?)
}
