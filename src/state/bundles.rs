//! The containers of an OCI runtime: a directory for each, called by its id.
//!
//! ```text
//! $XDG_RUNTIME_DIR/sublet-oci/
//!     ID/record.json      what is known of it, written once
//!     ID/doorstep             the socket at which it waits for its start
//!     .dead-ID/           removed, but for its files
//! ```
//!
//! Nobody stays with such a container, so no lock says that it lives, and no
//! record what it does. The record holds what does not change; the rest is
//! asked of the kernel when somebody wants to know: whether the process of the
//! record is still there, and whether it still waits at the doorstep. So there is
//! nothing that a killed command could leave untrue. A directory without a
//! record belongs to a create that is under way, which holds a lock on it, or
//! that was killed, and then the next one removes it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use oci_spec::runtime::Spec as Oci;
use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::files::{self, Content, Durability, RECORD, Refused, Turn};
use super::moment::Moment;
use super::process::Identity;
use super::repair::DEAD;
use crate::error::Explain;
use crate::spec::ContainerId;
use crate::sys::{Errno, Result, fd, path};

/// The version that is written.
const VERSION: u32 = 1;

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
        Self { version: VERSION, id, directory, root, created: Moment::now(), payload, config }
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

    /// Takes an id.
    ///
    /// # Errors
    /// Where there is a container of that id; what the disk says.
    pub fn claim(&self, id: &ContainerId) -> anyhow::Result<Claim<'_>> {
        let place = self.0.path().join(id.as_str());
        // As often as others take a new directory for a leftover.
        for _ in 0..1000 {
            match mkdirat(&self.0, id.as_str(), Mode::S_IRWXU) {
                Ok(()) => {}
                Err(Errno::EEXIST) => {
                    let Some(_lock) = self.abandoned(id)? else {
                        return Err(anyhow!("container with id exists: {id}"))
                            .hint(format!("sublet-oci delete {id} removes it"));
                    };
                    files::remove_tree(self.0.as_fd(), id.as_str())
                        .refused("remove what is left of", &place)?;
                    continue;
                }
                Err(errno) => return Err(errno).refused("make the directory", &place),
            }
            if let Some(directory) = self.locked(id).refused("lock the directory", &place)? {
                return Ok(Claim { all: self, id: id.clone(), directory, kept: false });
            }
        }
        bail!("{} comes and goes", place.display())
    }

    /// The directory of that id with its lock, if nobody is making its container
    /// and nobody has.
    fn abandoned(&self, id: &ContainerId) -> anyhow::Result<Option<OwnedFd>> {
        let place = self.0.path().join(id.as_str());
        let Some(directory) = self.locked(id).refused("look at", &place)? else {
            return Ok(None);
        };
        let record = files::read(directory.as_fd(), RECORD);
        Ok(matches!(record, Ok(Content::Missing)).then_some(directory))
    }

    /// The directory of that id with its lock; `None` where somebody else has
    /// that, or has removed it.
    fn locked(&self, id: &ContainerId) -> Result<Option<OwnedFd>> {
        let directory = match files::open_directory(self.0.as_fd(), id.as_str()) {
            Ok(directory) => directory,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        if !fd::try_lock(directory.as_fd())? {
            return Ok(None);
        }
        let own = fstat(&directory)?;
        match fstatat(&self.0, id.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(there) if (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino) => {
                Ok(Some(directory))
            }
            Ok(_) | Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn directory_of(&self, id: &ContainerId) -> anyhow::Result<Option<OwnedFd>> {
        match files::open_directory(self.0.as_fd(), id.as_str()) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(errno).refused("open", &self.0.path().join(id.as_str())),
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
            // Somebody else may be at it.
            let _ = files::remove_tree(self.0.as_fd(), &name);
        }
        ids.sort();
        Ok(ids)
    }

    /// Removes what is known of a container. One that is gone is removed.
    ///
    /// # Errors
    /// What the disk says.
    pub fn remove(&self, id: &ContainerId) -> anyhow::Result<()> {
        let dead = format!("{DEAD}{id}");
        let place = self.0.path().join(id.as_str());
        // Whoever was killed here before left the one.
        files::remove_tree(self.0.as_fd(), &dead).refused("remove", &place)?;
        match renameat(&self.0, id.as_str(), &self.0, dead.as_str()) {
            Ok(()) => {}
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(errno).refused("remove", &place),
        }
        files::remove_tree(self.0.as_fd(), &dead).refused("remove", &place)
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
        files::write(self.directory.as_fd(), &bytes, Turn::First, Durability::None).refused(
            "write the record of the container to",
            &self.all.0.path().join(self.id.as_str()),
        )
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
            let _ = self.all.remove(&self.id);
        }
    }
}

