//! A container that runs, as /proc shows it from outside.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, bail};
use nix::fcntl::{OFlag, open, openat};
use nix::libc;
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::unistd::Pid;

use super::caller::Setgroups;
use super::ids::{Mapping, parse_map};
use crate::error::Explain;
use crate::sys::fd::{Patience, wait_readable};
use crate::sys::process::open_pidfd;
use crate::sys::{Errno, Result};

/// What one process of it shows of its container.
#[derive(Debug)]
pub struct Inside {
    /// The process, as setns(2) takes it.
    pub process: OwnedFd,
    /// Its id.
    pub pid: Pid,
    /// Which of its namespaces are not ours: `CLONE_NEW*`.
    pub namespaces: i32,
    /// Users inside, and who they are outside.
    pub uids: Vec<Mapping>,
    /// Groups, likewise.
    pub gids: Vec<Mapping>,
    /// Whether groups can be set there.
    pub setgroups: Setgroups,
    /// Its root.
    pub root: OwnedFd,
}

const KINDS: [(&str, i32); 8] = [
    ("user", libc::CLONE_NEWUSER),
    ("pid", libc::CLONE_NEWPID),
    ("mnt", libc::CLONE_NEWNS),
    ("uts", libc::CLONE_NEWUTS),
    ("ipc", libc::CLONE_NEWIPC),
    ("net", libc::CLONE_NEWNET),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("time", libc::CLONE_NEWTIME),
];

/// The most that a map, or a list of children, is read of.
const MOST: u64 = 64 << 10;

impl Inside {
    /// What the process `pid` shows, which `process` refers to; `None` where it
    /// has ended meanwhile.
    ///
    /// # Errors
    /// Where the kernel lets us not look.
    pub fn of(process: OwnedFd, pid: Pid) -> anyhow::Result<Option<Self>> {
        let directory = open_directory(pid);
        let look = || {
            let directory = directory.as_ref().map_err(|errno| *errno)?;
            let read = |file: &str| read(directory.as_fd(), file);
            let map = |file: &str| {
                parse_map(&read(file)?).with_context(|| format!("make sense of /proc/{pid}/{file}"))
            };
            let denied = read("setgroups")?.trim_ascii() == b"deny";
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            Ok((
                namespaces(directory.as_fd())?,
                (map("uid_map")?, map("gid_map")?),
                if denied { Setgroups::Deny } else { Setgroups::Allow },
                openat(directory, "root", flags, Mode::empty())?,
            ))
        };
        let looked: anyhow::Result<_> = look();
        // What was opened by its number is that process's if it has that now. One
        // that is ending has no namespaces any more before it counts as ended.
        let ending = |error: &anyhow::Error| {
            let nothing = matches!(error.downcast_ref(), Some(Errno::ENOENT | Errno::ESRCH));
            // Else it is hidden from us, as proc(5) can be told to.
            nothing && directory.is_ok()
        };
        if has_ended(process.as_fd()) || looked.as_ref().is_err_and(ending) {
            return Ok(None);
        }
        let (namespaces, (uids, gids), setgroups, root) =
            looked.with_context(|| format!("look at the container's process {pid}")).hint(
                "its program may be one that you may not read: then the kernel lets nobody look",
            )?;
        Ok(Some(Self { process, pid, namespaces, uids, gids, setgroups, root }))
    }
}

/// The process that a reaper of ours has started: the first of its children.
/// Nobody may look into the reaper, but into that. `None` where one of them has
/// ended.
///
/// # Errors
/// What the kernel says.
pub fn behind(reaper: BorrowedFd<'_>, pid: Pid) -> anyhow::Result<Option<(OwnedFd, Pid)>> {
    let children = || read(open_directory(pid)?.as_fd(), &format!("task/{pid}/children"));
    let children: anyhow::Result<Vec<u8>> = children();
    if has_ended(reaper) {
        return Ok(None);
    }
    let children = children.with_context(|| format!("look for the children of process {pid}"))?;
    let first = children.split(|byte| *byte == b' ').next().unwrap_or_default();
    let first = std::str::from_utf8(first).ok().and_then(|word| word.parse().ok());
    let Some(first) = first.map(Pid::from_raw) else { return Ok(None) };
    let process = match open_pidfd(first) {
        Ok(process) => process,
        Err(Errno::ESRCH) => return Ok(None),
        Err(errno) => return Err(errno).with_context(|| format!("open process {first}")),
    };
    // Only the reaper reaps it; so if it is still the reaper's, it is the one.
    let still = parent(first).is_ok_and(|parent| parent == pid) && !has_ended(process.as_fd());
    Ok(still.then_some((process, first)))
}

