//! `sublet kill` and `sublet stop`: signals to a container that runs.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::libc;

use super::pause::{is_paused, unpause};
use super::{remove, request};
use crate::spec::signal::Signal;
use crate::state::{Life, Record, Store};
use crate::sys::Errno;
use crate::sys::process::send_signal;

/// Sends a signal to the payload.
///
/// What a process can catch goes to the launcher, which passes it on: the
/// kernel keeps from a pid 1 all that it has no handler for
/// (pid_namespaces(7)), and the launcher knows what the sender meant by it.
///
/// # Errors
/// A container that does not run.
pub fn kill(store: &Store, record: &Record, signal: Signal) -> anyhow::Result<()> {
    send(store, record, "kill", signal)
}

fn send(store: &Store, record: &Record, verb: &str, signal: Signal) -> anyhow::Result<()> {
    let Life::Running { launcher, payload, .. } = &record.life else {
        bail!("container {} is not running", record.label());
    };
    let target = match signal.0 {
        libc::SIGKILL | libc::SIGSTOP => payload,
        _ => launcher,
    };
    let Some(process) = target.open()? else {
        bail!("container {} is not running", record.label());
    };
    request::note(store, record, verb, signal);
    match send_signal(process.as_fd(), signal.0) {
        // It has ended, and its launcher is about to say so.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => {
            Err(errno).with_context(|| format!("send signal {} to {}", signal.0, record.label()))
        }
    }
}

/// Asks the payload by `signal` to end, and kills it if it has not after
/// `patience`. One that does not run is stopped already.
///
/// # Errors
/// Where it doesn't even end then.
pub fn stop(
    store: &Store,
    record: &Record,
    signal: Signal,
    patience: Duration,
) -> anyhow::Result<()> {
    if matches!(record.life, Life::Exited(_)) {
        return Ok(());
    }
    if matches!(record.life, Life::Running { .. }) {
        // It may end before it hears.
        _ = send(store, record, "stop", signal);
        if is_paused(record) {
            unpause(record)?;
        }
    }
    if store.await_end(&record.id, patience)? {
        return Ok(());
    }
    remove::end(store, record, "stop")
}
