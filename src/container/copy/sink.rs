//! Makes the copy: files in a tree that somebody else may be changing.
//!
//! Below the directory that was named every name is opened in one that is open,
//! and no link is followed: whatever has a name there by now, nothing is made
//! anywhere else.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, anyhow, bail, ensure};
use nix::fcntl::AtFlags;
use nix::libc;
use nix::sys::stat::{
    FileStat, Mode, UtimensatFlags, fchmod, fstat, fstatat, futimens, mkdirat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{
    FchownatFlags, Gid, LinkatFlags, Uid, UnlinkatFlags, fchown, fchownat, linkat, mkfifoat,
    symlinkat, unlinkat,
};

pub use super::fill::Content;
use super::fill::fill;
use super::item::{Begin, Item, Kind};
use super::place::{Place, Split, shown, split};
use crate::error::Explain;
use crate::sys::{Errno, path};

/// Whose the copies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Whoever makes them.
    Maker,
    /// This user and group.
    Fixed(u32, u32),
    /// Those that the items have.
    Kept,
}

/// Where the copy is made.
#[derive(Debug)]
pub struct Sink {
    base: OwnedFd,
    /// What the copy is called there; `None` where what is in the source goes
    /// into the base itself.
    name: Option<Vec<u8>>,
    /// The directories that lead to where the last item was made.
    open: Vec<Level>,
    owner: Owner,
    /// The bits of a mode that are not taken over.
    without: u32,
}

#[derive(Debug)]
struct Level {
    name: Vec<u8>,
    directory: OwnedFd,
    /// What it is to be like once all in it is there; `None` for one that was
    /// there before.
    made: Option<Item>,
}

const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY;

/// Set-user-id and set-group-id.
pub const SET_ID: u32 = 0o6000;

impl Sink {
    /// Finds out what the copy of `begin` is called and where it is made: into
    /// a directory that is there, else under the name that was given.
    ///
    /// # Errors
    /// Where there is no directory for it, or something that is none.
    pub fn find(
        place: &Place,
        text: &[u8],
        begin: &Begin,
        owner: Owner,
        without: u32,
    ) -> anyhow::Result<Self> {
        let told = || place.told(text);
        let sink = |base, name| Ok(Self { base, name, open: Vec::new(), owner, without });
        let there = match place.open(text, libc::O_PATH) {
            Ok(there) => {
                let facts = fstat(&there).with_context(|| format!("look at {}", told()))?;
                let kind = facts.st_mode & libc::S_IFMT;
                if !matches!(kind, libc::S_IFDIR | libc::S_IFREG) {
                    // It would be removed, and a device with it for all who use it.
                    return Err(anyhow!("{} is a device, a pipe or a socket", told()))
                        .hint("name a file or a directory; - is for a tar file by a pipe");
                }
                Some(kind == libc::S_IFDIR)
            }
            Err(error) if error.downcast_ref() == Some(&Errno::ENOENT) => None,
            Err(error) => return Err(error).with_context(|| format!("open {}", told())),
        };
        let open = |path: &[u8]| {
            place.open(path, DIRECTORY).with_context(|| format!("open {}", place.told(path)))
        };
        match (there, begin) {
            (Some(true), Begin::File(name) | Begin::Directory(name)) if !name.is_empty() => {
                sink(open(text)?, Some(name.clone()))
            }
            (Some(true), _) => sink(open(text)?, None),
            (Some(false), Begin::File(_))
            | (None, Begin::File(_))
            | (None, Begin::Directory(_)) => {
                let Split::Entry { parent, name } = whole_name(text, begin) else {
                    bail!("{} is not there, and a file is not copied to a directory", told());
                };
                sink(open(parent)?, Some(name.to_vec()))
            }
            (None, Begin::Contents) => {
                let Split::Entry { parent, name } = whole_name(text, begin) else {
                    bail!("{} is not there", told());
                };
                let parent = open(parent)?;
                let name_c = component(name)?;
                mkdirat(&parent, name_c.as_c_str(), Mode::from_bits_truncate(0o755))
                    .with_context(|| format!("make {}", told()))?;
                let base = path::open_component(parent.as_fd(), &name_c, DIRECTORY)
                    .with_context(|| format!("open {}", told()))?;
                sink(base, None)
            }
            (None, Begin::Stream) => bail!("{} is not there: a stream needs a directory", told()),
            (Some(false), _) => bail!("{} is not a directory", told()),
        }
    }