impl Found {
    /// Where the doorstep is.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Takes the doorstep away, once nobody waits there.
    pub fn remove_doorstep(&self, name: &str) {
        let _ = unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::boot;

    fn bundles(name: &str) -> (PathBuf, Bundles) {
        let path = std::env::temp_dir().join(format!("sublet-{name}-{}", std::process::id()));
        let bundles = Bundles::open(Some(&path)).unwrap();
        (path, bundles)
    }

    fn bundle(id: &ContainerId) -> Bundle {
        let payload = Identity::of(nix::unistd::getpid(), &boot().unwrap()).unwrap();
        Bundle::new(id.clone(), ("/b".into(), "/b/rootfs".into()), payload, Oci::default())
    }

    #[test]
    fn what_was_made_is_found_until_it_is_removed() {
        let (path, bundles) = bundles("bundles");
        let id: ContainerId = "web".parse().unwrap();
        assert!(bundles.seek(&id).unwrap().is_none());
        let claim = bundles.claim(&id).unwrap();
        assert!(bundles.seek(&id).unwrap().is_none(), "it is only being made");
        assert!(bundles.claim(&id).is_err(), "by somebody else");
        claim.record(&bundle(&id)).unwrap();
        claim.keep();
        assert_eq!(bundles.seek(&id).unwrap().unwrap().bundle.directory, Path::new("/b"));
        assert!(bundles.claim(&id).is_err(), "it is there");
        assert_eq!(bundles.ids().unwrap(), std::slice::from_ref(&id));
        bundles.remove(&id).unwrap();
        bundles.remove(&id).unwrap();
        assert!(bundles.seek(&id).unwrap().is_none());
        std::fs::remove_dir(&path).unwrap();
    }

    #[test]
    fn what_was_not_kept_has_never_been() {
        let (path, bundles) = bundles("claims");
        let id: ContainerId = "web".parse().unwrap();
        let claim = bundles.claim(&id).unwrap();
        claim.record(&bundle(&id)).unwrap();
        drop(claim);
        assert!(bundles.seek(&id).unwrap().is_none());
        // What a killed create leaves, and a killed remove.
        std::fs::create_dir(path.join("web")).unwrap();
        std::fs::write(path.join("web/record.other"), "{").unwrap();
        std::fs::create_dir_all(path.join(".dead-old/x")).unwrap();
        drop(bundles.claim(&id).unwrap());
        assert_eq!(bundles.ids().unwrap().len(), 0);
        std::fs::remove_dir(&path).unwrap();
    }

    #[test]
    fn a_record_that_nobody_can_read_is_an_error() {
        let (path, bundles) = bundles("records");
        let id: ContainerId = "web".parse().unwrap();
        for text in ["", "{}", "[1]", "{\"version\": 2}"] {
            std::fs::create_dir(path.join("web")).unwrap();
            std::fs::write(path.join("web/record.json"), text).unwrap();
            assert!(bundles.seek(&id).is_err(), "{text:?} was taken");
            assert!(bundles.claim(&id).is_err());
            bundles.remove(&id).unwrap();
        }
        std::fs::remove_dir(&path).unwrap();
    }
}
