//! The containers of an OCI runtime: a directory for each, called by its id.
//!
//! ```text
//! $XDG_RUNTIME_DIR/sublet-oci/
//!     ID/record.json      what is known of it, written once
//!     ID/doorstep         the socket at which it waits for its start
//!     .dead-ID/           removed, but for its files
//! ```
//!
//! Nobody stays with such a container, so no lock says that it lives, and no
//! record what it does. The record holds what does not change; the rest is
//! asked of the kernel when somebody wants to know: whether the process of the
//! record is still there, and whether it still waits at the doorstep. So there is
//! nothing that a killed command could leave untrue. A directory without a
//! record belongs to a create that is under way, which holds a lock on it, or
//! that was killed, and then the next one removes it, if it holds nothing of
//! others: the place may be any directory of the caller's. Whoever removes one
//! holds its lock, so that it is not another's by then.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use oci_spec::runtime::Spec as Oci;
use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::discard::{DOORSTEP, bury, discard, foreign};
use super::files::{self, Content, Durability, RECORD, Refused, Turn};
use super::moment::Moment;
use super::process::Identity;
use super::record::Place;
use super::repair::DEAD;
use crate::error::Explain;
use crate::spec::ContainerId;
use crate::sys::fd::{Patience, try_lock, wait_readable};
use crate::sys::{Errno, Result, path};

/// The version that is written.
const VERSION: u32 = 1;

/// How long somebody else may hold the lock of what is to be removed: a create
/// that has written the record needs it for a moment more.
const PATIENCE: Duration = Duration::from_secs(10);

/// One container, as it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bundle {
    version: u32,
    /// Its id.
    pub id: ContainerId,
    /// The directory that it was made from.
    pub directory: PathBuf,
    /// Its root.
    pub root: PathBuf,
    /// When it was made.
    pub created: Moment,
    /// Its first process.
    pub payload: Identity,
    /// Its control group, if it has one of its own.
    #[serde(default)]
    pub place: Option<Place>,
    /// The configuration as it was then: later changes of the file are of no
    /// account (runtime specification, "create").
    pub config: Oci,
}

impl Bundle {
    /// A container whose first process is `payload`.
    pub fn new(
        id: ContainerId,
        (directory, root): (PathBuf, PathBuf),
        payload: Identity,
        config: Oci,
    ) -> Self {
        Self {
            version: VERSION,
            id,
            directory,
            root,
            created: Moment::now(),
            payload,
            place: None,
            config,
        }
    }
}

impl Bundle {
    /// The same in that control group.
    pub fn at(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }
}

/// The directory of one runtime.
#[derive(Debug)]
pub struct Bundles(Directory);

/// The directory of a container that is about to be made. Dropped before it is
/// [kept](Self::keep), it has never been.
#[derive(Debug)]
pub struct Claim<'a> {
    all: &'a Bundles,
    id: ContainerId,
    /// Holds the lock.
    directory: OwnedFd,
    kept: bool,
}

/// The directory of a container that was made.
#[derive(Debug)]
pub struct Found {
    /// What is known of it.
    pub bundle: Bundle,
    directory: OwnedFd,
}

impl Bundles {
    /// Opens the caller's own, or the one at `root`; made if need be.
    ///
    /// # Errors
    /// Where it is not the caller's alone, and what the disk says.
    pub fn open(root: Option<&Path>) -> anyhow::Result<Self> {
        root.map_or_else(|| Directory::find("sublet-oci"), Directory::at).map(Self)
    }

