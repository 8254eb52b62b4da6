//! `list`: what containers there are.

use serde::Serialize;

use super::Runtime;
use super::status::{Status, look};
use crate::container::time::utc;
use crate::spec::ContainerId;

/// A line of the list.
#[derive(Debug, Serialize)]
pub struct Line {
    /// The id.
    pub id: String,
    /// The first process; 0 for one that is over.
    pub pid: i32,
    /// What it does.
    pub status: Status,
    /// The directory that it was made from.
    pub bundle: String,
    /// When it was made.
    pub created: String,
}

impl Runtime {
    /// Those there are, in the order of their ids; those that can't be looked at
    /// are told to `warn`.
    ///
    /// # Errors
    /// Where the directory can't be read.
    pub fn list(&self, warn: impl Fn(&anyhow::Error)) -> anyhow::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for id in self.bundles.ids()? {
            match self.line(&id) {
                Ok(line) => lines.extend(line),
                Err(error) => warn(&error),
            }
        }
        Ok(lines)
    }

    fn line(&self, id: &ContainerId) -> anyhow::Result<Option<Line>> {
        let Some(found) = self.bundles.seek(id)? else { return Ok(None) };
        let (status, _) = look(&found)?;
        let bundle = &found.bundle;
        Ok(Some(Line {
            id: id.to_string(),
            pid: if status == Status::Stopped { 0 } else { bundle.payload.pid },
            status,
            bundle: bundle.directory.display().to_string(),
            created: utc(bundle.created),
        }))
    }
}
