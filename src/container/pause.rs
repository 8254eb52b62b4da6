//! `sublet pause` and `sublet unpause`: a container that stands still.
//!
//! The cgroup v2 freezer: cgroup.freeze, Documentation/admin-guide/cgroup-v2.
//! Only the payload's own group is frozen, so that our watcher goes on.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use crate::cgroup::{Deadline, Directory};
use crate::error::Explain;
use crate::state::{Life, Record};

/// How long a process is waited for that is busy in the kernel.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stops all processes of a container where they are.
///
/// # Errors
/// One that does not run, is paused, or has no control group of its own.
pub fn pause(record: &Record) -> anyhow::Result<()> {
    let payload = payload(record)?;
    if is_frozen(&payload) {
        bail!("container {} is paused already", record.label());
    }
    payload.freeze(Deadline::after(PATIENCE)).with_context(|| format!("pause {}", record.label()))
}

/// Lets them go on.
///
/// # Errors
/// One that does not run, or is not paused.
pub fn unpause(record: &Record) -> anyhow::Result<()> {
    let payload = payload(record)?;
    if !is_frozen(&payload) {
        bail!("container {} is not paused", record.label());
    }
    payload.thaw(Deadline::after(PATIENCE)).with_context(|| format!("unpause {}", record.label()))
}

/// Whether it runs and stands still.
pub fn is_paused(record: &Record) -> bool {
    record.place.is_some() && payload(record).is_ok_and(|payload| is_frozen(&payload))
}

/// How it is, in docker's word.
pub fn status(record: &Record) -> &'static str {
    if is_paused(record) { "paused" } else { record.life.status() }
}

fn payload(record: &Record) -> anyhow::Result<Directory> {
    let label = record.label();
    if !matches!(record.life, Life::Running { .. }) {
        bail!("container {label} is not running");
    }
    let Some(place) = &record.place else {
        return Err(anyhow!("container {label} has no control group of its own")).hint(
            "it gets one where it is started with a limit, such as --pids-limit 2048,\n\
             or with --cgroups require",
        );
    };
    Ok(Directory::open(&place.cgroup)?.child("payload")?)
}

fn is_frozen(payload: &Directory) -> bool {
    payload.read("cgroup.freeze").is_ok_and(|text| text.trim_end() == "1")
}
