//! Looking at a container, and putting right what a killed process has left.

use anyhow::Context;
use nix::fcntl::renameat;

use super::entry::{Entry, Loaded};
use super::files::{self, Refused, Turn};
use super::lock::{Byte, PATIENCE, patiently};
use super::record::{Afterwards, Record};
use super::store::Store;
use super::{names, process};
use crate::spec::{ContainerId, Name};
use crate::sys::Errno;

/// What begins the name of a directory whose container is removed.
pub const DEAD: &str = ".dead-";
/// What stands in such a name before the code that the container has ended
/// with; in no id.
pub const CODE: char = ':';
/// The same, of one that nobody can read.
const BAD: &str = ".bad-";

impl Store {
    /// The container `id` as it is now; `None` if there is none, or none yet.
    ///
    /// # Errors
    /// A record that can't be read, and what keeps a container's leftovers
    /// from being taken down.
    pub(super) fn visit(&self, id: &ContainerId) -> anyhow::Result<Option<Record>> {
        let look = || format!("look at container {}", id.short());
        let Some(entry) = Entry::open(self, id).with_context(look)? else {
            return Ok(None);
        };
        // The lock before the record: a launcher writes how its container has
        // ended before it lets go, so that with a free lock the record is the
        // last word.
        let alive = entry.lock.is_held(Byte::Life).with_context(look)?;
        match entry.load(id)? {
            Loaded::Nothing if alive => Ok(None),
            Loaded::Nothing => self.discard(entry, id),
            Loaded::Record(record) if alive || !record.needs_launcher() => Ok(Some(*record)),
            Loaded::Record(record) => self.mourn(&entry, *record),
            Loaded::Damaged(why) => self.put_aside(entry, id, why),
        }
    }

    /// Removes a reservation that nobody holds.
    pub(super) fn discard(&self, entry: Entry, id: &ContainerId) -> anyhow::Result<Option<Record>> {
        let look = || format!("look at container {}", id.short());
        // Whoever was about to take it starts over.
        if !entry.lock.take(Byte::Life).with_context(look)?
            || !entry.is_at(self, id).with_context(look)?
        {
            return Ok(None);
        }
        if let Loaded::Nothing = entry.load(id)? {
            return self.bury(id, None).map(|()| None);
        }
        // It was taken, used and left between our two looks.
        drop(entry);
        self.visit(id)
    }

    /// Sets a container right whose launcher is dead.
    pub(super) fn mourn(&self, entry: &Entry, record: Record) -> anyhow::Result<Option<Record>> {
        let id = record.id.clone();
        let look = || format!("look at container {}", id.short());
        let boot = process::boot()?;
        let ours = entry.lock.take(Byte::Edit).with_context(look)?;
        // Between the look at the lock and the one at the record it may have
        // been taken: then it lives.
        if entry.lock.is_held(Byte::Life).with_context(look)? {
            return Ok(Some(record));
        }
        if !ours {
            // Somebody else is at it.
            return Ok(Some(record.lost(&boot)));
        }
        if !entry.is_at(self, &id).with_context(look)? {
            return Ok(None);
        }
        let record = match entry.load(&id)? {
            Loaded::Record(record) if record.needs_launcher() => *record,
            // Somebody else was at it.
            Loaded::Record(record) => return Ok(Some(*record)),
            _ => record,
        };
        self.release(&record).with_context(|| {
            format!("take down what is left of container {}, which was killed", id.short())
        })?;
        if record.afterwards == Afterwards::Remove {
            return self.bury(&id, record.name.as_ref()).map(|()| None);
        }
        let lost = record.lost(&boot);
        // If it can't be written, the next one finds out again.
        let _ = entry.write(self, &lost, Turn::Later);
        Ok(Some(lost))
    }

    /// Looks again at a record that could not be read, while nobody changes it,
    /// and puts it aside if it still can't be and nobody uses it. Who opens the
    /// file as it is exchanged for another may read what is written to it next.
    ///
    /// # Errors
    /// What is to be told of one that can't be read.
    pub(super) fn put_aside(
        &self,
        entry: Entry,
        id: &ContainerId,
        why: anyhow::Error,
    ) -> anyhow::Result<Option<Record>> {
        let told = |why: anyhow::Error| {
            why.context(format!("the record of container {} can't be read", id.short()))
        };
        if !patiently(PATIENCE, || entry.lock.take(Byte::Edit)).unwrap_or(false) {
            return Err(told(why));
        }
        let Loaded::Damaged(why) = entry.load(id)? else {
            drop(entry);
            return self.visit(id);
        };
        let own = || -> crate::sys::Result<bool> {
            Ok(!entry.lock.is_held(Byte::Life)? && entry.is_at(self, id)?)
        };
        if !own().unwrap_or(false) {
            return Err(told(why));
        }
        let aside = format!("{BAD}{id}");
        Err(match self.rename(id, &aside) {
            Ok(()) => {
                told(why).context(format!("put aside as {}", self.path().join(aside).display()))
            }
            Err(_) => told(why),
        })
    }

    /// Removes the container `id`; the caller holds a lock of its. First it
    /// is no more, then its name is free, then its files go.
    pub(super) fn bury(&self, id: &ContainerId, name: Option<&Name>) -> anyhow::Result<()> {
        self.bury_as(id, name, None)
    }

    /// The same of one that has just ended with this code: whoever looks on sees
    /// it with the directory's new name, for there is no record of it.
    pub(super) fn bury_as(
        &self,
        id: &ContainerId,
        name: Option<&Name>,
        code: Option<u8>,
    ) -> anyhow::Result<()> {
        let dead = match code {
            Some(code) => format!("{DEAD}{id}{CODE}{code}"),
            None => format!("{DEAD}{id}"),
        };
        self.rename(id, &dead).refused("remove", &self.path_of(id))?;
        if let Some(name) = name {
            names::withdraw(self, name, id)?;
        }
        // What is left for a moment by somebody who writes to it still, the
        // next command removes.
        let _ = files::remove_tree(self.fd(), &dead);
        Ok(())
    }

    /// Renames the directory of a container; what had that name before, of an
    /// earlier container with the same id, is removed.
    fn rename(&self, id: &ContainerId, to: &str) -> crate::sys::Result<()> {
        match renameat(self.fd(), id.as_str(), self.fd(), to) {
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {
                files::remove_tree(self.fd(), to)?;
                renameat(self.fd(), id.as_str(), self.fd(), to)
            }
            renamed => renamed,
        }
    }
}
