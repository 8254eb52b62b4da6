//! A process of ours that works beside the launcher for as long as that lives.
//!
//! It has a copy of the launcher's memory, and so may take the heap; nothing of
//! the caller's environment in that copy may be seen by others.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::libc;

use super::confine::become_for_setup;
use crate::sys::process::{self, Made, exit_now};
use crate::sys::{Errno, Result, confine, fd};

/// The process. Dropped, it is killed and reaped.
pub struct Companion(Made);

impl Companion {
    /// Starts it; it does `work`, and ends. Of the launcher's descriptors it
    /// has those in `kept`; `work` may use no other, and holds the null device
    /// as its standard streams. What `work` changes is its own copy.
    ///
    /// # Errors
    /// What clone3(2) says; `EDEADLK` where the launcher has other threads,
    /// which might hold locks that the copy would wait for.
    pub fn start(kept: impl Iterator<Item = impl AsRawFd>, work: impl FnOnce()) -> Result<Self> {
        let hidden = |hidden: Result<()>| hidden.map_or((), |()| work());
        Self::begin(kept, confine::hide_memory, hidden)
    }

    /// The same, for work that the launcher itself might do: others may look into
    /// its memory as they may into the launcher's, and files of its own in /proc
    /// are its own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_alike(
        kept: impl Iterator<Item = impl AsRawFd>,
        work: impl FnOnce(),
    ) -> Result<Self> {
        Self::begin(kept, || Ok(()), |_| work())
    }

    /// The same, with the rights of a user of the user namespace that a process
    /// is in, and no others; `work` hears whether it has them.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_inside<'a>(
        kept: impl Iterator<Item = BorrowedFd<'a>>,
        process: BorrowedFd<'_>,
        (uid, gid): (u32, u32),
        work: impl FnOnce(Result<()>),
    ) -> Result<Self> {
        let enter = || {
            confine::hide_memory()?;
            process::join(process, libc::CLONE_NEWUSER)?;
            become_for_setup(uid, gid)?;
            // fs.suid_dumpable may be 1: a change of ids shows it again.
            confine::hide_memory()
        };
        Self::begin(kept, enter, work)
    }

    fn begin(
        kept: impl Iterator<Item = impl AsRawFd>,
        enter: impl FnOnce() -> Result<()>,
        work: impl FnOnce(Result<()>),
    ) -> Result<Self> {
        if !has_one_thread() {
            return Err(Errno::EDEADLK);
        }
        let null = File::options().read(true).write(true).open("/dev/null");
        let null = OwnedFd::from(null.map_err(|error| errno_of(&error))?);
        let mut kept: Vec<RawFd> = kept.map(|fd| fd.as_raw_fd()).collect();
        kept.extend([0, 1, 2]);
        // SAFETY: there is no other thread, so the copy of the heap is whole;
        // the child never returns.
        match unsafe { process::clone_copying(0, None)? } {
            Some(made) => Ok(Self(made)),
            None => {
                let streams = [0, 1, 2].map(|stream| fd::install(null.as_fd(), stream));
                if streams.iter().any(Result::is_err) {
                    exit_now(125);
                }
                let entered = enter();
                // SAFETY: the table of descriptors is the child's own (no
                // CLONE_FILES). `work` uses those in `kept`, and by exiting
                // nothing is dropped that was made before the clone.
                unsafe { fd::close_all_but(&mut kept) };
                work(entered);
                exit_now(0)
            }
        }
    }

    /// Its id, good as long as this value.
    pub fn pid(&self) -> nix::unistd::Pid {
        self.0.pid
    }

    /// Ready to be read once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.0.pidfd.as_fd()
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        let _ = process::send_signal(self.pidfd(), libc::SIGKILL);
        let _ = process::wait(self.pidfd());
    }
}

/// Whether a copy of the memory is whole: no other thread is about to change
/// it.
pub(super) fn has_one_thread() -> bool {
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    !threads.is_ok_and(|threads| threads != 1)
}

pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
