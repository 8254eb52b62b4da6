//! Where the store is: the first directory that is the user's own.
//!
//! `$XDG_RUNTIME_DIR/sublet`, else `/run/user/UID/sublet`, else
//! `/tmp/sublet-UID`. Under /tmp anybody may have been there first, so the
//! directory is looked at once it is open: by its owner, its kind and its mode.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, OFlag, open};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, mkdirat};
use nix::unistd::geteuid;

use super::files::Refused;
use crate::error::Explain;
use crate::host::advice::table::files as table;
use crate::sys::{Errno, Result};

const FLAGS: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// For the owner alone.
const PRIVATE: u32 = 0o700;
/// The bits that let others change what is there.
const OTHERS_WRITE: u32 = 0o022;

/// The open directory of the store.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    _kept: Option<Flock<OwnedFd>>,
}

impl Directory {
    /// Finds or makes the caller's of that name.
    ///
    /// # Errors
    /// Where there is none that is only the caller's own, and where a disk is
    /// full.
    pub fn find(name: &str) -> anyhow::Result<Self> {
        let uid = geteuid().as_raw();
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        Self::first_of(&candidates(name, runtime, uid), uid)
    }

    /// The directory at `path`, made if need be for the caller alone, with all
    /// that leads to it. One that is there may have other uses: its mode stays.
    ///
    /// # Errors
    /// Where it is not the caller's own or others may write to it.
    pub fn at(path: &Path) -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = std::fs::DirBuilder::new();
        let made = builder.recursive(true).mode(PRIVATE).create(path);
        made.with_context(|| format!("make the directory {}", path.display()))?;
        let whole = path.canonicalize().with_context(|| format!("look at {}", path.display()))?;
        let fd = open_directory(&whole).refused("open", &whole)?;
        match look(&fd, &whole, geteuid().as_raw())? {
            Ok(_) => Ok(Self { fd, path: whole, _kept: None }),
            Err(reason) => {
                Err(anyhow!(reason)).hint("the records of containers take a directory of one's own")
            }
        }
    }

    /// The first of `candidates` that is or can be the own directory of `uid`.
    pub(super) fn first_of(candidates: &[Candidate], uid: u32) -> anyhow::Result<Self> {
        let mut reasons = Vec::new();
        for candidate in candidates {
            match candidate.open(uid)? {
                Ok(directory) => return Ok(directory),
                Err(reason) => reasons.push(reason),
            }
        }
        table::STATE_NOWHERE
            .advice(&[("reasons", &reasons.join("; "))])
            .refuse()
            .context("find a directory of one's own for the records of containers")
    }

    /// Its path, for people.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A place where the directory may be.
#[derive(Debug)]
pub(super) struct Candidate {
    pub base: PathBuf,
    pub name: String,
    pub sharing: Sharing,
}

/// Whose the directory is in which the store's is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// It has to be the caller's own.
    Own,
    /// Everybody's.
    Everybody,
}

/// Where to look, in this order.
pub(super) fn candidates(name: &str, runtime: Option<PathBuf>, uid: u32) -> Vec<Candidate> {
    let own = |base| Candidate { base, name: name.to_owned(), sharing: Sharing::Own };
    // The XDG Base Directory Specification: a relative path is to be ignored.
    let runtime = runtime.filter(|path| path.is_absolute());
    let user = PathBuf::from(format!("/run/user/{uid}"));
    let mut candidates: Vec<_> = runtime.into_iter().chain([user]).map(own).collect();
    candidates.push(Candidate {
        base: PathBuf::from("/tmp"),
        name: format!("{name}-{uid}"),
        sharing: Sharing::Everybody,
    });
    candidates
}

/// Why it is not this candidate but may be the next.
type Reason = String;

impl Candidate {
    fn path(&self) -> PathBuf {
        self.base.join(&self.name)
    }

