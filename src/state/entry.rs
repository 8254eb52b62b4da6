//! The open directory of one container.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, anyhow, bail};
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::files::{self, Content, Durability, OTHER, RECORD, Refused, SPEC, Turn};
use super::lock::{Byte, Lock, PATIENCE, patiently};
use super::record::{Afterwards, Record, Unreadable};
use super::spec;
use super::store::Store;
use crate::spec::{ContainerId, Spec};
use crate::sys::{Errno, Result};

/// A container's directory and its lock.
#[derive(Debug)]
pub struct Entry {
    pub directory: OwnedFd,
    pub lock: Lock,
}

/// What a directory says of its container.
#[derive(Debug)]
pub enum Loaded {
    /// Nothing yet.
    Nothing,
    /// This.
    Record(Box<Record>),
    /// What nobody can read.
    Damaged(anyhow::Error),
}

impl Entry {
    /// Opens that of `id`, if there is one. A directory without a lock is a
    /// reservation that has not come far; an empty one is removed here.
    pub fn open(store: &Store, id: &ContainerId) -> Result<Option<Self>> {
        let directory = match files::open_directory(store.fd(), id.as_str()) {
            Ok(directory) => directory,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let lock = match Lock::open(directory.as_fd()) {
            Err(Errno::ENOENT) => {
                match unlinkat(store.fd(), id.as_str(), UnlinkatFlags::RemoveDir) {
                    Ok(()) | Err(Errno::ENOENT) => return Ok(None),
                    // The lock is there by now, or somebody took it away.
                    Err(Errno::ENOTEMPTY) => Lock::make(directory.as_fd()),
                    Err(errno) => Err(errno),
                }
            }
            opened => opened,
        };
        match lock {
            Ok(lock) => Ok(Some(Self { directory, lock })),
            // Removed meanwhile.
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Makes that of `id` and takes its lock; `None` where it was taken for a
    /// leftover in between. `EEXIST`: there is one.
    pub fn make(store: &Store, id: &ContainerId) -> Result<Option<Self>> {
        mkdirat(store.fd(), id.as_str(), Mode::S_IRWXU)?;
        let made = || {
            let directory = files::open_directory(store.fd(), id.as_str())?;
            Self::hold(directory, store, id)
        };
        match made() {
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => {
                let _ = unlinkat(store.fd(), id.as_str(), UnlinkatFlags::RemoveDir);
                Err(errno)
            }
            made => made,
        }
    }

    /// Takes the lock of a directory that has just been made for `id`; `None`
    /// where somebody else has, or has put it away.
    pub fn hold(directory: OwnedFd, store: &Store, id: &ContainerId) -> Result<Option<Self>> {
        let lock = Lock::make(directory.as_fd())?;
        let entry = Self { directory, lock };
        let ours = entry.lock.take(Byte::Life)? && entry.is_at(store, id)?;
        Ok(ours.then_some(entry))
    }

    /// Whether this is still the directory of that id, and not removed or
    /// replaced by another. Stays true as long as the lock is held.
    pub fn is_at(&self, store: &Store, id: &ContainerId) -> Result<bool> {
        let own = fstat(&self.directory)?;
        match fstatat(store.fd(), id.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(there) => Ok((own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Reads the record, or the one before where the record is damaged.
    pub fn load(&self, id: &ContainerId) -> anyhow::Result<Loaded> {
        let why = match self.read(RECORD, id)? {
            Loaded::Damaged(why) => why,
            read => return Ok(read),
        };
        match self.read(OTHER, id) {
            Ok(Loaded::Record(record)) => Ok(Loaded::Record(record)),
            _ => Ok(Loaded::Damaged(why)),
        }
    }

    fn read(&self, file: &str, id: &ContainerId) -> anyhow::Result<Loaded> {
        let content = files::read(self.directory.as_fd(), file);
        let content = content.with_context(|| format!("read the record of container {id}"))?;
        let damaged = |why| Ok(Loaded::Damaged(why));
        let bytes = match content {
            Content::Missing => return Ok(Loaded::Nothing),
            Content::Strange(why) => return damaged(anyhow!(why)),
            Content::Bytes(bytes) => bytes,
        };
        match Record::from_bytes(&bytes, id) {
            Ok(record) => Ok(Loaded::Record(Box::new(record))),
            Err(Unreadable::Damaged(why)) => damaged(why),
            Err(Unreadable::Foreign(version)) => {
                bail!(
                    "the record of container {id} is of version {version}: another sublet wrote it"
                )
            }
        }
    }

    /// Writes the record, whole or not at all.
    pub fn write(&self, store: &Store, record: &Record, turn: Turn) -> anyhow::Result<()> {
        let durability = durability(record.afterwards);
        files::write(self.directory.as_fd(), &record.to_bytes()?, turn, durability)
            .refused("write the record of the container to", &store.path_of(&record.id))
    }

    /// Writes what was asked for, before there is a record.
    pub fn write_spec(&self, store: &Store, spec: &Spec, kept: Afterwards) -> anyhow::Result<()> {
        let bytes = spec::to_bytes(spec)?;
        files::write_ahead(self.directory.as_fd(), SPEC, &bytes, durability(kept))
            .refused("write what was asked for to", &store.path_of(&spec.beside.id))
    }

    /// Reads what was asked for, with what commands have changed of it.
    pub fn read_spec(&self, record: &Record) -> anyhow::Result<Spec> {
        match files::read(self.directory.as_fd(), SPEC)? {
            Content::Missing => bail!("it was not written down"),
            Content::Strange(why) => bail!(why),
            Content::Bytes(bytes) => spec::from_bytes(&bytes, record),
        }
    }

    /// Changes the record, while nobody else does.
    pub fn edit(
        &self,
        store: &Store,
        id: &ContainerId,
        change: impl FnOnce(&mut Record),
    ) -> anyhow::Result<Record> {
        let path = store.path_of(id);
        if !patiently(PATIENCE, || self.lock.take(Byte::Edit)).refused("lock", &path)? {
            bail!("another sublet has been changing {} for two seconds", path.display());
        }
        let changed = self.change(store, id, change);
        let released = self.lock.release(Byte::Edit);
        let changed = changed?;
        released.refused("unlock", &path)?;
        Ok(changed)
    }

    fn change(
        &self,
        store: &Store,
        id: &ContainerId,
        change: impl FnOnce(&mut Record),
    ) -> anyhow::Result<Record> {
        let mut record = match self.load(id)? {
            Loaded::Record(record) => *record,
            Loaded::Nothing => bail!("container {id} has no record"),
            Loaded::Damaged(why) => {
                return Err(why).with_context(|| format!("read the record of container {id}"));
            }
        };
        change(&mut record);
        self.write(store, &record, Turn::Later)?;
        Ok(record)
    }
}

fn durability(afterwards: Afterwards) -> Durability {
    match afterwards {
        Afterwards::Keep => Durability::Disk,
        Afterwards::Fade | Afterwards::Remove => Durability::None,
    }
}
