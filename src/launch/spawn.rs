//! The clone.

use std::os::fd::AsFd;
use std::rc::Rc;

use anyhow::Context;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::channel::{self, Channel};
use super::timing::Timing;
use crate::child::start::Process;
use crate::child::sweep::UserNamespace;
use crate::child::watcher::Watcher;
use crate::error::Explain;
use crate::host::{Host, advice};
use crate::plan::step::Step;
use crate::plan::{Plan, Streams};
use crate::sys::fd::standard;
use crate::sys::process;
use crate::sys::tty::is_terminal;

/// A child between clone and exec.
pub struct Spawned {
    /// Its process.
    pub payload: Process,
    /// What it does, for telling what went wrong.
    pub steps: Rc<[Step]>,
    /// The way to it.
    pub channel: Channel,
    /// The signals that come for the launcher.
    pub signals: SignalFd,
    /// When what happened.
    pub timing: Timing,
    /// The process that outlives us if we are killed.
    pub watcher: Watcher,
}

/// Makes the child and the process that watches over it.
pub fn spawn(plan: Plan, host: &Host) -> anyhow::Result<Spawned> {
    let timing = Timing::start();
    let (channel, childs_end) = channel::pair()?;
    // Blocked before the clone, so that none that comes from now on is lost:
    // they are read from a descriptor, and forwarded once the payload runs.
    let forwarded = process::forwarded_signals();
    forwarded.thread_block().context("block signals")?;
    let signals = SignalFd::with_flags(&forwarded, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("make a descriptor for signals")?;
    let namespaces = plan.namespaces;
    let steps: Rc<[Step]> = plan.steps.into();
    let started = Process::start(
        (channel.as_fd(), childs_end),
        plan.slots,
        namespaces.flags(),
        &steps,
        plan.memory,
    );
    let payload = started.or_else(|errno| {
        let advice = advice::for_clone(errno, host);
        Err(anyhow::Error::msg(advice.cause))
            .with_context(|| format!("make the namespaces {namespaces}"))
            .hint(advice.hint)
    })?;
    let sweep = (!namespaces.own_pid())
        .then(|| UserNamespace::of(payload.pid()))
        .transpose()
        .context("look at the user namespace")?;
    let terminal =
        (plan.streams == Streams::Terminal).then(|| standard(0)).filter(|fd| is_terminal(*fd));
    let watcher = Watcher::start(payload.pidfd(), sweep, terminal).context("start the watcher")?;
    Ok(Spawned { payload, steps, channel, signals, timing, watcher })
}
