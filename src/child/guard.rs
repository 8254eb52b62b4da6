//! The process that gives the caller's terminal back, should we be killed who
//! have put it into raw mode.

use std::os::fd::{AsFd, BorrowedFd};

use super::companion::Companion;
use crate::sys::fd::{self, Patience};
use crate::sys::tty::Lent;
use crate::sys::{Errno, Result, process};

/// The guard of a terminal. Dropped, it is gone.
pub struct Guard {
    _process: Companion,
}

impl Guard {
    /// Starts it, for a terminal that has its own modes still.
    ///
    /// # Errors
    /// What tcgetattr(3) and clone3(2) say.
    pub fn start(terminal: BorrowedFd<'_>) -> Result<Self> {
        let caller = process::open_pidfd(nix::unistd::getpid())?;
        let lent = Lent::new(terminal)?;
        // SAFETY: the number is that of the descriptor that `lent` holds.
        let number = unsafe { BorrowedFd::borrow_raw(lent.number()) };
        let work = || {
            // Away from the process group: what kills that must not kill the
            // guard with it.
            let _ = process::new_session();
            while fd::wait_readable([caller.as_fd()], Patience::Endless) == Err(Errno::EINTR) {}
            lent.give_back();
        };
        Companion::start([caller.as_fd(), number].into_iter(), work)
            .map(|process| Self { _process: process })
    }
}
