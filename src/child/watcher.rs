//! The process that takes the payload along when the launcher is killed.
//!
//! `PR_SET_PDEATHSIG` alone does not: a payload that changes its uid, or asks
//! for it, has none any more (prctl(2)). The watcher never runs anything of
//! the container's and cannot be seen from there, so nothing in it can be
//! talked out of its job. Being a copy of the launcher it also keeps the
//! launcher's own program file busy (ETXTBSY) until the last process of the
//! container is gone: nothing inside can overwrite it (CVE-2019-5736).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::process::{self, Cloned, exit_now};
use crate::sys::{Errno, Result, fd};

/// The watcher, from the launcher's side.
pub struct Watcher {
    pidfd: OwnedFd,
}

impl Watcher {
    /// Starts the watcher of `payload`, a process that this one has cloned.
    ///
    /// All signals must be blocked: the watcher is not to be interrupted.
    pub fn start(payload: BorrowedFd<'_>) -> Result<Self> {
        let launcher = process::open_pidfd(nix::unistd::getpid())?;
        // SAFETY: one thread; `watch` takes no heap and does not return.
        match unsafe { process::clone(0)? } {
            Cloned::Child => watch(launcher.as_fd(), payload),
            Cloned::Parent { pidfd, .. } => Ok(Self { pidfd }),
        }
    }
}

impl Drop for Watcher {
    /// Reaps the watcher, which ends by itself once the payload has.
    fn drop(&mut self) {
        let _ = process::wait(self.pidfd.as_fd());
    }
}

fn watch(launcher: BorrowedFd<'_>, payload: BorrowedFd<'_>) -> ! {
    // Away from the launcher's process group: what kills that must not kill
    // the watcher with it.
    let _ = nix::unistd::setsid();
    close_all_but(launcher.as_raw_fd(), payload.as_raw_fd());
    if ended(payload, Some(launcher)) {
        exit_now(0);
    }
    let _ = process::send_signal(payload, nix::libc::SIGKILL);
    // Stays until every process of the pid namespace is gone, which is when
    // the kernel lets its first one be waited for.
    ended(payload, None);
    exit_now(0)
}

/// Waits for the payload to end, or for the other one where there is one:
/// whether it was the payload.
fn ended(payload: BorrowedFd<'_>, other: Option<BorrowedFd<'_>>) -> bool {
    let other = other.unwrap_or(payload);
    loop {
        let mut both =
            [PollFd::new(payload, PollFlags::POLLIN), PollFd::new(other, PollFlags::POLLIN)];
        match poll(&mut both, PollTimeout::NONE) {
            Ok(_) => return both[0].any().unwrap_or(true),
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

fn close_all_but(a: i32, b: i32) {
    let (low, high) = (a.min(b) as u32, a.max(b) as u32);
    // SAFETY: the watcher uses `a` and `b` only, and leaves by _exit, which
    // drops nothing.
    unsafe {
        if low > 0 {
            let _ = fd::close_all(0, low - 1);
        }
        if high > low + 1 {
            let _ = fd::close_all(low + 1, high - 1);
        }
        let _ = fd::close_all(high + 1, u32::MAX);
    }
}
