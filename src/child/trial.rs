//! A process of ours that tries something, and says how it went.
//!
//! Like a [companion](super::companion) it has a copy of the launcher's memory
//! and may take the heap; unlike one it may be born in new namespaces, and has
//! an answer. What it does to itself is gone with it.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Pid, pipe2};

use crate::sys::process::{self, Made, exit_now};
use crate::sys::{Result, confine, fd};

/// The process. Dropped, it is killed and reaped.
pub struct Trial {
    made: Made,
    answer: OwnedFd,
    go: Option<OwnedFd>,
}

/// The longest answer: what a pipe takes without being read.
const ANSWER: usize = 4096;

/// Tells the trial that it may go on.
pub struct Gate(OwnedFd);

impl Gate {
    /// Waits until it may. A launcher that is gone needs no answer.
    pub fn pass(&self) {
        if !matches!(fd::read(self.0.as_fd(), &mut [0]), Ok(1)) {
            exit_now(1);
        }
    }
}

impl Trial {
    /// Starts one in new namespaces, `CLONE_NEW*`, and in the control group at
    /// `cgroup`. It does `work`, whose bytes are the answer. Its standard input
    /// is as ours.
    ///
    /// # Errors
    /// What clone3(2) says; `EDEADLK` where the launcher has other threads,
    /// which might hold locks that the copy would wait for.
    pub fn start(
        namespaces: u64,
        cgroup: Option<BorrowedFd<'_>>,
        work: impl FnOnce(&Gate) -> Vec<u8>,
    ) -> Result<Self> {
        let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
        if threads.is_ok_and(|threads| threads != 1) {
            return Err(Errno::EDEADLK);
        }
        let (answer, tell) = pipe2(OFlag::O_CLOEXEC)?;
        let (gate, go) = pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: there is no other thread, so the copy of the heap is whole;
        // the child never returns, and drops nothing that it has a copy of.
        match unsafe { process::clone_copying(namespaces, cgroup)? } {
            Some(made) => Ok(Self { made, answer, go: Some(go) }),
            None => {
                // With our copy open, the launcher's end would not be noticed.
                drop(go);
                if confine::parent_death_signal(libc::SIGKILL).is_err() {
                    exit_now(1);
                }
                let mut answer = work(&Gate(gate));
                answer.truncate(ANSWER);
                let told = std::fs::File::from(tell).write_all(&answer);
                exit_now(told.is_err().into())
            }
        }
    }

    /// Its id, as the launcher sees it.
    pub fn pid(&self) -> Pid {
        self.made.pid
    }

    /// Lets it pass its gate.
    pub fn go(&mut self) {
        if let Some(go) = self.go.take() {
            // One that has ended needs not to know.
            let _ = fd::write(go.as_fd(), &[1]);
        }
    }

    /// What it has to say, and whether it said that in time: nothing where it
    /// ended without an answer.
    pub fn finish(self, deadline: Instant) -> Option<Vec<u8>> {
        if !readable(self.made.pidfd.as_fd(), deadline) {
            return None;
        }
        let mut answer = vec![0; ANSWER];
        // Ended, and so its answer is there, if it has one.
        let length = match readable(self.answer.as_fd(), Instant::now()) {
            true => fd::read(self.answer.as_fd(), &mut answer).unwrap_or(0),
            false => 0,
        };
        answer.truncate(length);
        Some(answer)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = process::send_signal(self.made.pidfd.as_fd(), libc::SIGKILL);
        let _ = process::wait(self.made.pidfd.as_fd());
    }
}

/// Whether there is something to read before `deadline`.
pub fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> bool {
    loop {
        // Rounded up, so that it is not asked in vain in the last millisecond.
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.as_nanos().div_ceil(Duration::from_millis(1).as_nanos());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut polled = [PollFd::new(fd, PollFlags::POLLIN)];
        match poll(&mut polled, timeout) {
            Err(Errno::EINTR) => {}
            Ok(count) => return count > 0,
            Err(_) => return false,
        }
    }
}
