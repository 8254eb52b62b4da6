//! Removing a container that nobody keeps alive, and waiting for that.

use std::time::Duration;

use anyhow::{Context, bail};

use super::entry::{Entry, Loaded};
use super::files::Refused;
use super::lock::{Byte, PATIENCE, patiently};
use super::record::Record;
use super::store::Store;
use crate::spec::ContainerId;

/// What came of a removal.
#[derive(Debug, PartialEq)]
pub enum Removal {
    /// The container is no more, and its name is free.
    Removed,
    /// It was gone already.
    Gone,
    /// Its launcher lives.
    Alive(Box<Record>),
}

/// What has become of a container that was to end.
#[derive(Debug, PartialEq)]
pub enum Over {
    /// Nobody keeps it alive.
    Ended,
    /// That one has ended, and it runs again: as this.
    Again(Box<Record>),
    /// It does not end.
    Not,
}

impl Store {
    /// Removes the record of `id`, unless its launcher lives. Of several that
    /// do so at once, one has removed it.
    ///
    /// # Errors
    /// What the disk says, and what keeps a killed container's leftovers from
    /// being taken down.
    pub fn remove(&self, id: &ContainerId) -> anyhow::Result<Removal> {
        self.remove_with(id, |_| ())
    }

    /// The same, and what else there is of the container goes first, once it is
    /// sure that it goes: killed in between one has a record to remove again,
    /// not files that nobody knows of.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn remove_with(
        &self,
        id: &ContainerId,
        rest: impl FnOnce(&Record),
    ) -> anyhow::Result<Removal> {
        let look = || format!("look at container {}", id.short());
        let Some(record) = self.visit(id)? else { return Ok(Removal::Gone) };
        let Some(entry) = Entry::open(self, id).with_context(look)? else {
            return Ok(Removal::Gone);
        };
        // Who has written how it ended lets go at once.
        let wait = if record.needs_launcher() { 0 } else { PATIENCE };
        if !patiently(wait, || Ok(!entry.lock.is_held(Byte::Life)?)).with_context(look)? {
            return Ok(Removal::Alive(Box::new(record)));
        }
        let path = self.path_of(id);
        if !patiently(PATIENCE, || entry.lock.take(Byte::Edit)).refused("lock", &path)? {
            bail!("another sublet has been changing {} for two seconds", path.display());
        }
        if !entry.is_at(self, id).with_context(look)? {
            return Ok(Removal::Gone);
        }
        let record = match entry.load(id)? {
            Loaded::Record(record) => *record,
            _ => record,
        };
        // It may have been started again since.
        if entry.lock.is_held(Byte::Life).with_context(look)? {
            return Ok(Removal::Alive(Box::new(record)));
        }
        rest(&record);
        self.bury(id, record.name.as_ref())?;
        Ok(Removal::Removed)
    }

    /// Waits until nobody keeps the container `id` alive; false if somebody
    /// does after `time`.
    ///
    /// # Errors
    /// Where that can't be found out.
    pub fn await_end(&self, id: &ContainerId, time: Duration) -> anyhow::Result<bool> {
        let look = || format!("look at container {}", id.short());
        let Some(entry) = Entry::open(self, id).with_context(look)? else { return Ok(true) };
        let ended = || Ok(!entry.lock.is_held(Byte::Life)?);
        patiently(time.as_millis() as u32, ended).with_context(look)
    }

    /// The same of the one whose `record` it was: somebody may have started it
    /// again meanwhile.
    ///
    /// # Errors
    /// As [`await_end`](Self::await_end).
    pub fn await_over(&self, record: &Record, time: Duration) -> anyhow::Result<Over> {
        /// A record is read each time as many milliseconds later.
        const LOOKS: u32 = 16;
        let id = &record.id;
        let look = || format!("look at container {}", id.short());
        let Some(entry) = Entry::open(self, id).with_context(look)? else { return Ok(Over::Ended) };
        let (mut again, mut turn) = (None, 0_u32);
        let over = || {
            if !entry.lock.is_held(Byte::Life)? {
                return Ok(true);
            }
            turn = turn.wrapping_add(1);
            if turn % LOOKS == 1
                && let Ok(Loaded::Record(now)) = entry.load(id)
                && now.life.comes_after(&record.life)
            {
                again = Some(now);
            }
            Ok(again.is_some())
        };
        let over = patiently(time.as_millis() as u32, over).with_context(look)?;
        Ok(match again {
            Some(now) => Over::Again(now),
            None if over => Over::Ended,
            None => Over::Not,
        })
    }
}
