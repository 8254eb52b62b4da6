//! `sublet rm`: a container is no more, and its name is free.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use nix::libc;

use super::request;
use crate::error::Explain;
use crate::log;
use crate::spec::Name;
use crate::spec::signal::Signal;
use crate::state::{Identity, Life, Over, Record, Removal, Store};
use crate::sys::process::send_signal;

/// What is done to one that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Nothing.
    Spare,
    /// It is killed first.
    Kill,
}

/// How long a payload that was killed is waited for: what it has written may
/// have to reach a slow disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes the container of `record`.
///
/// # Errors
/// One that runs and is to be spared; what the disk says.
pub fn remove(store: &Store, record: &Record, force: Force) -> anyhow::Result<()> {
    if force == Force::Kill {
        return kill_and_bury(store, record, "rm");
    }
    match bury(store, record)? {
        None => Ok(()),
        Some(record) => {
            let label = record.label();
            let told = match record.life.launcher().is_some() {
                true => anyhow!("container {label} is {}", record.life.status()),
                // It holds it, and has not written that down yet.
                false => anyhow!("container {label} is just being started"),
            };
            Err(told).hint(format!("sublet rm -f {label} kills it first"))
        }
    }
}

/// Removes it, as often killed as others start it again meanwhile.
fn kill_and_bury(store: &Store, record: &Record, verb: &str) -> anyhow::Result<()> {
    let mut record = record.clone();
    for _ in 0..TIMES {
        end(store, &record, verb, Again::Kill)?;
        match bury(store, &record)? {
            None => return Ok(()),
            Some(alive) => record = *alive,
        }
    }
    bail!("container {} is started again each time that it is killed", record.label())
}

/// Removes it with its log, if nobody keeps it alive: who does.
fn bury(store: &Store, record: &Record) -> anyhow::Result<Option<Box<Record>>> {
    let logs = |record: &Record| record.upkeep.log.iter().for_each(|log| log::remove(log));
    match store.remove_with(&record.id, logs)? {
        Removal::Removed | Removal::Gone => Ok(None),
        Removal::Alive(record) => Ok(Some(record)),
    }
}

/// Removes the container that has this name, if one has.
///
/// # Errors
/// As [`remove`].
pub fn replace(store: &Store, name: &Name) -> anyhow::Result<()> {
    let Some(record) = store.named(name)? else { return Ok(()) };
    let replaced = kill_and_bury(store, &record, "run");
    replaced.with_context(|| format!("replace container {name}"))
}

/// Removes the container that has this name, if one has that never ran: its
/// record says why not, and holds nothing that anybody would miss.
///
/// # Errors
/// As [`remove`].
pub fn make_way(store: &Store, name: &Name) -> anyhow::Result<()> {
    let never_ran = |record: &Record| record.failed.is_some() && !record.has_run();
    let Some(record) = store.named(name)?.filter(never_ran) else { return Ok(()) };
    store.remove(&record.id).map(drop)
}

/// How often a container is killed that others start again meanwhile.
const TIMES: usize = 20;

/// What is done to one that somebody has started again meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It is let run: who started it wants that.
    Spare,
    /// It is killed as well.
    Kill,
}

/// Kills the payload for `verb`, and waits until its launcher has said so and
/// ended.
pub(super) fn end(store: &Store, record: &Record, verb: &str, again: Again) -> anyhow::Result<()> {
    let mut record = record.clone();
    for _ in 0..TIMES {
        match kill(store, &record, verb)? {
            Over::Ended => return Ok(()),
            Over::Again(now) if again == Again::Spare && is_anothers(&now, &record) => {
                return Ok(());
            }
            Over::Again(now) => record = *now,
            Over::Not => bail!("container {} was killed and does not end", record.label()),
        }
    }
    bail!("container {} is started again each time that it is killed", record.label())
}

/// Whether somebody else keeps it alive than did then.
pub(super) fn is_anothers(now: &Record, then: &Record) -> bool {
    now.life.launcher() != then.life.launcher()
}

/// Kills it once: what has become of it.
fn kill(store: &Store, record: &Record, verb: &str) -> anyhow::Result<Over> {
    let (payload, launcher) = match &record.life {
        Life::Running { payload, launcher, .. } => (Some(payload), Some(launcher)),
        Life::Restarting { launcher, .. } => (None, Some(launcher)),
        Life::Created { launcher } => (None, launcher.as_ref()),
        // Somebody may just be starting it again, or not have let go of it yet.
        Life::Exited(_) => return store.await_over(record, PATIENCE),
    };
    request::note(store, record, verb, Signal::KILL);
    super::signal::spare(store, record);
    let kill = |process: &Identity| -> anyhow::Result<()> {
        if let Some(open) = process.open()? {
            // One that has ended meanwhile needs none.
            let _ = send_signal(std::os::fd::AsFd::as_fd(&open), libc::SIGKILL);
        }
        Ok(())
    };
    // Its launcher says how it ended, also where that was not by us: it is given
    // the time for that.
    if let Some(payload) = payload {
        kill(payload)?;
        match store.await_over(record, PATIENCE)? {
            Over::Not => {}
            over => return Ok(over),
        }
    }
    // One that is stopped doesn't notice; its watcher takes the payload along.
    launcher.map(kill).transpose()?;
    store.await_over(record, PATIENCE)
}
