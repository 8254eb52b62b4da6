//! The clone.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::Payload;
use super::channel::{self, Channel};
use super::timing::Timing;
use crate::child::Child;
use crate::child::watcher::Watcher;
use crate::error::Explain;
use crate::host::{Host, advice};
use crate::plan::Plan;
use crate::sys::process::{self, Ended};

/// A child between clone and exec.
pub struct Spawned {
    /// Its process.
    pub payload: Payload,
    /// Its id, good as long as it is not reaped.
    pub pid: Pid,
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
pub fn spawn(plan: &Plan, host: &Host) -> anyhow::Result<Spawned> {
    let timing = Timing::start();
    let (channel, childs_end) = channel::pair()?;
    // Blocked before the clone, so that none that comes from now on is lost:
    // they are read from a descriptor, and forwarded once the payload runs.
    let forwarded = process::forwarded_signals();
    forwarded.thread_block().context("block signals")?;
    let signals = SignalFd::with_flags(&forwarded, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("make a descriptor for signals")?;
    let child = Child::new(childs_end, plan.slots);
    let (pid, pidfd) = child.start(plan.namespaces.flags(), &plan.steps).or_else(|errno| {
        let advice = advice::for_clone(errno, host);
        Err(anyhow::Error::msg(advice.cause))
            .with_context(|| format!("make the namespaces {}", plan.namespaces))
            .hint(advice.hint)
    })?;
    let payload = Payload { pidfd, reaped: false };
    let watcher = Watcher::start(payload.pidfd()).context("start the watcher")?;
    Ok(Spawned { payload, pid, channel, signals, timing, watcher })
}

impl Payload {
    /// Refers to the process for good.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> anyhow::Result<Ended> {
        self.reaped = true;
        process::wait(self.pidfd()).context("wait for the payload")
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = process::send_signal(self.pidfd(), nix::libc::SIGKILL);
            let _ = process::wait(self.pidfd());
        }
    }
}
