//! Being told when something of the store changes: inotify(7).
//!
//! What is told is that something has changed and not what: who listens reads
//! the record and compares. So nothing is missed for good, though what came and
//! went between two looks is seen as one change.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::Context;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::repair::{CODE, DEAD};
use super::store::Store;
use crate::error::Explain;
use crate::spec::ContainerId;
use crate::sys::Errno;

/// Looks at a store.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
    directory: WatchDescriptor,
    /// Of each directory, and of files beside it, whose it is.
    watched: HashMap<WatchDescriptor, ContainerId>,
}

/// What may have happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its record or its control group has changed, or it is there.
    Changed(ContainerId),
    /// It was removed; if its launcher has done so, the code it has ended with.
    Removed(ContainerId, Option<u8>),
    /// More than could be told: any.
    Any,
}

impl Watch {
    /// Begins with the store itself.
    ///
    /// # Errors
    /// Where the kernel's limits are reached.
    pub fn new(store: &Store) -> anyhow::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .context("watch the records of containers")
            .hint("raise the limit as root: sysctl fs.inotify.max_user_instances=256")?;
        let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVE | AddWatchFlags::IN_ONLYDIR;
        let directory = inotify
            .add_watch(store.path(), flags)
            .with_context(|| format!("watch {}", store.path().display()))?;
        Ok(Self { inotify, directory, watched: HashMap::new() })
    }

    /// Looks at the directory of a container, too; again is no harm.
    ///
    /// # Errors
    /// Where the kernel's limits are reached. One that is gone is none.
    pub fn add(&mut self, store: &Store, id: &ContainerId) -> anyhow::Result<()> {
        let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY;
        let flags = flags | AddWatchFlags::IN_ONLYDIR;
        self.look_at(&store.path_of(id), flags, id)
    }

    /// Looks at a file that belongs to a container, as the kernel says so there.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_file(&mut self, file: &Path, id: &ContainerId) -> anyhow::Result<()> {
        self.look_at(file, AddWatchFlags::IN_MODIFY, id)
    }

    fn look_at(&mut self, at: &Path, flags: AddWatchFlags, id: &ContainerId) -> anyhow::Result<()> {
        match self.inotify.add_watch(at, flags) {
            Ok(descriptor) => {
                self.watched.insert(descriptor, id.clone());
                Ok(())
            }
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => Ok(()),
            Err(errno) => Err(errno)
                .with_context(|| format!("watch {}", at.display()))
                .hint("raise the limit as root: sysctl fs.inotify.max_user_watches=65536"),
        }
    }

    /// What has changed since the last time, each once, in its order; nothing
    /// where nothing has.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn changes(&mut self) -> anyhow::Result<Vec<Change>> {
        let mut changes = Vec::new();
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(changes),
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno).context("hear of changes of records"),
            };
            for event in events {
                let name = event.name.as_ref().and_then(|name| name.to_str()).unwrap_or_default();
                let change = match event.mask {
                    mask if mask.contains(AddWatchFlags::IN_Q_OVERFLOW) => Some(Change::Any),
                    mask if mask.contains(AddWatchFlags::IN_IGNORED) => {
                        self.watched.remove(&event.wd);
                        None
                    }
                    _ if event.wd == self.directory => in_store(name),
                    _ => self.watched.get(&event.wd).cloned().map(Change::Changed),
                };
                changes.extend(change.filter(|change| changes.last() != Some(change)));
            }
        }
    }
}

/// What a name says that has come or gone.
fn in_store(name: &str) -> Option<Change> {
    let Some(dead) = name.strip_prefix(DEAD) else {
        return name.parse().ok().map(Change::Changed);
    };
    let (id, code) = match dead.split_once(CODE) {
        Some((id, code)) => (id, code.parse().ok()),
        None => (dead, None),
    };
    Some(Change::Removed(id.parse().ok()?, code))
}

/// Ready to be read once something has changed.
impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