    /// Opens the directory, made if need be.
    ///
    /// # Errors
    /// What is no reason to look elsewhere: then another command, at a better
    /// time, would look here and not find what we have written there.
    fn open(&self, uid: u32) -> anyhow::Result<std::result::Result<Directory, Reason>> {
        let path = self.path();
        let tell = |errno: Errno| Ok(Err(format!("{}: {}", path.display(), errno.desc())));
        let opened = match open_directory(&path) {
            Err(Errno::ENOENT) => match self.make(uid) {
                Ok(Ok(())) => open_directory(&path),
                Ok(Err(reason)) => return Ok(Err(reason)),
                Err(errno) => Err(errno),
            },
            opened => opened,
        };
        match opened {
            Ok(fd) => self.check(fd, uid),
            Err(Errno::ENOTDIR) => {
                Ok(Err(format!("{} is not a directory, or a symbolic link", path.display())))
            }
            Err(errno @ (Errno::ENOENT | Errno::EACCES | Errno::EPERM | Errno::EROFS)) => {
                tell(errno)
            }
            Err(errno) => Err(errno).refused("make the directory", &path),
        }
    }

    /// Makes the directory, in what must be the caller's.
    fn make(&self, uid: u32) -> Result<std::result::Result<(), Reason>> {
        let base =
            open(&self.base, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        if self.sharing == Sharing::Own {
            let status = fstat(&base)?;
            if let Some(reason) = not_own(&status, &self.base, uid) {
                return Ok(Err(reason));
            }
            if status.st_mode & OTHERS_WRITE != 0 {
                return Ok(Err(format!("{} can be written by others", self.base.display())));
            }
        }
        match mkdirat(&base, self.name.as_str(), Mode::from_bits_truncate(PRIVATE)) {
            // Somebody was faster: of us, or not.
            Ok(()) | Err(Errno::EEXIST) => Ok(Ok(())),
            Err(errno) => Err(errno),
        }
    }

    /// Makes sure that the open directory is the caller's alone.
    fn check(
        &self,
        fd: OwnedFd,
        uid: u32,
    ) -> anyhow::Result<std::result::Result<Directory, Reason>> {
        let path = self.path();
        let status = match look(&fd, &path, uid)? {
            Ok(status) => status,
            Err(reason) => return Ok(Err(reason)),
        };
        if status.st_mode & 0o077 != 0 {
            fchmod(&fd, Mode::from_bits_truncate(PRIVATE)).refused("make private", &path)?;
        }
        let kept = match self.sharing {
            Sharing::Own => None,
            Sharing::Everybody => keep(&fd),
        };
        Ok(Ok(Directory { fd, path, _kept: kept }))
    }
}

/// Makes sure that an open directory is the caller's and nobody else can write
/// to it.
fn look(
    fd: &OwnedFd,
    path: &Path,
    uid: u32,
) -> anyhow::Result<std::result::Result<FileStat, Reason>> {
    let status = fstat(fd).with_context(|| format!("look at {}", path.display()))?;
    if let Some(reason) = not_own(&status, path, uid) {
        return Ok(Err(reason));
    }
    if status.st_mode & OTHERS_WRITE != 0 {
        let mode = format!("{:o}", status.st_mode & 0o7777);
        return table::STATE_OPEN
            .advice(&[("path", &path.display()), ("mode", &mode)])
            .refuse()
            .context("open the records of containers");
    }
    Ok(Ok(status))
}

/// Keeps systemd-tmpfiles from removing what is old, as long as the lock is
/// held: tmpfiles.d(5), "age". It passes a directory over whose BSD lock it
/// can't have for itself, with all that is below. If it is at it this moment,
/// nothing of ours has become old since.
fn keep(directory: &OwnedFd) -> Option<Flock<OwnedFd>> {
    let copy = nix::fcntl::openat(directory, ".", FLAGS, Mode::empty()).ok()?;
    Flock::lock(copy, FlockArg::LockSharedNonblock).ok()
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    nix::fcntl::openat(AT_FDCWD, path, FLAGS, Mode::empty())
}

fn not_own(status: &FileStat, path: &Path, uid: u32) -> Option<Reason> {
    (status.st_uid != uid)
        .then(|| format!("{} belongs to uid {} and not to {uid}", path.display(), status.st_uid))
}
