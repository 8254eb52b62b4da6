//! Files of the store: opened by descriptor, never through a link, read whole
//! and written whole.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use nix::NixPath;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::{UnlinkatFlags, fdatasync, ftruncate, unlinkat};

use crate::error::Explain;
use crate::host::advice::table::files as table;
use crate::sys::{Errno, Result, fd, path};

/// The record.
pub const RECORD: &str = "record.json";
/// The next one while it is written; afterwards the one before. Written over
/// in place, it takes no room: a full disk doesn't keep us from saying how a
/// container has ended.
pub const OTHER: &str = "record.other";
/// What was asked for.
pub const SPEC: &str = "spec.json";

/// The longest record that is read: more than any command line that the kernel
/// takes.
const LIMIT: u64 = 16 << 20;

/// Opens a directory of `parent` for reading.
pub fn open_directory(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Opens a file of `parent`; one that is made is the owner's alone.
pub fn open_file(parent: BorrowedFd<'_>, name: &str, flags: OFlag) -> Result<OwnedFd> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
}

/// What a file holds.
#[derive(Debug)]
pub enum Content {
    /// There is no such file.
    Missing,
    /// It is none that we have written, and why.
    Strange(String),
    /// All of it.
    Bytes(Vec<u8>),
}

/// Reads a file that ought to be a record.
///
/// # Errors
/// What says nothing of the file itself: no memory, no descriptors, a disk
/// that fails.
pub fn read(parent: BorrowedFd<'_>, name: &str) -> Result<Content> {
    let file = match open_file(parent, name, OFlag::O_RDONLY) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return Ok(Content::Missing),
        Err(Errno::ELOOP) => return Ok(Content::Strange("it is a symbolic link".to_owned())),
        Err(Errno::ENXIO) => return Ok(Content::Strange("it is a socket".to_owned())),
        Err(errno) => return Err(errno),
    };
    let status = fstat(&file)?;
    if kind(&status) != SFlag::S_IFREG {
        return Ok(Content::Strange("it is not a regular file".to_owned()));
    }
    // A first look, before room is made for it; it could grow meanwhile.
    if status.st_size as u64 > LIMIT {
        return Ok(Content::Strange(format!("it has {} bytes", status.st_size)));
    }
    let mut bytes = Vec::with_capacity(status.st_size as usize + 1);
    match File::from(file).take(LIMIT).read_to_end(&mut bytes) {
        Ok(_) => Ok(Content::Bytes(bytes)),
        Err(error) => Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
    }
}

/// Whether a record has to survive a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It means nothing after that.
    None,
    /// It does; costs nothing where the directory is in memory.
    Disk,
}

/// Whether there is a record already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is none.
    First,
    /// There is one; it is [`OTHER`] afterwards.
    Later,
}

/// Writes a file that means nothing before there is a record.
pub fn write_ahead(
    container: BorrowedFd<'_>,
    name: &str,
    bytes: &[u8],
    durability: Durability,
) -> Result<()> {
    let on_disk = durability == Durability::Disk && !in_memory(container)?;
    let file = fill(container, name, OFlag::O_EXCL, bytes)?;
    if on_disk { fdatasync(&file) } else { Ok(()) }
}

/// Opens a file, made if need be, and writes to its beginning.
fn fill(container: BorrowedFd<'_>, name: &str, flags: OFlag, bytes: &[u8]) -> Result<OwnedFd> {
    // Beyond the limit a write ends the process, setrlimit(2).
    if getrlimit(Resource::RLIMIT_FSIZE)?.0 < bytes.len() as u64 {
        return Err(Errno::EFBIG);
    }
    let file = open_file(container, name, OFlag::O_WRONLY | OFlag::O_CREAT | flags)?;
    fd::write_all(file.as_fd(), bytes)?;
    Ok(file)
}

/// Puts a record into a container's directory, whole or not at all.
pub fn write(
    container: BorrowedFd<'_>,
    bytes: &[u8],
    turn: Turn,
    durability: Durability,
) -> Result<()> {
    let file = fill(container, OTHER, OFlag::empty(), bytes)?;
    if turn == Turn::Later {
        // What was longer and lay there before.
        ftruncate(&file, bytes.len() as i64)?;
    }
    let on_disk = durability == Durability::Disk && !in_memory(container)?;
    if on_disk {
        fdatasync(&file)?;
    }
    let exchanged = match turn {
        Turn::First => Err(Errno::EINVAL),
        Turn::Later => OTHER
            .with_nix_path(|one| RECORD.with_nix_path(|two| path::exchange(container, one, two)))
            .flatten()
            .flatten(),
    };
    match exchanged {
        // Some file systems can't, such as NFS.
        Err(Errno::EINVAL) => renameat(container, OTHER, container, RECORD)?,
        exchanged => exchanged?,
    }
    if on_disk {
        nix::unistd::fsync(container)?;
    }
    Ok(())
}

/// Whether a directory is gone with the power anyway.
fn in_memory(directory: BorrowedFd<'_>) -> Result<bool> {
    let kind = nix::sys::statfs::fstatfs(directory)?.filesystem_type();
    Ok(kind == nix::sys::statfs::TMPFS_MAGIC)
}

/// Removes a directory with all there is below it. Others may be at the same:
/// what is gone is not missed.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &str) -> Result<()> {
    let directory = match open_directory(parent, name) {
        Ok(directory) => directory,
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let mut names = Vec::new();
    path::each_name(directory.as_fd(), |name| {
        names.push(name.to_string_lossy().into_owned());
    })?;
    for name in names.iter().filter(|name| !matches!(name.as_str(), "." | "..")) {
        match unlinkat(&directory, name.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::EISDIR) => remove_tree(directory.as_fd(), name)?,
            Err(errno) => return Err(errno),
        }
    }
    match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The kind of file that a status is of.
pub fn kind(status: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits())
}

/// Tells of a change that the file system at `path` has refused.
pub trait Refused<T> {
    /// Adds what was tried and what would help.
    fn refused(self, tried: &str, path: &Path) -> anyhow::Result<T>;
}

impl<T> Refused<T> for Result<T> {
    fn refused(self, tried: &str, path: &Path) -> anyhow::Result<T> {
        let errno = match self {
            Ok(done) => return Ok(done),
            Err(errno) => errno,
        };
        // What was to be made is not there to be looked at.
        let there = path.ancestors().find(|path| path.exists()).unwrap_or(path).display();
        let hint = match errno {
            Errno::ENOSPC | Errno::EDQUOT => table::STATE_FULL.advice(&[("path", &there)]).hint,
            Errno::EROFS | Errno::EACCES => table::STATE_READONLY.advice(&[("path", &there)]).hint,
            Errno::EFBIG => "raise the limit on the size of files: ulimit -f".to_owned(),
            _ => String::new(),
        };
        let told = Err(errno).with_context(|| format!("{tried} {}", path.display()));
        if hint.is_empty() { told } else { told.hint(hint) }
    }
}
