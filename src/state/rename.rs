//! Another name for a container, running or not.
//!
//! The record decides: with its one exchange the container is called so. Before
//! that the new link is a leftover, and behind it the old one; both are what
//! [`names`](super::names) knows. The lock of the names is held over all three
//! steps, so that nobody takes the new link away before it counts.

use anyhow::{Context, anyhow, bail};

use super::entry::{Entry, Loaded};
use super::files::{Refused, Turn};
use super::lock::{Byte, PATIENCE, patiently};
use super::names::Held;
use super::record::Record;
use super::store::Store;
use crate::error::Explain;
use crate::spec::{ContainerId, Name};

impl Store {
    /// Gives the container `id` another name: what its record says then.
    ///
    /// # Errors
    /// Where another container has that name, or this one; where it is gone;
    /// what the disk says.
    pub fn call(&self, id: &ContainerId, name: &Name) -> anyhow::Result<Record> {
        // A container that was killed may lose its name by this look.
        self.named(name)?;
        let gone = || anyhow!("container {} is gone", id.short());
        let look = || format!("look at container {}", id.short());
        let entry = Entry::open(self, id).with_context(look)?.ok_or_else(gone)?;
        let path = self.path_of(id);
        if !patiently(PATIENCE, || entry.lock.take(Byte::Edit)).refused("lock", &path)? {
            bail!("another sublet has been changing {} for two seconds", path.display());
        }
        if !entry.is_at(self, id).with_context(look)? {
            return Err(gone());
        }
        let Loaded::Record(mut record) = entry.load(id)? else { return Err(gone()) };
        if record.name.as_ref() == Some(name) {
            return Err(anyhow!("container {} is called {name} already", id.short()))
                .hint("another name is needed");
        }
        // The edit first, then the names: in this order whoever removes a
        // container has them.
        let names = Held::take(self)?;
        names.claim(name, id)?;
        let old = record.name.replace(name.clone());
        record.keep();
        if let Err(error) = entry.write(self, &record, Turn::Later) {
            // It is not called so; whoever wants the name may have it.
            let _ = names.withdraw(name, id);
            return Err(error);
        }
        if let Some(old) = &old {
            // It counts no more, and the next who wants it removes it.
            let _ = names.withdraw(old, id);
        }
        Ok(*record)
    }
}
