//! Reads what is to be copied: a tree of files that somebody may be changing.
//!
//! Everything is opened by its name in a directory that is open, and no link is
//! followed below what was named. What it is, is asked of what was opened.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, anyhow, bail};
use nix::fcntl::{AtFlags, readlinkat};
use nix::libc;
use nix::sys::stat::{FileStat, fstat, fstatat};
use std::os::unix::ffi::OsStringExt;

use super::item::{Begin, Item, Kind};
use super::place::{Place, Split, shown, split};
use crate::error::Explain;
use crate::sys::{Errno, path};

/// What is to be copied.
#[derive(Debug)]
pub struct Source {
    start: Start,
    /// What the copy is called by.
    pub begin: Begin,
}

#[derive(Debug)]
enum Start {
    /// A name in a directory.
    Entry(OwnedFd, CString),
    /// A directory, open for reading.
    Directory(OwnedFd),
}

const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY;

impl Source {
    /// Looks for it. A link that is named last is copied as a link, unless a
    /// slash follows it.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn find(place: &Place, text: &[u8]) -> anyhow::Result<Self> {
        let what = || format!("open {}", place.told(text));
        let open = |path: &[u8], flags| place.open(path, flags).with_context(what);
        match split(text) {
            Split::Whole { contents: true, .. } => {
                let start = Start::Directory(open(text, DIRECTORY)?);
                Ok(Self { start, begin: Begin::Contents })
            }
            Split::Whole { name, .. } => {
                let start = Start::Directory(open(text, DIRECTORY)?);
                Ok(Self { start, begin: Begin::Directory(name.to_vec()) })
            }
            Split::Entry { parent, name } => {
                let parent = open(parent, libc::O_PATH | libc::O_DIRECTORY)?;
                let name_c = CString::new(name).with_context(what)?;
                let facts = fstatat(&parent, name_c.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
                let is_directory =
                    facts.with_context(what)?.st_mode & libc::S_IFMT == libc::S_IFDIR;
                let begin = match is_directory {
                    true => Begin::Directory(name.to_vec()),
                    false => Begin::File(name.to_vec()),
                };
                Ok(Self { start: Start::Entry(parent, name_c), begin })
            }
        }
    }

    /// Hands each item to `each`, directories before what is in them, and tells
    /// `note` of what is left out. The directory `avoid` (device and inode) is
    /// where the copy goes.
    ///
    /// # Errors
    /// What can't be read, and what `each` says.
    pub fn walk(
        self,
        avoid: (u64, u64),
        each: &mut dyn FnMut(Item, Option<OwnedFd>) -> anyhow::Result<()>,
        note: &mut dyn FnMut(String) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut walk = Walk { avoid, seen: HashMap::new(), ahead: Vec::new(), each, note };
        match self.start {
            Start::Entry(parent, name) => walk.visit(parent.as_fd(), &name, Vec::new())?,
            Start::Directory(directory) => walk.enter(directory, Vec::new())?,
        }
        while let Some(level) = walk.ahead.last_mut() {
            let Some(name) = level.names.pop() else {
                walk.ahead.pop();
                continue;
            };
            let mut path = level.path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            // Taken out, for what is found there may be another level.
            let directory = level.directory.try_clone().context("open a directory once more")?;
            walk.visit(directory.as_fd(), &name, path)?;
        }
        Ok(())
    }
}

struct Walk<'a> {
    avoid: (u64, u64),
    /// The first path of each file that has several.
    seen: HashMap<(u64, u64), Vec<u8>>,
    ahead: Vec<Level>,
    each: &'a mut dyn FnMut(Item, Option<OwnedFd>) -> anyhow::Result<()>,
    note: &'a mut dyn FnMut(String) -> anyhow::Result<()>,
}

/// A directory, and the names in it that are still to be visited.
struct Level {
    directory: OwnedFd,
    names: Vec<CString>,
    path: Vec<u8>,
}

