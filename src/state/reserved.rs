//! A container of this process's: its id, its name and its record.

use std::os::fd::{AsFd, BorrowedFd};

use super::entry::{Entry, Loaded};
use super::files::Turn;
use super::names;
use super::record::{Afterwards, Exit, Life, Record};
use super::store::Store;
use super::story::Failed;
use crate::spec::{ContainerId, Name, Spec};

/// An id that is this process's as long as this lives. Dropped without
/// [`finish`](Self::finish), the container leaves no trace.
#[derive(Debug)]
pub struct Reserved {
    store: Store,
    id: ContainerId,
    name: Option<Name>,
    entry: Entry,
    /// What the record says.
    afterwards: Afterwards,
    /// What becomes of it if this is dropped.
    dropped: Dropped,
}

/// What becomes of a container that nobody has finished.
#[derive(Debug)]
enum Dropped {
    /// It has never been.
    Bury,
    /// It is as the record says.
    Leave,
    /// It is as it was before it was to be started again.
    Restore(Box<Life>),
}

impl Reserved {
    /// Takes what [`Store::reserve`] has made, and the name.
    pub(super) fn new(
        store: Store,
        id: ContainerId,
        name: Option<Name>,
        entry: Entry,
    ) -> anyhow::Result<Self> {
        let mut reserved = Self {
            store,
            id,
            name: None,
            entry,
            afterwards: Afterwards::Remove,
            dropped: Dropped::Bury,
        };
        if let Some(name) = name {
            names::claim(&reserved.store, &name, &reserved.id)?;
            reserved.name = Some(name);
        }
        Ok(reserved)
    }

    /// Takes a container that is not alive, which `entry` is, to start it again.
    pub(super) fn again(store: Store, record: &Record, entry: Entry) -> Self {
        let (id, name, afterwards) = (record.id.clone(), record.name.clone(), record.afterwards);
        Self { store, id, name, entry, afterwards, dropped: Dropped::Leave }
    }

    /// Has it be so again, should this be dropped.
    pub fn restores(&mut self, life: Life) {
        self.dropped = Dropped::Restore(Box::new(life));
    }

    /// Its directory.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.entry.directory.as_fd()
    }

    /// Lets go of it, and leaves it as the record says.
    pub fn leave(mut self) {
        self.dropped = Dropped::Leave;
    }

    /// Writes down what was asked for, ahead of the record that is
    /// [committed](Self::commit).
    ///
    /// # Errors
    /// What the disk says; a path of the host that is not UTF-8.
    pub fn ask(&self, spec: &Spec, afterwards: Afterwards) -> anyhow::Result<()> {
        self.entry.write_spec(&self.store, spec, afterwards)
    }

    /// Writes the record for the first time: from now on other commands know
    /// the container. Before anything is made that the record names.
    ///
    /// # Errors
    /// What the disk says.
    pub fn commit(&mut self, record: &Record) -> anyhow::Result<()> {
        debug_assert!(record.id == self.id && record.name == self.name);
        self.afterwards = record.afterwards;
        self.entry.write(&self.store, record, Turn::First)
    }

    /// Changes the record; what other commands have changed meanwhile stays.
    ///
    /// # Errors
    /// What the disk says, and a record that others keep locked or have
    /// damaged.
    pub fn edit(&self, change: impl FnOnce(&mut Record)) -> anyhow::Result<Record> {
        self.entry.edit(&self.store, &self.id, change)
    }

    /// A start that came to nothing: says so in the record of a container that
    /// has a name, if records are to stay; it counts as created, or as what it
    /// was before it was to be started again. Any other is removed: false.
    ///
    /// # Errors
    /// As [`edit`](Self::edit): then it is removed, too.
    pub fn fail(mut self, failed: Failed) -> anyhow::Result<bool> {
        let anew = !matches!(self.dropped, Dropped::Restore(_));
        if anew && (self.afterwards == Afterwards::Remove || self.name.is_none()) {
            return Ok(false);
        }
        let before = match std::mem::replace(&mut self.dropped, Dropped::Bury) {
            Dropped::Restore(life) => *life,
            Dropped::Bury | Dropped::Leave => Life::Created { launcher: None },
        };
        self.edit(|record| {
            record.life = before;
            record.place = None;
            record.failed = Some(failed);
        })?;
        self.dropped = Dropped::Leave;
        Ok(true)
    }

    /// The end: says in the record what has become of the container, or
    /// removes it, as the record wants it. Then the lock is free.
    ///
    /// # Errors
    /// As [`edit`](Self::edit). Whatever happens, no other command believes
    /// that the container still runs.
    pub fn finish(mut self, exit: Exit) -> anyhow::Result<()> {
        self.dropped = Dropped::Leave;
        match self.afterwards {
            Afterwards::Keep | Afterwards::Fade => {
                let over = |record: &mut Record| {
                    record.life = Life::Exited(exit);
                    record.ports.clear();
                };
                self.edit(over).map(drop)
            }
            Afterwards::Remove => {
                let name = self.called();
                self.store.bury_as(&self.id, name.as_ref(), exit.end.code())
            }
        }
    }

    /// Its name by now, which others may have changed.
    fn called(&self) -> Option<Name> {
        match self.entry.load(&self.id) {
            Ok(Loaded::Record(record)) => record.name,
            _ => self.name.clone(),
        }
    }
}

/// The lock: whoever has a copy of it open keeps the container alive in the
/// eyes of others.
impl AsFd for Reserved {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.entry.lock.as_fd()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // Who could be told? The next command tries again.
        match std::mem::replace(&mut self.dropped, Dropped::Leave) {
            Dropped::Bury => _ = self.store.bury(&self.id, self.called().as_ref()),
            Dropped::Leave => {}
            Dropped::Restore(life) => _ = self.edit(|record| record.life = *life),
        }
    }
}
