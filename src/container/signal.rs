//! `sublet kill` and `sublet stop`: signals to a container that runs.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::libc;

use super::pause::{is_paused, unpause};
use super::remove::Again;
use super::{remove, request};
use crate::spec::background::{Restart, STOP_TIMEOUT};
use crate::spec::signal::Signal;
use crate::state::{Life, Over, Record, Store};
use crate::sys::Errno;
use crate::sys::process::send_signal;

/// How long a launcher is waited for that was told to end, or that is about to
/// start its container.
const MOMENT: Duration = Duration::from_secs(2);

/// Sends a signal to the payload. One that was to end it has ended it for good:
/// it is not started again.
///
/// What a process can catch goes to the launcher, which passes it on: the
/// kernel keeps from a pid 1 all that it has no handler for
/// (pid_namespaces(7)), and the launcher knows what the sender meant by it.
///
/// # Errors
/// A container that does not run.
pub fn kill(store: &Store, record: &Record, signal: Signal) -> anyhow::Result<()> {
    let target = hears(record, signal)?;
    let stops = record.upkeep.stop_signal.unwrap_or(libc::SIGTERM);
    if [libc::SIGKILL, stops].contains(&signal.0) {
        spare(store, record);
    }
    send(store, record, "kill", signal, &target)
}

/// The process that is to hear of a signal.
fn hears(record: &Record, signal: Signal) -> anyhow::Result<OwnedFd> {
    let Life::Running { launcher, payload, .. } = &record.life else {
        bail!("container {} is not running", record.label());
    };
    let target = match signal.0 {
        libc::SIGKILL | libc::SIGSTOP => payload,
        _ => launcher,
    };
    let process = target.open()?;
    process.with_context(|| format!("container {} is not running", record.label()))
}

fn send(
    store: &Store,
    record: &Record,
    verb: &str,
    signal: Signal,
    target: &OwnedFd,
) -> anyhow::Result<()> {
    request::note(store, record, verb, signal);
    match send_signal(target.as_fd(), signal.0) {
        // It has ended, and its launcher is about to say so.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => {
            Err(errno).with_context(|| format!("send signal {} to {}", signal.0, record.label()))
        }
    }
}

/// Has a container not be started again. One that is gone needs no word, and
/// where it can't be said, the disk is full and it ends all the same.
pub(super) fn spare(store: &Store, record: &Record) {
    // A health check may have it started again, too.
    if record.upkeep.restart != Restart::No || record.health.is_some() {
        _ = store.edit(&record.id, |record| record.upkeep.stopped = true);
    }
}

/// Asks the payload to end, by `signal` or by its own, and kills it if it has
/// not after `patience`, or after its own. One that does not run is stopped
/// already.
///
/// # Errors
/// Where it doesn't even end then.
pub fn stop(
    store: &Store,
    record: &Record,
    signal: Option<Signal>,
    patience: Option<Duration>,
) -> anyhow::Result<()> {
    if matches!(record.life, Life::Exited(_) | Life::Created { launcher: None }) {
        return Ok(());
    }
    spare(store, record);
    match &record.life {
        Life::Running { .. } => {
            let own = record.upkeep.stop_signal.map_or(Signal::TERM, Signal);
            let signal = signal.unwrap_or(own);
            // It may end before it hears.
            _ = hears(record, signal).and_then(|it| send(store, record, "stop", signal, &it));
            // Somebody else may have it go on at the same time.
            if is_paused(record)
                && let Err(error) = unpause(record)
                && is_paused(record)
            {
                return Err(error);
            }
        }
        // What is told to the launcher now ends its wait.
        Life::Restarting { launcher, .. } => {
            if let Some(process) = launcher.open()? {
                _ = send_signal(process.as_fd(), libc::SIGTERM);
            }
        }
        _ => {}
    }
    let own = record.upkeep.stop_timeout.unwrap_or(STOP_TIMEOUT);
    let patience = patience.unwrap_or(Duration::from_secs(own.into()));
    // One that does not run yet, or not again, does so in a moment, or is over.
    let starts = !matches!(record.life, Life::Running { .. });
    let moment = if starts { patience.max(MOMENT) } else { patience };
    match store.await_over(record, moment)? {
        Over::Ended => Ok(()),
        Over::Again(now) if remove::is_anothers(&now, record) => Ok(()),
        Over::Again(now) => stop(store, &now, signal, Some(patience)),
        Over::Not => remove::end(store, record, "stop", Again::Spare),
    }
}
