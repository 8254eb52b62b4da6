//! Completes a scope that systemd has made and delegated.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::deadline::Deadline;
use super::share::share;
use super::tree::Directory;
use super::{PAYLOAD, write_all};
use crate::host::cgroup::SUPERVISOR;
use crate::plan::cgroup::Cgroup;

/// A container's part of a scope. systemd removes it with the scope, once the
/// last process has left.
#[derive(Debug)]
pub struct Delegated {
    scope: Directory,
    payload: Directory,
}

/// How long what must be moved is followed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Divides the scope at `scope` into leaves and moves `child`, which waits in
/// it, to the payload's; `watcher` and whatever else is in it to the other.
///
/// The watcher keeps the scope until its figures have been read. It has to be
/// one of the processes that systemd was given for the scope: from a login
/// session a user can't move a process into it, because the nearest cgroup
/// above both is root's.
///
/// # Errors
/// What was refused.
pub fn divide(
    scope: &Path,
    plan: &Cgroup,
    child: i32,
    watcher: Option<i32>,
) -> anyhow::Result<Delegated> {
    divide_directory(Directory::open(scope)?, plan, child, watcher)
}

/// As [`divide`], on any file system.
pub(super) fn divide_directory(
    scope: Directory,
    plan: &Cgroup,
    child: i32,
    watcher: Option<i32>,
) -> anyhow::Result<Delegated> {
    let deadline = Deadline::after(PATIENCE);
    let payload = scope.make_or_open(PAYLOAD)?;
    payload.add_process(child).context("move the container to its cgroup")?;
    if let Some(watcher) = watcher {
        let leaf = scope.make_or_open(SUPERVISOR)?;
        leaf.add_process(watcher).context("move the watcher to its cgroup")?;
    }
    share(&scope, &plan.controllers, deadline)?;
    write_all(&scope, &plan.limits)?;
    write_all(&payload, &plan.payload)?;
    Ok(Delegated { scope, payload })
}

impl Delegated {
    /// The cgroup that is limited: what the container uses is counted here.
    pub fn limited(&self) -> &Directory {
        &self.scope
    }

    /// The leaf for the container.
    pub fn payload(&self) -> &Directory {
        &self.payload
    }
}
