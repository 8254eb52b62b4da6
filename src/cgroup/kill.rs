//! Ends all that is in a cgroup.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use super::deadline::Deadline;
use super::refused::{Attempt, Refused};
use super::tree::Directory;
use crate::sys::process;

impl Directory {
    /// Kills every process here and below, those that are being forked too:
    /// cgroup.kill, from Linux 5.14; before, one by one until the deadline.
    /// It doesn't wait for their ends; frozen ones end, too.
    ///
    /// # Errors
    /// What the kernel says; ETIMEDOUT where they were made faster than killed.
    pub fn kill(&self, deadline: Deadline) -> Result<(), Refused> {
        match self.write("cgroup.kill", "1") {
            Err(refused) if refused.errno == Errno::ENOENT => self.kill_each(deadline),
            done => done,
        }
    }

    fn kill_each(&self, deadline: Deadline) -> Result<(), Refused> {
        while self.kill_round()? > 0 {
            if !deadline.pause() {
                return Err(self.refused(Attempt::Await("empty"), Errno::ETIMEDOUT));
            }
        }
        Ok(())
    }

    /// How many were found and sent a signal, here and below.
    fn kill_round(&self) -> Result<usize, Refused> {
        let open = |pid: &i32| Some((*pid, process::open_pidfd(Pid::from_raw(*pid)).ok()?));
        let held: Vec<(i32, OwnedFd)> =
            self.processes()?.iter().filter(|pid| **pid > 0).filter_map(open).collect();
        // A number that has meanwhile gone to a process elsewhere is not on the
        // list any more.
        let still = if held.is_empty() { Vec::new() } else { self.processes()? };
        let mut found = 0;
        for (_, process) in held.iter().filter(|(pid, _)| still.contains(pid)) {
            found += usize::from(process::send_signal(process.as_fd(), libc::SIGKILL).is_ok());
        }
        let names = self.children().map_err(|errno| self.refused(Attempt::Open, errno))?;
        for name in names {
            match self.child(&name.to_string_lossy()) {
                Ok(child) => found += child.kill_round()?,
                Err(refused) if refused.errno == Errno::ENOENT => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(found)
    }
}
