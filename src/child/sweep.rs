//! Ending a container that has no pid namespace of its own.
//!
//! With one, the kernel ends every process when the first one ends. Under
//! `--pid host` what the payload has started would go on; it is found by its
//! user namespace, which is the container's alone, and killed.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::libc;
use nix::unistd::Pid;

use crate::sys::fd::{self, Patience};
use crate::sys::path::{self, Status};
use crate::sys::process;
use crate::sys::{Errno, Result};

/// A user namespace, held: the kernel gives the number of one that is gone to the
/// next, and that would be another container's.
#[derive(Debug)]
pub struct UserNamespace {
    held: OwnedFd,
    dev: u64,
    ino: u64,
}

impl PartialEq for UserNamespace {
    fn eq(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

impl AsFd for UserNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.held.as_fd()
    }
}

/// `/proc/PID/ns/user`, with room for every PID there can be.
const ROOM: usize = 32;

/// How often the processes are looked through: killed ones need a moment to
/// end, and what they forked before is only found next time.
const PASSES: usize = 500;

impl UserNamespace {
    /// The one that process `pid` is in; it must not have been reaped.
    ///
    /// # Errors
    /// Where it can't be looked at.
    pub fn of(pid: Pid) -> Result<Self> {
        let name = std::ffi::CString::new(pid.to_string()).map_err(|_| Errno::EINVAL)?;
        let proc = path::open_typed(c"/proc", libc::O_PATH | libc::O_DIRECTORY)?;
        Self::below(proc.as_fd(), &name)
    }

    fn below(proc: BorrowedFd<'_>, pid: &CStr) -> Result<Self> {
        let mut buffer = [0_u8; ROOM];
        let pid = pid.to_bytes();
        let end = pid.len() + b"/ns/user".len();
        if end >= ROOM {
            return Err(Errno::ENAMETOOLONG);
        }
        buffer[..pid.len()].copy_from_slice(pid);
        buffer[pid.len()..end].copy_from_slice(b"/ns/user");
        let link = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::EINVAL)?;
        let held = path::open_link(proc, link)?;
        let Status { dev, ino, .. } = path::status(held.as_fd())?;
        Ok(Self { held, dev, ino })
    }

    /// Kills every process in it. Takes no heap.
    pub fn sweep(&self) {
        for _ in 0..PASSES {
            if self.kill_all() != Ok(true) {
                return;
            }
            let _ = fd::wait_readable([], Patience::Moment);
        }
    }

    /// One pass: whether there was any.
    fn kill_all(&self) -> Result<bool> {
        let proc = path::open_typed(c"/proc", libc::O_RDONLY | libc::O_DIRECTORY)?;
        let mut found = false;
        path::each_name(proc.as_fd(), |name| {
            let Some(pid) = number(name) else { return };
            // The descriptor before the look: whatever becomes of the number,
            // the signal goes to the process that was looked at, or nowhere.
            let Ok(pidfd) = process::open_pidfd(Pid::from_raw(pid)) else { return };
            if Self::below(proc.as_fd(), name).as_ref() != Ok(self) {
                return;
            }
            // One that lived until now may have forked behind our back: then
            // there has to be another pass. What has ended and waits for its
            // parent is nobody any more.
            found |= fd::wait_readable([pidfd.as_fd()], Patience::None) == Ok([false]);
            let _ = process::send_signal(pidfd.as_fd(), libc::SIGKILL);
        })?;
        Ok(found)
    }
}

/// A name of digits as the number that it is.
fn number(name: &CStr) -> Option<i32> {
    let digits = name.to_bytes();
    digits.iter().try_fold(0_i32, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| i32::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};
    use std::time::Duration;

    use super::*;

    /// A process in a user namespace of its own.
    fn in_another() -> Option<(Child, UserNamespace)> {
        let ours = UserNamespace::of(Pid::this()).unwrap();
        let mut child = Command::new("unshare").args(["-U", "sleep", "600"]).spawn().ok()?;
        for _ in 0..500 {
            match UserNamespace::of(Pid::from_raw(child.id() as i32)) {
                Ok(theirs) if theirs != ours => return Some((child, theirs)),
                _ if child.try_wait().unwrap().is_some() => break,
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        None
    }

    #[test]
    fn no_other_is_taken_for_one_that_is_held() {
        let Some((mut child, held)) = in_another() else {
            eprintln!("skipped: unshare is not installed, or makes no user namespace here");
            return;
        };
        child.kill().unwrap();
        child.wait().unwrap();
        // The kernel lets go of it a moment later.
        std::thread::sleep(Duration::from_millis(500));
        let (mut child, other) = in_another().expect("another");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_ne!(held, other);
    }
}
