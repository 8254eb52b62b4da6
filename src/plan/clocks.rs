//! A time namespace: clocks that show another time since the machine's start.
//!
//! Reads `linux.timeOffsets` and the `time` of `linux.namespaces`; `child::clocks`
//! performs it. The child itself goes in: its clone could not, for the offsets
//! can be set only before anybody is (time_namespaces(7)); nor may the launcher,
//! who tells processes apart by when they were started.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use oci_spec::runtime::{Linux, LinuxNamespaceType, LinuxTimeOffset};

use super::draft::cstring;
use super::namespaces::Namespaces;
use super::step::Step;

/// The step for what is asked, if anything is.
///
/// # Errors
/// Offsets without new clocks.
pub fn step(linux: &Linux, namespaces: Namespaces) -> anyhow::Result<Option<Step>> {
    let none = HashMap::new();
    let offsets = linux.time_offsets().as_ref().unwrap_or(&none);
    if namespaces.own_time() {
        return Ok(Some(Step::NewClocks { offsets: text(offsets).into_bytes() }));
    }
    ensure!(
        offsets.is_empty(),
        "linux.timeOffsets takes a new time namespace in linux.namespaces: those of one that is \
         there can't be changed"
    );
    if !namespaces.apart(libc::CLONE_NEWTIME) {
        return Ok(None);
    }
    let time = |kind| kind == LinuxNamespaceType::Time;
    let asked = linux.namespaces().iter().flatten().find(|one| time(one.typ()));
    let path = asked.and_then(|one| one.path().as_ref()).context("it has a path")?;
    Ok(Some(Step::JoinClocks { path: cstring(path)? }))
}

/// As /proc/PID/timens_offsets takes it.
fn text(offsets: &HashMap<String, LinuxTimeOffset>) -> String {
    let line = |clock: &str| {
        let offset = offsets.get(clock)?;
        let (seconds, nanos) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        Some(format!("{clock} {seconds} {nanos}\n"))
    };
    ["monotonic", "boottime"].into_iter().filter_map(line).collect()
}
