//! Ending a container that has no pid namespace of its own.
//!
//! With one, the kernel ends every process when the first one ends. Under
//! `--pid host` what the payload has started would go on; it is found by its
//! user namespace, which is the container's alone, and killed.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use nix::unistd::Pid;

use crate::sys::fd::{self, Patience};
use crate::sys::path::{self, Status};
use crate::sys::process;
use crate::sys::{Errno, Result};

/// A user namespace, told from all others as long as a process is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserNamespace {
    dev: u64,
    ino: u64,
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
        let namespace = path::open_link(proc, link)?;
        let Status { dev, ino, .. } = path::status(namespace.as_fd())?;
        Ok(Self { dev, ino })
    }

    /// Kills every process in it. Takes no heap.
    pub fn sweep(self) {
        for _ in 0..PASSES {
            if self.kill_all() != Ok(true) {
                return;
            }
            let _ = fd::wait_readable([], Patience::Moment);
        }
    }

    /// One pass: whether there was any.
    fn kill_all(self) -> Result<bool> {
        let proc = path::open_typed(c"/proc", libc::O_RDONLY | libc::O_DIRECTORY)?;
        let mut found = false;
        path::each_name(proc.as_fd(), |name| {
            let Some(pid) = number(name) else { return };
            // The descriptor before the look: whatever becomes of the number,
            // the signal goes to the process that was looked at, or nowhere.
            let Ok(pidfd) = process::open_pidfd(Pid::from_raw(pid)) else { return };
            if Self::below(proc.as_fd(), name) != Ok(self) {
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