    /// The directory that all is made in, by device and inode.
    ///
    /// # Errors
    /// What fstat(2) says.
    pub fn identity(&self) -> anyhow::Result<(u64, u64)> {
        let facts = fstat(&self.base).context("look at the target")?;
        Ok((facts.st_dev, facts.st_ino))
    }

    /// Makes the copy of one item.
    ///
    /// # Errors
    /// What is in the way, with its path.
    pub fn take(&mut self, item: Item, content: Content<'_>) -> anyhow::Result<()> {
        let named = self.name.as_deref().filter(|_| item.path.is_empty());
        let told = shown(named.unwrap_or(&item.path));
        let copied = self.make(item, content);
        copied.with_context(|| format!("make {told}"))
    }

    fn make(&mut self, item: Item, content: Content<'_>) -> anyhow::Result<()> {
        let components = self.components(&item.path)?;
        let Some((name, above)) = components.split_last() else {
            // The directory whose content is copied: it is there.
            return Ok(());
        };
        self.go_to(above)?;
        let parent = self.here().try_clone_to_owned().context("open its directory once more")?;
        let c_name = component(name)?;
        match &item.kind {
            Kind::Directory => self.directory(name.clone(), item),
            Kind::File(size) => {
                clear(parent.as_fd(), &c_name)?;
                let file = File::from(path::create_file(parent.as_fd(), &c_name, 0o600)?);
                fill(&file, content, *size).context("write it")?;
                self.finish(file.as_fd(), &item)
            }
            Kind::Link(target) => {
                clear(parent.as_fd(), &c_name)?;
                let target = CString::new(target.clone())?;
                symlinkat(target.as_c_str(), &parent, c_name.as_c_str())?;
                self.own_link(parent.as_fd(), &c_name, &item)
            }
            Kind::Same(first) => {
                let components = self.components(first)?;
                let (first, above) = components.split_last().context("it has no name")?;
                let mut at = self.base.try_clone()?;
                for part in above {
                    at = path::open_component(at.as_fd(), &component(part)?, DIRECTORY)?;
                }
                clear(parent.as_fd(), &c_name)?;
                let first = component(first)?;
                linkat(&at, first.as_c_str(), &parent, c_name.as_c_str(), LinkatFlags::empty())?;
                Ok(())
            }
            Kind::Pipe => {
                clear(parent.as_fd(), &c_name)?;
                let mode = Mode::from_bits_truncate(item.mode & 0o777);
                mkfifoat(&parent, c_name.as_c_str(), mode)?;
                self.own_link(parent.as_fd(), &c_name, &item)
            }
        }
    }

