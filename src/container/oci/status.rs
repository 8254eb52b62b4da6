//! What a container is doing: asked of the kernel, and told as the runtime
//! specification has it.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::unistd::Pid;
use serde::Serialize;

use super::{Runtime, group};
use crate::launch::doorstep;
use crate::spec::ContainerId;
use crate::state::{Bundle, Found};
use crate::sys::fd::{Patience, wait_readable};

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made: only hooks hear that.
    Creating,
    /// It waits for its start.
    Created,
    /// It runs.
    Running,
    /// It stands still.
    Paused,
    /// It is over.
    Stopped,
}

impl Status {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// The first process of a container that is not over, and what it does.
///
/// # Errors
/// Where that can't be found out.
pub(super) fn look(found: &Found) -> anyhow::Result<(Status, Option<OwnedFd>)> {
    let Some(process) = found.bundle.payload.open()? else { return Ok((Status::Stopped, None)) };
    // One that has ended and waits for its parent to take notice is over.
    if wait_readable([process.as_fd()], Patience::None)? == [true] {
        return Ok((Status::Stopped, None));
    }
    match doorstep::is_attended(found.directory())? {
        true => Ok((Status::Created, Some(process))),
        false if group::is_paused(&found.bundle) => Ok((Status::Paused, Some(process))),
        false => Ok((Status::Running, Some(process))),
    }
}

/// The state of a container, as JSON: the fields of the specification, and
/// those that runc adds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    bundle: &'a Path,
    rootfs: &'a Path,
    created: String,
    owner: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a HashMap<String, String>>,
}

impl<'a> State<'a> {
    /// Of a container that is doing that.
    pub fn of(bundle: &'a Bundle, status: Status) -> Self {
        let pid = (status != Status::Stopped).then_some(bundle.payload.pid);
        Self {
            oci_version: bundle.config.version(),
            id: bundle.id.as_str(),
            status,
            pid,
            bundle: &bundle.directory,
            rootfs: &bundle.root,
            created: crate::container::time::utc(bundle.created),
            owner: "",
            annotations: bundle.config.annotations().as_ref(),
        }
    }

    /// The same with the pid that its first process has there.
    pub fn seen_as(self, pid: Pid) -> Self {
        Self { pid: self.pid.map(|_| pid.as_raw()), ..self }
    }

    /// As JSON.
    ///
    /// # Errors
    /// None, for there are strings and numbers only.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

impl Runtime {
    /// `state`: what a container is doing, as JSON.
    ///
    /// # Errors
    /// Where there is none of that id.
    pub fn state(&self, id: &ContainerId) -> anyhow::Result<String> {
        let found = self.find(id)?;
        let (status, _) = look(&found)?;
        Ok(State::of(&found.bundle, status).to_json()? + "\n")
    }
}
