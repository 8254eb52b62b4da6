//! The process that takes the payload along when the launcher is killed.
//!
//! `PR_SET_PDEATHSIG` alone does not: a payload that changes its uid, or asks
//! for it, has none any more (prctl(2)). The watcher never runs anything of
//! the container's and cannot be seen from there, so nothing in it can be
//! talked out of its job. Being a process of the same program it also keeps the
//! launcher's own program file busy (ETXTBSY) until the last process of the
//! container is gone: nothing inside can overwrite it (CVE-2019-5736).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::sweep::UserNamespace;
use crate::sys::fd::Patience;
use crate::sys::process::{self, Made, exit_now};
use crate::sys::stack::Stack;
use crate::sys::{Errno, Result, fd};

/// The watcher, from the launcher's side.
pub struct Watcher {
    process: Made,
    /// What it runs on and what it reads: the launcher's memory.
    _memory: (Stack, Box<Watched>),
}

/// Whom it watches, by descriptors that it has a copy of.
struct Watched {
    launcher: OwnedFd,
    payload: OwnedFd,
    /// What to sweep in the end, where the payload's end is not everybody's.
    sweep: Option<UserNamespace>,
}

impl Watcher {
    /// Starts the watcher of `payload`, a process that this one has made; in
    /// the end it sweeps the user namespace that is given.
    ///
    /// All signals must be blocked: the watcher is not to be interrupted.
    ///
    /// # Errors
    /// What clone3(2) says, and `EMFILE`.
    pub fn start(payload: BorrowedFd<'_>, sweep: Option<UserNamespace>) -> Result<Self> {
        let launcher = process::open_pidfd(nix::unistd::getpid())?;
        let payload = payload.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
        let (stack, watched) = (Stack::new()?, Box::new(Watched { launcher, payload, sweep }));
        let argument = (&raw const *watched).cast();
        // SAFETY: stack and `watched` are kept in what is returned, whose drop
        // waits for the watcher's end first. `watch` makes system calls only.
        let process = unsafe { process::clone_sharing(0, &stack, watch, argument)? };
        Ok(Self { process, _memory: (stack, watched) })
    }
}

impl Drop for Watcher {
    /// Reaps the watcher, which ends by itself once the payload has.
    fn drop(&mut self) {
        let _ = process::wait(self.process.pidfd.as_fd());
    }
}

extern "C" fn watch(watched: *const ()) -> ! {
    // SAFETY: `start` passes a `Watched` that outlives this process and that
    // nobody changes.
    let Watched { launcher, payload, sweep } = unsafe { &*watched.cast::<Watched>() };
    // Away from the launcher's process group: what kills that must not kill
    // the watcher with it.
    let _ = process::new_session();
    close_all_but(launcher.as_raw_fd(), payload.as_raw_fd());
    let _ = wait_for([launcher.as_fd(), payload.as_fd()]);
    // Whoever it was: a payload that has ended takes no signal.
    let _ = process::send_signal(payload.as_fd(), nix::libc::SIGKILL);
    // Stays until every process of the pid namespace is gone, which is when
    // the kernel lets its first one be waited for.
    let _ = wait_for([payload.as_fd()]);
    if let Some(namespace) = sweep {
        namespace.sweep();
    }
    exit_now(0)
}

fn wait_for<const N: usize>(processes: [BorrowedFd<'_>; N]) -> Result<()> {
    loop {
        match fd::wait_readable(processes, Patience::Endless) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Closes the watcher's copies of all other descriptors: a pipe among them
/// would never see its end.
fn close_all_but(a: i32, b: i32) {
    let (low, high) = (a.min(b) as u32, a.max(b) as u32);
    // SAFETY: the table of descriptors is the watcher's own (no CLONE_FILES);
    // it uses `a` and `b` only, and drops nothing.
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
