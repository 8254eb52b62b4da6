//! Programs that the configuration has run at certain moments.
//!
//! Most are the caller's own, run here, with the environment that the
//! configuration gives them and nothing beside: neither the caller's nor the
//! image's. `createContainer` and `startContainer` are run by the container's first
//! process; what they are told comes from here. All hear the container's state
//! on standard input.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::unistd::Pid;
use oci_spec::runtime::Hook;

use super::status::{State, Status};
use crate::child::helper::{Before, prepare};
use crate::child::report::HookEnd;
use crate::error::Explain;
use crate::host::inside::own_number;
use crate::launch::hooks::{Files, HINT, Words, outcome, state};
use crate::launch::readable_by;
use crate::state::Bundle;
use crate::sys::process::{Ended, open_pidfd};

/// Runs them one after the other; `field` is what they are called in the
/// configuration.
///
/// # Errors
/// The first that fails, or takes longer than it may.
pub fn run(field: &str, hooks: &Option<Vec<Hook>>, state: &str) -> anyhow::Result<()> {
    hooks.iter().flatten().try_for_each(|hook| told(field, hook, one(hook, state)))
}

/// Runs those for a container that is over, each whatever becomes of the others:
/// `warn` hears of those that fail.
///
/// # Errors
/// None: the state is strings and numbers only.
pub fn after(bundle: &Bundle, warn: impl Fn(&anyhow::Error)) -> anyhow::Result<()> {
    let Some(all) = bundle.config.hooks() else { return Ok(()) };
    let state = State::of(bundle, Status::Stopped).to_json()?;
    for hook in all.poststop().iter().flatten() {
        told("poststop", hook, one(hook, &state)).unwrap_or_else(|error| warn(&error));
    }
    Ok(())
}

/// What `hooks` are told that the container's first process runs, if there are
/// such: with the pid that it has for itself (runtime specification, "State").
///
/// # Errors
/// Where the process has ended, or there is no memory.
pub fn files(bundle: &Bundle, status: Status, hooks: &[Hook]) -> anyhow::Result<Option<Files>> {
    if hooks.is_empty() {
        return Ok(None);
    }
    let pid = own_number(Pid::from_raw(bundle.payload.pid))?;
    let state = State::of(bundle, status).seen_as(pid).to_json()?;
    Files::telling(&state).map(Some)
}

/// Says which one it was that failed.
///
/// # Errors
/// That of `outcome`.
pub fn told(field: &str, hook: &Hook, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
    outcome.with_context(|| format!("hooks.{field}: {}", hook.path().display())).hint(HINT)
}

fn one(hook: &Hook, text: &str) -> anyhow::Result<()> {
    let seconds = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok());
    let until = seconds.and_then(|it| Instant::now().checked_add(Duration::from_secs(it)));
    let mut command = Command::new(hook.path());
    if let Some((name, rest)) = hook.args().as_deref().unwrap_or_default().split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear();
    for variable in hook.env().iter().flatten() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        command.env(name, value);
    }
    let (heard, words) = (state(text)?, Words::new()?);
    let to = |file: &File| file.try_clone().map(Stdio::from);
    command.stdin(heard).stdout(Stdio::null()).stderr(to(words.file()).context("hear it")?);
    prepare(&mut command, Before::default());
    let mut child = command.spawn().context("start it")?;
    let ended = in_time(child.id(), until);
    if !matches!(ended, Ok(true)) {
        // It is a child of ours, not yet reaped.
        let _ = child.kill();
    }
    let status = child.wait().context("wait for it")?;
    let end = match (ended?, status.code(), status.signal()) {
        (false, ..) => HookEnd::TooLong,
        (true, Some(code), _) => HookEnd::Ended(Ended::Exited(code)),
        (true, None, signal) => HookEnd::Ended(Ended::Killed(signal.unwrap_or_default())),
    };
    outcome(end, &words)
}

/// Whether it ends by then.
fn in_time(child: u32, until: Option<Instant>) -> anyhow::Result<bool> {
    let process = open_pidfd(Pid::from_raw(child as i32)).context("wait for it")?;
    readable_by(process.as_fd(), until)
}