impl Walk<'_> {
    fn visit(&mut self, parent: BorrowedFd<'_>, name: &CStr, path: Vec<u8>) -> anyhow::Result<()> {
        let told = shown(if path.is_empty() { name.to_bytes() } else { &path });
        let facts = match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(facts) => facts,
            // Gone meanwhile.
            Err(Errno::ENOENT) if !path.is_empty() => return Ok(()),
            Err(errno) => return Err(errno).with_context(|| format!("look at {told}")),
        };
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        let open = |more: i32| match path::open_component(parent, name, flags | more) {
            Ok(opened) => Ok(Some(opened)),
            // Gone, or something else by now: it is no part of the copy.
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR | Errno::ENXIO) => Ok(None),
            Err(Errno::EMFILE) => Err(anyhow!("directories are nested too deep"))
                .hint("each level takes a descriptor: ulimit -n 100000"),
            Err(errno) => Err(anyhow::Error::new(errno)),
        };
        let opened = |more| open(more).with_context(|| format!("open {told}"));
        match facts.st_mode & libc::S_IFMT {
            libc::S_IFDIR => match opened(libc::O_DIRECTORY)? {
                Some(directory) => self.enter(directory, path),
                None => Ok(()),
            },
            libc::S_IFREG => self.file(opened(0)?, path, &told),
            libc::S_IFLNK => match readlinkat(parent, name) {
                Ok(target) => self.give(path, Kind::Link(target.into_vec()), &facts, None),
                Err(_) => Ok(()),
            },
            libc::S_IFIFO => self.give(path, Kind::Pipe, &facts, None),
            kind => {
                let kind = match kind {
                    libc::S_IFSOCK => "a socket",
                    _ => "a device",
                };
                (self.note)(format!("{told} is left out: it is {kind}"))
            }
        }
    }

    fn enter(&mut self, directory: OwnedFd, path: Vec<u8>) -> anyhow::Result<()> {
        let told = || shown(&path);
        let facts = fstat(&directory).with_context(|| format!("look at {}", told()))?;
        if (facts.st_dev, facts.st_ino) == self.avoid && !self.ahead.is_empty() {
            bail!("{} is where the copy goes: it can't be copied into itself", told());
        }
        self.give(path.clone(), Kind::Directory, &facts, None)?;
        let mut names = Vec::new();
        path::each_name(directory.as_fd(), |name| {
            if name != c"." && name != c".." {
                names.push(name.to_owned());
            }
        })
        .with_context(|| format!("read {}", told()))?;
        // The last is visited first.
        names.sort_unstable_by(|one, other| other.cmp(one));
        self.ahead.push(Level { directory, names, path });
        Ok(())
    }

    fn file(&mut self, file: Option<OwnedFd>, path: Vec<u8>, told: &str) -> anyhow::Result<()> {
        let Some(file) = file else { return Ok(()) };
        let facts = fstat(&file).with_context(|| format!("look at {told}"))?;
        if facts.st_mode & libc::S_IFMT != libc::S_IFREG {
            return (self.note)(format!("{told} is left out: it changes while it is copied"));
        }
        if facts.st_nlink > 1 {
            let identity = (facts.st_dev, facts.st_ino);
            if let Some(first) = self.seen.get(&identity) {
                let same = Kind::Same(first.clone());
                return self.give(path, same, &facts, None);
            }
            self.seen.insert(identity, path.clone());
        }
        self.give(path, Kind::File(facts.st_size as u64), &facts, Some(file))
    }

    fn give(
        &mut self,
        path: Vec<u8>,
        kind: Kind,
        facts: &FileStat,
        content: Option<OwnedFd>,
    ) -> anyhow::Result<()> {
        let item = Item {
            path,
            kind,
            mode: facts.st_mode & 0o7777,
            uid: facts.st_uid,
            gid: facts.st_gid,
            changed: (facts.st_mtime, facts.st_mtime_nsec),
        };
        (self.each)(item, content)
    }
}