    /// The same without making one: `None` where there is nothing at `root`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn look(root: Option<&Path>) -> anyhow::Result<Option<Self>> {
        match root {
            // What can't be looked at is told by who opens it.
            Some(root) if matches!(root.try_exists(), Ok(false)) => Ok(None),
            _ => Self::open(root).map(Some),
        }
    }

    /// Takes an id.
    ///
    /// # Errors
    /// Where there is a container of that id; what the disk says.
    pub fn claim(&self, id: &ContainerId) -> anyhow::Result<Claim<'_>> {
        let place = self.place(id);
        // As often as others take a new directory for a leftover.
        for _ in 0..1000 {
            match mkdirat(&self.0, id.as_str(), Mode::S_IRWXU) {
                Ok(()) => {}
                Err(Errno::EEXIST) => {
                    let Some(left) = self.abandoned(id)? else {
                        return Err(anyhow!("container with id exists: {id}"))
                            .hint(format!("sublet-oci delete {id} removes it"));
                    };
                    discard(&self.0, id, left.as_fd())?;
                    continue;
                }
                Err(errno) => return Err(errno).refused("make the directory", &place),
            }
            if let Some(directory) = self.locked(id)? {
                return Ok(Claim { all: self, id: id.clone(), directory, kept: false });
            }
        }
        bail!("{} comes and goes", place.display())
    }

    fn place(&self, id: &ContainerId) -> PathBuf {
        self.0.path().join(id.as_str())
    }

    /// The directory of that id with its lock, if nobody is making its container
    /// and nobody has.
    fn abandoned(&self, id: &ContainerId) -> anyhow::Result<Option<OwnedFd>> {
        let Some(directory) = self.locked(id)? else { return Ok(None) };
        let record = files::read(directory.as_fd(), RECORD);
        Ok(matches!(record, Ok(Content::Missing)).then_some(directory))
    }

    /// The directory of that id with its lock; `None` where somebody else has
    /// that, or has removed it.
    fn locked(&self, id: &ContainerId) -> anyhow::Result<Option<OwnedFd>> {
        let place = self.place(id);
        let directory = match files::open_directory(self.0.as_fd(), id.as_str()) {
            Ok(directory) => directory,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ENOTDIR) => return foreign(&place, "it is not a directory"),
            Err(errno) => return Err(errno).refused("open", &place),
        };
        let lock = || Ok(try_lock(directory.as_fd())? && self.has(id, directory.as_fd())?);
        let locked = lock().refused("lock the directory", &place)?;
        Ok(locked.then_some(directory))
    }

    /// Whether a directory is the one that is called so now.
    fn has(&self, id: &ContainerId, directory: BorrowedFd<'_>) -> Result<bool> {
        let own = fstat(directory)?;
        match fstatat(&self.0, id.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(there) => Ok((own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn directory_of(&self, id: &ContainerId) -> anyhow::Result<Option<OwnedFd>> {
        match files::open_directory(self.0.as_fd(), id.as_str()) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(errno).refused("open", &self.place(id)),
        }
    }

    /// The container of that id, if there is one.
    ///
    /// # Errors
    /// A record that can't be read.
    pub fn seek(&self, id: &ContainerId) -> anyhow::Result<Option<Found>> {
        let Some(directory) = self.directory_of(id)? else { return Ok(None) };
        let read = || format!("read the record of container {id}");
        let bytes = match files::read(directory.as_fd(), RECORD).with_context(read)? {
            Content::Missing => return Ok(None),
            Content::Strange(why) => return Err(anyhow!(why)).with_context(read),
            Content::Bytes(bytes) => bytes,
        };
        let bundle: Bundle = serde_json::from_slice(&bytes).with_context(read)?;
        if bundle.version != VERSION {
            bail!("the record of container {id} is of version {}", bundle.version);
        }
        Ok(Some(Found { bundle, directory }))
    }

    /// The ids that have a record, in order. What was removed is cleared away.
    ///
    /// # Errors
    /// Where the directory can't be read.
    pub fn ids(&self) -> anyhow::Result<Vec<ContainerId>> {
        let (mut ids, mut dead) = (Vec::new(), Vec::new());
        let opened = files::open_directory(self.0.as_fd(), ".").refused("open", self.0.path())?;
        path::each_name(opened.as_fd(), |name| {
            let Ok(name) = name.to_str() else { return };
            if name.starts_with(DEAD) {
                dead.push(name.to_owned());
            }
            ids.extend(name.parse::<ContainerId>());
        })
        .refused("read", self.0.path())?;
        for name in dead {
            // Somebody else may be at it, or it is not ours.
            let _ = bury(&self.0, &name);
        }
        ids.sort();
        Ok(ids)
    }

    /// Removes what is known of a container. One that is gone is removed.
    ///
    /// # Errors
    /// Where something of others is in its directory; what the disk says.
    pub fn remove(&self, id: &ContainerId, found: &Found) -> anyhow::Result<()> {
        self.remove_directory(id, found.directory())
    }

    /// Removes what a killed create has left, if there is anything.
    ///
    /// # Errors
    /// Where a container of that id is being made; as [`remove`](Self::remove).
    pub fn remove_leftover(&self, id: &ContainerId) -> anyhow::Result<()> {
        match self.abandoned(id)? {
            Some(left) => discard(&self.0, id, left.as_fd()),
            None if self.directory_of(id)?.is_none() => Ok(()),
            None => Err(anyhow!("container {id} is being made"))
                .hint("it can be deleted once its create has ended"),
        }
    }

    /// Removes a container whose record can't be read, and `why` not, where it
    /// says at least that the first process is over.
    ///
    /// # Errors
    /// Where the container may run: without its record nobody would find it
    /// again. As [`remove`](Self::remove).
    pub fn remove_unreadable(&self, id: &ContainerId, why: anyhow::Error) -> anyhow::Result<()> {
        /// What other versions will have too.
        #[derive(Deserialize)]
        struct Remains {
            payload: Identity,
        }
        let Some(directory) = self.directory_of(id)? else { return Ok(()) };
        let remains = match files::read(directory.as_fd(), RECORD) {
            Ok(Content::Bytes(bytes)) => serde_json::from_slice::<Remains>(&bytes).ok(),
            _ => None,
        };
        let over = |payload: &Identity| match payload.open() {
            Ok(None) => true,
            // It waits for its parent to take notice.
            Ok(Some(process)) => wait_readable([process.as_fd()], Patience::None) == Ok([true]),
            Err(_) => false,
        };
        if !remains.is_some_and(|remains| over(&remains.payload)) {
            let place = self.place(id);
            return Err(why.context(format!("delete container {id}, which may run"))).hint(
                format!(
                    "the sublet-oci that made it can delete it; or end its processes and remove {}",
                    place.display()
                ),
            );
        }
        self.remove_directory(id, directory.as_fd())
    }

    fn remove_directory(&self, id: &ContainerId, directory: BorrowedFd<'_>) -> anyhow::Result<()> {
        let place = self.place(id);
        let until = Instant::now() + PATIENCE;
        while !try_lock(directory).refused("lock the directory", &place)? {
            if until <= Instant::now() {
                bail!("container {id} is being made or deleted by somebody else");
            }
            let _ = wait_readable([], Patience::Moment);
        }
        // Else somebody was faster, and it may be another's by now.
        match self.has(id, directory).refused("look at", &place)? {
            true => discard(&self.0, id, directory),
            false => Ok(()),
        }
    }
}

impl Claim<'_> {
    /// Where the doorstep is to be.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Writes down what was made.
    ///
    /// # Errors
    /// What the disk says.
    pub fn record(&self, bundle: &Bundle) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(bundle).context("write the record of the container")?;
        files::write(self.directory.as_fd(), &bytes, Turn::First, Durability::None)
            .refused("write the record of the container to", &self.all.place(&self.id))
    }

    /// Lets it stay.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // What is left is removed by the next one of this id.
            let _ = self.all.remove_directory(&self.id, self.directory.as_fd());
        }
    }
}

impl Found {
    /// Where the doorstep is.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Takes the doorstep away, once nobody waits there.
    pub fn remove_doorstep(&self) {
        let _ = unlinkat(&self.directory, DOORSTEP, UnlinkatFlags::NoRemoveDir);
    }
}

#[cfg(test)]
mod tests;
