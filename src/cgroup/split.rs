//! Splits a cgroup that is ours: the manager that asks nobody.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use nix::errno::Errno;

use super::deadline::Deadline;
use super::made::{Made, remove_stale};
use super::share::share;
use super::tree::Directory;
use super::{PAYLOAD, write_all};
use crate::error::Explain;
use crate::plan::cgroup::Cgroup;

/// A container's part of our cgroup; removed with the value.
#[derive(Debug)]
pub struct Split {
    payload: Directory,
    made: Made,
}

/// How long what must be moved is followed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the cgroup `name` in the one at `ours`, with the plan's limits, and
/// the payload's leaf in it.
///
/// Where `ours` holds processes and has to share a controller out, they move
/// to its leaf `supervisor`, this one too, and stay there. What launchers left
/// that were killed is removed on the way.
///
/// # Errors
/// What was refused; all that was made is then removed again.
pub fn split(ours: &Path, name: &str, plan: &Cgroup) -> anyhow::Result<Split> {
    split_directory(Directory::open(ours)?, name, plan)
}

/// As [`split`], on any file system.
pub(super) fn split_directory(ours: Directory, name: &str, plan: &Cgroup) -> anyhow::Result<Split> {
    let deadline = Deadline::after(PATIENCE);
    remove_stale(&ours);
    share(&ours, &plan.controllers, deadline)
        .with_context(|| format!("split the cgroup {}", ours.path().display()))?;
    let made = match Made::new(ours, name) {
        Err(taken) if taken.errno == Errno::EEXIST => {
            return Err(taken).hint("a container of this name runs, or is just ending");
        }
        made => made?,
    };
    write_all(made.directory(), &plan.limits)?;
    share(made.directory(), &plan.controllers, deadline)?;
    let payload = made.directory().make(PAYLOAD)?;
    write_all(&payload, &plan.payload)?;
    Ok(Split { payload, made })
}

impl Split {
    /// The cgroup that is limited: what the container uses is counted here.
    pub fn limited(&self) -> &Directory {
        self.made.directory()
    }

    /// The leaf for the container.
    pub fn payload(&self) -> &Directory {
        &self.payload
    }
}
