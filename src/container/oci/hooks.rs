//! Programs of the host that the configuration has run at certain moments.
//!
//! They are the caller's own, with the environment that the configuration gives
//! them and nothing beside: neither the caller's nor the image's. They hear the
//! container's state on standard input.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::Pid;
use oci_spec::runtime::Hook;

use super::status::{State, Status};
use crate::child::helper::{Before, prepare};
use crate::error::Explain;
use crate::launch::patience;
use crate::state::Bundle;
use crate::sys::Errno;
use crate::sys::process::open_pidfd;

/// How much of what a hook says is told when it fails, in bytes.
const WORDS: u64 = 4096;

/// Runs them one after the other; `field` is what they are called in the
/// configuration.
///
/// # Errors
/// The first that fails, or takes longer than it may.
pub fn run(field: &str, hooks: &Option<Vec<Hook>>, state: &str) -> anyhow::Result<()> {
    for hook in hooks.iter().flatten() {
        one(hook, state)
            .with_context(|| format!("hooks.{field}: {}", hook.path().display()))
            .hint("it is in the configuration: who has made the container put it there")?;
    }
    Ok(())
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
        let one = Some(vec![hook.clone()]);
        run("poststop", &one, &state).unwrap_or_else(|error| warn(&error));
    }
    Ok(())
}

fn one(hook: &Hook, state: &str) -> anyhow::Result<()> {
    ensure!(hook.path().is_absolute(), "the path of a hook is absolute");
    let until = match hook.timeout().map(u64::try_from) {
        None => None,
        Some(Ok(seconds @ 1..)) => Instant::now().checked_add(Duration::from_secs(seconds)),
        Some(_) => bail!("its timeout is not a number of seconds above 0"),
    };
    let mut command = Command::new(hook.path());
    if let Some((name, rest)) = hook.args().as_deref().unwrap_or_default().split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear();
    for variable in hook.env().iter().flatten() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        command.env(name, value);
    }
    // Files in memory: one that reads nothing, or says a lot, waits for nobody.
    let (mut heard, mut said) = (memory()?, memory()?);
    heard.write_all(state.as_bytes()).context("tell it the state")?;
    heard.rewind().context("tell it the state")?;
    let to = |file: &File| file.try_clone().map(Stdio::from);
    command.stdin(heard).stdout(Stdio::null()).stderr(to(&said).context("hear it")?);
    prepare(&mut command, Before::default());
    let mut child = command.spawn().context("start it")?;
    let ended = in_time(child.id(), until);
    if !matches!(ended, Ok(true)) {
        // It is a child of ours, not yet reaped.
        let _ = child.kill();
    }
    let status = child.wait().context("wait for it")?;
    ensure!(ended?, "it took longer than its timeout, and was killed");
    if status.success() {
        return Ok(());
    }
    let mut words = Vec::new();
    said.rewind().and_then(|()| said.take(WORDS).read_to_end(&mut words)).context("hear it")?;
    let words = String::from_utf8_lossy(&words);
    Err(match words.trim() {
        "" => anyhow!("{status}"),
        words => anyhow!("{status}: {words}"),
    })
}

fn memory() -> anyhow::Result<File> {
    let made = memfd_create(c"hook", MFdFlags::MFD_CLOEXEC).context("make a file in memory")?;
    Ok(File::from(made))
}

/// Whether it ends by then.
fn in_time(child: u32, until: Option<Instant>) -> anyhow::Result<bool> {
    let process = open_pidfd(Pid::from_raw(child as i32)).context("wait for it")?;
    loop {
        let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, patience(until)) {
            Ok(0) if until.is_some_and(|until| until <= Instant::now()) => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno).context("wait for it"),
        }
    }
}
