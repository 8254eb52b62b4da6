//! What nobody would miss goes by itself.
//!
//! A run that was given no name, no label and no file for its id leaves a
//! record behind as any other does. The oldest of these are removed once there
//! are more than [`KEPT`]. One run of sixteen looks for them
//! ([`ContainerId::has_turn`]).

use super::record::{Afterwards, Life, Record};
use super::store::Store;
use crate::spec::ContainerId;

/// How many records stay that nobody has a word for.
pub const KEPT: usize = 100;

impl Store {
    /// Removes the oldest that fade and have ended, if it is the turn of the
    /// container `id`: those that are gone. One that can't be read or removed is
    /// left to those who ask for it.
    pub fn fade(&self, id: &ContainerId) -> Vec<Record> {
        if !id.has_turn() {
            return Vec::new();
        }
        let Ok(mut listing) = self.list() else { return Vec::new() };
        let fades = |record: &Record| {
            record.afterwards == Afterwards::Fade && matches!(record.life, Life::Exited(_))
        };
        listing.records.retain(fades);
        let mut fading = listing.records;
        fading.truncate(fading.len().saturating_sub(KEPT));
        fading.retain(|record| self.remove(&record.id).is_ok());
        fading
    }
}
