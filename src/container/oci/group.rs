//! The control group of a container: standing still, going on, its end.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use nix::unistd::Pid;

use super::Runtime;
use super::status::{Status, look};
use crate::cgroup::{Deadline, Directory, PAYLOAD};
use crate::error::Explain;
use crate::host::Host;
use crate::plan::cgroup::{Cgroup, Manager};
use crate::spec::ContainerId;
use crate::state::{Bundle, Place};
use crate::sys::Errno;

/// How long a process is waited for that is busy in the kernel.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a container was put that has a group of its own.
///
/// # Errors
/// Where a scope is not to be found that systemd has made.
pub fn place(cgroup: &Cgroup, payload: Pid, host: &Host) -> anyhow::Result<Option<Place>> {
    Ok(match &cgroup.manager {
        Manager::None => None,
        Manager::Direct { parent, name } => Some(Place { cgroup: parent.join(name), unit: None }),
        Manager::Systemd { unit, .. } => {
            let now = host.cgroups()?.of_process(payload.as_raw())?;
            let found = now.ancestors().find(|path| path.ends_with(unit));
            let cgroup = found.with_context(|| format!("find {unit} above {}", now.display()))?;
            Some(Place { cgroup: cgroup.to_owned(), unit: Some(unit.clone()) })
        }
    })
}

/// The group of a container, which may be over.
///
/// # Errors
/// Where it has none of its own.
pub fn of(bundle: &Bundle) -> anyhow::Result<&Place> {
    let lacks = || anyhow!("container {} has no control group of its own", bundle.id);
    bundle.place.as_ref().with_context(lacks).hint(
        "it gets one where its configuration has linux.cgroupsPath, as podman's has with \
         --cgroup-manager systemd, or with cgroupfs and --cgroup-parent",
    )
}

/// Whether a container stands still.
pub fn is_paused(bundle: &Bundle) -> bool {
    let frozen = |place: &Place| {
        let text = fs::read_to_string(place.cgroup.join(PAYLOAD).join("cgroup.freeze"));
        text.is_ok_and(|text| text.trim_end() == "1")
    };
    bundle.place.as_ref().is_some_and(frozen)
}

/// Whether a group was there to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    /// Whatever was in it.
    All,
    /// There is none any more, or never was.
    Nothing,
}

/// Kills all that is left in the group, which stays.
///
/// # Errors
/// What keeps us from it.
pub fn kill(bundle: &Bundle) -> anyhow::Result<Killed> {
    let Some(Place { cgroup, .. }) = &bundle.place else { return Ok(Killed::Nothing) };
    let what = || format!("kill the control group of container {}", bundle.id);
    let group = match Directory::open(cgroup) {
        // Removed, or of a tree that is not mounted here.
        Err(refused) if matches!(refused.errno, Errno::ENOENT | Errno::ENOTTY) => {
            return Ok(Killed::Nothing);
        }
        opened => opened.with_context(what)?,
    };
    match group.kill() {
        Err(refused) if refused.errno == Errno::ENODEV => Ok(Killed::Nothing),
        killed => killed.map(|()| Killed::All).with_context(what),
    }
}

/// Kills all that is left in the group, and removes it. A scope goes by itself
/// with its last process.
///
/// # Errors
/// What doesn't end.
pub fn end(bundle: &Bundle) -> anyhow::Result<()> {
    let Some(Place { cgroup, unit }) = &bundle.place else { return Ok(()) };
    let what = || format!("end the control group of container {}", bundle.id);
    if kill(bundle)? == Killed::Nothing || unit.is_some() {
        return Ok(());
    }
    let name = cgroup.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let parent = Directory::open(cgroup.parent().unwrap_or(Path::new("/"))).with_context(what)?;
    match parent.remove(name, Deadline::after(PATIENCE)) {
        Err(refused) if refused.errno == Errno::ENOENT => Ok(()),
        removed => removed.with_context(what),
    }
}

impl Runtime {
    /// Stops all processes of a container where they are.
    ///
    /// # Errors
    /// Where it does not run, stands still already, or has no group of its own.
    pub fn pause(&self, id: &ContainerId) -> anyhow::Result<()> {
        let found = self.find(id)?;
        match look(&found)?.0 {
            Status::Running => {}
            status => bail!("cannot pause container {id} that is {}", status.word()),
        }
        let payload = Directory::open(&of(&found.bundle)?.cgroup)?.child(PAYLOAD)?;
        payload.freeze(Deadline::after(PATIENCE)).with_context(|| format!("pause container {id}"))
    }

    /// Has them go on.
    ///
    /// # Errors
    /// Where it does not stand still.
    pub fn resume(&self, id: &ContainerId) -> anyhow::Result<()> {
        let found = self.find(id)?;
        match look(&found)?.0 {
            Status::Paused => {}
            status => bail!(
                "cannot resume container {id} that is {}: only one that is paused",
                status.word()
            ),
        }
        let payload = Directory::open(&of(&found.bundle)?.cgroup)?.child(PAYLOAD)?;
        payload.thaw(Deadline::after(PATIENCE)).with_context(|| format!("resume container {id}"))
    }
}
