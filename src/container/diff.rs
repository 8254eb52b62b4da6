//! `sublet diff`: what a container has changed in its throw-away root.
//!
//! The upper layer of its overlay is a tmpfs that lies in nobody's reach, so
//! both trees are walked side by side: the root as the container sees it, and
//! what it was made of. A file that was not touched is the lower one to the
//! last detail, the time of its last change of any kind included, which nobody
//! can set (stat(2), `st_ctim`); what was touched is a copy, made later.
//!
//! The walk is done in the container's user and mount namespaces, as who owns
//! these: the caller's own rights don't reach the files of its other ids. No
//! path is followed; each name is opened in the directory that was read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use nix::fcntl::AtFlags;
use nix::libc;
use nix::sys::stat::{FileStat, fstatat};

use crate::error::Explain;
use crate::spec::Root;
use crate::state::{Identity, Life, Record};
use crate::sys::{Errno, confine, path, process};

/// What has become of a path; docker's letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It is new.
    Added,
    /// It is not as it was; of a directory also what is in it.
    Changed,
    /// It is gone.
    Deleted,
}

impl Became {
    /// docker's letter for it.
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'C',
            Self::Deleted => 'D',
        }
    }
}

/// Paths inside, in their order.
pub type Changes = BTreeMap<PathBuf, Became>;

/// Walks through both trees. This process is in the container's namespaces
/// afterwards and is to do nothing but tell of it.
///
/// # Errors
/// A container that doesn't run, or whose root is no overlay; what can't be
/// read.
pub fn diff(record: &Record) -> anyhow::Result<Changes> {
    let label = record.label();
    let lower = match record.asked.root.parse::<Root>() {
        Ok(Root::Overlay(path)) => path,
        Ok(Root::Host) => {
            return Err(anyhow!("the root of container {label} is the host's, read-only"))
                .hint("nothing in it can change; what is in its /home or /tmp is in memory");
        }
        _ => {
            return Err(anyhow!("the root of container {label} is a directory as it is")).hint(
                format!(
                    "changes are made in it at once, and how it was before is not kept; an overlay \
                     would tell: sublet run {}:O",
                    record.asked.root
                ),
            );
        }
    };
    let Life::Running { payload, .. } = &record.life else {
        return Err(anyhow!("container {label} does not run"))
            .hint("its changes were in memory, and went with its last process");
    };
    let original = open(&lower)?;
    let mounts = enter(payload).with_context(|| format!("go into container {label}"))?;
    let merged = open(Path::new("/"))?;
    let mut walk = Walk { mounts, changes: Changes::new() };
    walk.compare(merged.as_fd(), Some(original.as_fd()), Path::new("/"))?;
    walk.changes.remove(Path::new("/"));
    Ok(walk.changes)
}

fn open(directory: &Path) -> anyhow::Result<OwnedFd> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    path::open_typed(&path, libc::O_RDONLY | libc::O_DIRECTORY)
        .with_context(|| format!("open {}", directory.display()))
}

/// Goes into the user and mount namespaces of a process: the places at which
/// something is mounted there.
fn enter(payload: &Identity) -> anyhow::Result<HashSet<PathBuf>> {
    let process = payload.open()?.context("it has ended")?;
    let mounts = fs::read(format!("/proc/{}/mountinfo", payload.pid)).context("read its mounts")?;
    // Nothing in there may look into this process, which has the caller's
    // descriptors (ptrace(2)).
    confine::hide_memory().context("hide this process from it")?;
    process::join(process.as_fd(), libc::CLONE_NEWUSER | libc::CLONE_NEWNS)
        .context("join its namespaces")?;
    Ok(points(&mounts))
}

/// Field 5 of each line, in which blanks and backslashes are octal;
/// proc_pid_mountinfo(5).
fn points(mountinfo: &[u8]) -> HashSet<PathBuf> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let field = |line: &[u8]| {
        let field = line.split(|byte| *byte == b' ').nth(4)?;
        Some(PathBuf::from(OsStr::from_bytes(&unescaped(field))))
    };
    lines.filter_map(field).collect()
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::new(), field);
    while let Some((byte, behind)) = rest.split_first() {
        let octal = behind.get(..3).filter(|_| *byte == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(value) => {
                plain.push(value);
                rest = &behind[3..];
            }
            None => {
                plain.push(*byte);
                rest = behind;
            }
        }
    }
    plain
}

struct Walk {
    mounts: HashSet<PathBuf>,
    changes: Changes,
}

