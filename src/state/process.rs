//! Which process is meant, for good.
//!
//! A pid is used again, after a reboot very soon. With the boot and the time
//! of its start, a process is not taken for another.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, bail};
use nix::libc;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::Explain;
use crate::sys::process::open_pidfd;
use crate::sys::{Errno, fd, path};

/// One process of one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The id that the kernel gives itself at each boot.
    pub boot: String,
    /// The process id, in the pid namespace of whoever noted it.
    pub pid: i32,
    /// When it started, in clock ticks since the boot: field 22 of
    /// /proc/PID/stat, proc_pid_stat(5).
    pub start: u64,
}

impl Identity {
    /// The process `pid`, which must still be the one meant: a child that is
    /// not yet reaped, or this process.
    ///
    /// # Errors
    /// Where /proc shows it to nobody.
    pub fn of(pid: Pid, boot: &str) -> anyhow::Result<Self> {
        Ok(Self { boot: boot.to_owned(), pid: pid.as_raw(), start: start_of(pid)? })
    }

    /// A descriptor of the process; `None` if it is gone, whoever has its pid
    /// now.
    ///
    /// # Errors
    /// Where that can't be found out.
    pub fn open(&self) -> anyhow::Result<Option<OwnedFd>> {
        if self.boot != boot()? {
            return Ok(None);
        }
        let pid = Pid::from_raw(self.pid);
        let process = match open_pidfd(pid) {
            Ok(process) => process,
            Err(Errno::ESRCH | Errno::EINVAL) => return Ok(None),
            Err(errno) => return Err(errno).with_context(|| format!("open process {pid}")),
        };
        // What was opened has the pid as long as it is not reaped: if what has
        // the pid now started then, it is the same.
        let same = start_of(pid).is_ok_and(|start| start == self.start);
        Ok(same.then_some(process))
    }
}

/// Whether the process `pid`, which must still be the one meant, has executed no
/// program yet, or has ended before it did. `false` for one that is gone: once its
/// parent has taken its end, nothing tells whether a program was executed before
/// that, and most have one.
pub fn never_executed(pid: Pid) -> bool {
    /// linux/sched.h.
    const PF_FORKNOEXEC: u64 = 0x40;
    let flags = read(&format!("/proc/{pid}/stat")).ok().and_then(|stat| parse(&stat, 9));
    flags.is_some_and(|flags| flags & PF_FORKNOEXEC != 0)
}

/// The id of this boot.
///
/// # Errors
/// Where /proc is not mounted.
pub fn boot() -> anyhow::Result<String> {
    let id = read("/proc/sys/kernel/random/boot_id")?;
    Ok(String::from_utf8_lossy(id.trim_ascii()).into_owned())
}

fn start_of(pid: Pid) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/stat");
    parse(&read(&path)?, 22).with_context(|| format!("make sense of {path}"))
}

/// The field of that number, from 3; proc_pid_stat(5). The second one is the
/// program's name in parentheses, which may hold spaces and parentheses itself.
fn parse(stat: &[u8], field: usize) -> Option<u64> {
    let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[name_ends + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(field - 3)?.parse().ok()
}

/// A small file of procfs, by one read.
fn read(path: &str) -> anyhow::Result<Vec<u8>> {
    let mut text = vec![0; 1024];
    let file = path::open_typed(&CString::new(path)?, libc::O_RDONLY);
    let length = file.and_then(|file| fd::read(file.as_fd(), &mut text));
    let length = length
        .with_context(|| format!("read {path}"))
        .hint("a procfs at /proc has to show one's own processes")?;
    if length == text.len() {
        bail!("{path} is longer than it should be");
    }
    text.truncate(length);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_behind_any_name() {
        let stat = |name: &str| {
            format!("7 ({name}) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9\n")
        };
        for name in ["sh", "a b", ")", ") R 1 1 1 1 1 (", "\u{1b}[2J"] {
            assert_eq!(parse(stat(name).as_bytes(), 22), Some(4711), "{name:?}");
            assert_eq!(parse(stat(name).as_bytes(), 9), Some(4_194_560), "{name:?}");
        }
        for text in ["", "7 (sh", "7 (sh) S 1 2"] {
            assert_eq!(parse(text.as_bytes(), 22), None);
        }
    }

    #[test]
    fn a_process_is_found_again() {
        let boot = boot().unwrap();
        let me = Identity::of(nix::unistd::getpid(), &boot).unwrap();
        assert!(me.open().unwrap().is_some());
        let earlier = Identity { start: me.start - 1, ..me.clone() };
        assert!(earlier.open().unwrap().is_none(), "another process with the same pid");
        let rebooted = Identity { boot: "another".to_owned(), ..me };
        assert!(rebooted.open().unwrap().is_none(), "the same numbers in another boot");
    }

    #[test]
    fn who_has_executed_something_is_known() {
        assert!(!never_executed(nix::unistd::getpid()));
        assert!(!never_executed(Pid::from_raw(i32::MAX)));
    }

    #[test]
    fn one_that_has_ended_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let identity = Identity::of(pid, &boot().unwrap()).unwrap();
        child.wait().unwrap();
        assert!(identity.open().unwrap().is_none());
        let nobody = Identity { pid: -1, ..identity };
        assert!(nobody.open().unwrap().is_none());
    }
}