/// The id that a process has for itself: in the innermost of its pid namespaces.
///
/// # Errors
/// Where it has ended.
pub fn own_number(pid: Pid) -> anyhow::Result<Pid> {
    let text = read(open_directory(pid)?.as_fd(), "status")?;
    let mut lines = text.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"NSpid:"));
    let last = line.and_then(|line| std::str::from_utf8(line).ok()?.split_whitespace().last());
    let number = last.and_then(|word| word.parse().ok());
    number.map(Pid::from_raw).with_context(|| format!("make sense of /proc/{pid}/status"))
}

fn open_directory(pid: Pid) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(format!("/proc/{pid}").as_str(), flags, Mode::empty())
}

fn read(directory: BorrowedFd<'_>, file: &str) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(1024);
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let opened = openat(directory, file, flags, Mode::empty());
    opened
        .map_err(anyhow::Error::new)
        .and_then(|opened| Ok(File::from(opened).take(MOST).read_to_end(&mut text)?))
        .with_context(|| format!("read its {file}"))?;
    Ok(text)
}

/// Field 4 of /proc/PID/stat.
fn parent(pid: Pid) -> anyhow::Result<Pid> {
    let stat = read(open_directory(pid)?.as_fd(), "stat")?;
    let behind_name = stat.rsplit(|byte| *byte == b')').next().unwrap_or_default();
    let mut words = std::str::from_utf8(behind_name)?.split_ascii_whitespace();
    match words.nth(1).and_then(|word| word.parse().ok()) {
        Some(parent) => Ok(Pid::from_raw(parent)),
        None => bail!("make sense of /proc/{pid}/stat"),
    }
}

fn namespaces(directory: BorrowedFd<'_>) -> anyhow::Result<i32> {
    let own = open_directory(Pid::this())?;
    let mut found = 0;
    for (name, kind) in KINDS {
        let path = format!("ns/{name}");
        let look = |at: BorrowedFd<'_>| -> anyhow::Result<Option<(u64, u64)>> {
            match fstatat(at, path.as_str(), nix::fcntl::AtFlags::empty()) {
                // A kernel may be built without.
                Err(Errno::ENOENT) if kind == libc::CLONE_NEWTIME => Ok(None),
                looked => {
                    let looked = looked.with_context(|| format!("look at its {name} namespace"));
                    looked.map(|FileStat { st_dev, st_ino, .. }| Some((st_dev, st_ino)))
                }
            }
        };
        if look(directory)? != look(own.as_fd())? {
            found |= kind;
        }
    }
    Ok(found)
}

/// Whether it has ended: a pidfd can be read then.
fn has_ended(process: BorrowedFd<'_>) -> bool {
    wait_readable([process], Patience::None) != Ok([false])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespaces_are_not_others() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let inside = Inside::of(open_pidfd(pid).unwrap(), pid).unwrap().unwrap();
        assert_eq!(inside.namespaces, 0);
        assert!(!inside.uids.is_empty() && !inside.gids.is_empty());
        assert_eq!(parent(pid).unwrap(), Pid::this());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Inside::of(inside.process, pid).unwrap().is_none(), "it has ended");
    }

    #[test]
    fn a_reapers_first_child_stands_for_it() {
        // Its own child, and one that is the child of that.
        let mut shell = std::process::Command::new("sh");
        let mut shell = shell.args(["-c", "sleep 60 & wait"]).spawn().unwrap();
        let pid = Pid::from_raw(shell.id() as i32);
        let process = open_pidfd(pid).unwrap();
        let found = (0..1000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            behind(process.as_fd(), pid).unwrap()
        });
        let (child, child_pid) = found.expect("a child");
        assert_eq!(parent(child_pid).unwrap(), pid);
        crate::sys::process::send_signal(child.as_fd(), libc::SIGKILL).unwrap();
        shell.wait().unwrap();
        assert!(behind(process.as_fd(), pid).unwrap().is_none(), "it has ended");
    }
}