impl Walk {
    /// Compares a directory with what it was, if it was there: whether
    /// something in it has changed.
    fn compare(
        &mut self,
        now: BorrowedFd<'_>,
        before: Option<BorrowedFd<'_>>,
        at: &Path,
    ) -> anyhow::Result<bool> {
        let read = |directory| names(directory).with_context(|| format!("read {}", at.display()));
        let here = read(now)?;
        let there = before.map(read).transpose()?.unwrap_or_default();
        let mut changed = false;
        for name in here.union(&there) {
            let place = at.join(OsStr::from_bytes(name.to_bytes()));
            // What lies under a mount is not the root's; a place that was made
            // for one is not the container's doing.
            if self.mounts.contains(&place) {
                continue;
            }
            let old = before.map(|before| status(before, name)).transpose();
            let (new, old) = (status(now, name), old.map(Option::flatten));
            let (new, old) = new
                .and_then(|new| Ok((new, old?)))
                .with_context(|| format!("look at {}", place.display()))?;
            let became = match (new, old) {
                (None, None) => continue,
                (None, Some(_)) => Some(Became::Deleted),
                (Some(new), old) => {
                    let inside = self.below((now, before), (new, old), name, &place)?;
                    match old {
                        None => Some(Became::Added),
                        Some(old) if inside || !is_same(&new, &old) => Some(Became::Changed),
                        Some(_) => None,
                    }
                }
            };
            if let Some(became) = became {
                self.changes.insert(place, became);
                changed = true;
            }
        }
        Ok(changed)
    }

    /// The same for what is in a directory.
    fn below(
        &mut self,
        (now, before): (BorrowedFd<'_>, Option<BorrowedFd<'_>>),
        (new, old): (FileStat, Option<FileStat>),
        name: &CStr,
        place: &Path,
    ) -> anyhow::Result<bool> {
        if kind(&new) != libc::S_IFDIR {
            return Ok(false);
        }
        let look = || format!("open {}", place.display());
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let now = match path::open_component(now, name, flags) {
            Ok(now) => now,
            // Removed meanwhile.
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(false),
            Err(errno) => return Err(errno).with_context(look),
        };
        let was_directory = old.is_some_and(|old| kind(&old) == libc::S_IFDIR);
        let before = before.filter(|_| was_directory);
        let before = before.map(|before| path::open_component(before, name, flags)).transpose();
        let before = before.with_context(look)?;
        self.compare(now.as_fd(), before.as_ref().map(AsFd::as_fd), place)
    }
}

fn names(directory: BorrowedFd<'_>) -> Result<BTreeSet<CString>, Errno> {
    let mut names = BTreeSet::new();
    path::each_name(directory, |name| {
        if name != c"." && name != c".." {
            names.insert(name.to_owned());
        }
    })?;
    Ok(names)
}

fn status(directory: BorrowedFd<'_>, name: &CStr) -> Result<Option<FileStat>, Errno> {
    match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(status) => Ok(Some(status)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn kind(status: &FileStat) -> u32 {
    status.st_mode & libc::S_IFMT
}

/// Whether nothing was done to a file since. What a directory is made of beside
/// its names is its mode and its owner: its times change with what is in it.
fn is_same(new: &FileStat, old: &FileStat) -> bool {
    let owner = |status: &FileStat| (status.st_mode, status.st_uid, status.st_gid);
    if owner(new) != owner(old) {
        return false;
    }
    let facts = |it: &FileStat| {
        let times = (it.st_mtime, it.st_mtime_nsec, it.st_ctime, it.st_ctime_nsec);
        (it.st_size, it.st_rdev, times)
    };
    kind(new) == libc::S_IFDIR || facts(new) == facts(old)
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{ended, record};
    use super::*;
    use crate::error::report;
    use crate::state::End;

    #[test]
    fn places_of_mounts_may_have_blanks() {
        let text = b"36 35 98:0 /m /a\\040b\\134c rw - ext3 /dev/root rw\n1 2 0:1 / / rw - x y z\n";
        let found = points(text);
        assert_eq!(found, HashSet::from(["/a b\\c".into(), "/".into()]));
        assert_eq!(unescaped(b"\\9x\\"), b"\\9x\\");
    }

    #[test]
    fn where_it_can_not_be_told_it_is_said_why() {
        let told = |record: &Record| report(&diff(record).unwrap_err());
        let mut web = record(1, Some("web"));
        assert!(told(&web).contains("is the host's, read-only"));
        web.asked.root = "/srv/root".to_owned();
        let text = told(&web);
        assert!(text.contains("a directory as it is") && text.contains("/srv/root:O"), "{text}");
        web.asked.root = "/srv/root:O".to_owned();
        assert!(told(&ended(web, End::Code(0))).contains("does not run"));
    }
}