    /// Gives the directories that are open still what they are to have.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn done(mut self) -> anyhow::Result<()> {
        while self.leave()? {}
        Ok(())
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(self.base.as_fd(), |level| level.directory.as_fd())
    }

    /// The names that lead to a path from the base. None of them leads up.
    fn components(&self, path: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
        let below = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        let all = self.name.iter().cloned().chain(below.map(<[u8]>::to_vec));
        let all: Vec<Vec<u8>> = all.collect();
        ensure!(
            all.iter().all(|part| part != b"." && part != b".." && !part.contains(&0)),
            "{} leads elsewhere",
            shown(path)
        );
        Ok(all)
    }

    /// Opens the directory that is called so, and closes those beside the way.
    fn go_to(&mut self, components: &[Vec<u8>]) -> anyhow::Result<()> {
        let common =
            self.open.iter().zip(components).take_while(|(level, name)| level.name == **name);
        let common = common.count();
        while self.open.len() > common {
            self.leave()?;
        }
        for name in &components[common..] {
            let changed = (0, libc::UTIME_NOW);
            let (path, kind) = (name.clone(), Kind::Directory);
            let item = Item { path, kind, mode: 0o755, uid: 0, gid: 0, changed };
            self.directory(name.clone(), item)?;
        }
        Ok(())
    }

    /// Makes a directory, if it is not there, and goes into it.
    fn directory(&mut self, name: Vec<u8>, item: Item) -> anyhow::Result<()> {
        let c_name = component(&name)?;
        let made = match mkdirat(self.here(), c_name.as_c_str(), Mode::S_IRWXU) {
            Ok(()) => Some(item),
            Err(Errno::EEXIST) => None,
            Err(errno) => return Err(errno.into()),
        };
        let directory = match path::open_component(self.here(), &c_name, DIRECTORY) {
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                bail!("there is something else that is not a directory")
            }
            Err(Errno::EMFILE) => {
                return Err(anyhow!("directories are nested too deep"))
                    .hint("each level takes a descriptor: ulimit -n 100000");
            }
            opened => opened?,
        };
        self.open.push(Level { name, directory, made });
        Ok(())
    }

    /// Leaves the innermost directory; false where there is none.
    fn leave(&mut self) -> anyhow::Result<bool> {
        let Some(level) = self.open.pop() else { return Ok(false) };
        if let Some(item) = level.made {
            let told = || format!("finish {}", shown(&item.path));
            self.finish(level.directory.as_fd(), &item).with_context(told)?;
        }
        Ok(true)
    }

    fn owner_of(&self, item: &Item) -> Option<(Uid, Gid)> {
        let (uid, gid) = match self.owner {
            Owner::Maker => return None,
            Owner::Fixed(uid, gid) => (uid, gid),
            Owner::Kept => (item.uid, item.gid),
        };
        Some((Uid::from_raw(uid), Gid::from_raw(gid)))
    }

    /// Owner before mode, which a change of the former takes bits from.
    fn finish(&self, made: BorrowedFd<'_>, item: &Item) -> anyhow::Result<()> {
        if let Some((uid, gid)) = self.owner_of(item) {
            fchown(made, Some(uid), Some(gid)).context("give it its owner")?;
        }
        let mode = item.mode & 0o7777 & !self.without;
        fchmod(made, Mode::from_bits_truncate(mode)).context("give it its mode")?;
        let time = time(item);
        futimens(made, &time, &time).context("give it its time")
    }

    /// The same for what is never opened.
    fn own_link(&self, at: BorrowedFd<'_>, name: &CString, item: &Item) -> anyhow::Result<()> {
        if let Some((uid, gid)) = self.owner_of(item) {
            let flags = FchownatFlags::AT_SYMLINK_NOFOLLOW;
            fchownat(at, name.as_c_str(), Some(uid), Some(gid), flags)
                .context("give it its owner")?;
        }
        let (time, flags) = (time(item), UtimensatFlags::NoFollowSymlink);
        utimensat(at, name.as_c_str(), &time, &time, flags).context("give it its time")
    }
}

/// The name that a copy is to have which is not there yet: a directory's may end
/// with a slash.
fn whole_name<'a>(text: &'a [u8], begin: &Begin) -> Split<'a> {
    let end = text.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    match begin {
        Begin::File(_) => split(text),
        _ => split(&text[..end]),
    }
}

fn time(item: &Item) -> TimeSpec {
    match item.changed {
        (_, libc::UTIME_NOW) => TimeSpec::UTIME_NOW,
        // Not by the sum of two: nix panics beyond the year 2262, and a file of the
        // container's may be of any.
        (seconds, nanos) => TimeSpec::new(seconds, nanos),
    }
}

fn component(name: &[u8]) -> anyhow::Result<CString> {
    ensure!(!name.is_empty() && !name.contains(&b'/'), "{} is no name", shown(name));
    Ok(CString::new(name)?)
}

/// Removes what has this name, unless it is a directory.
fn clear(at: BorrowedFd<'_>, name: &CString) -> anyhow::Result<()> {
    match unlinkat(at, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        // The kernel's word for it; elsewhere EPERM may mean this too.
        Err(errno) => {
            let facts: Result<FileStat, _> =
                fstatat(at, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
            let directory = facts.is_ok_and(|it| it.st_mode & libc::S_IFMT == libc::S_IFDIR);
            ensure!(!directory, "there is a directory of that name");
            Err(errno).context("remove what was there")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_be_of_any_year() {
        for seconds in [i64::MIN, -1, 0, 9_300_000_000, i64::MAX] {
            let changed = (seconds, 5);
            let kind = Kind::File(0);
            let item = Item { path: Vec::new(), kind, mode: 0o644, uid: 0, gid: 0, changed };
            assert_eq!((time(&item).tv_sec(), time(&item).tv_nsec()), changed);
        }
    }
}
