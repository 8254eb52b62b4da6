//! Starts the child, and serves it until it has become the payload.
//!
//! `spawn` makes the child, `gates` opens what it waits for, `explain` tells
//! why it stopped. What is started here is a guard: dropped, it is gone.
#![forbid(unsafe_code)]

mod channel;
mod explain;
mod gates;
mod spawn;
mod timing;
mod wait;

use std::os::fd::OwnedFd;

use crate::cgroup::placing::{Placed, Placing};
use crate::child::start::Process;
use crate::child::watcher::Watcher;
use crate::host::Host;
use crate::plan::Plan;
use nix::sys::signalfd::SignalFd;

pub use timing::Timing;
pub use wait::patience;

/// A payload that runs. Fields are dropped in this order.
pub struct Launched {
    /// Its process.
    pub payload: Process,
    /// The signals that come for the launcher, to be forwarded.
    pub signals: SignalFd,
    /// The launcher's end of the payload's terminal.
    pub terminal: Option<OwnedFd>,
    /// Where the time went.
    pub timing: Timing,
    /// Takes the payload along if the launcher is killed; reaped when all else
    /// is over.
    pub watcher: Watcher,
    /// The payload's own control group.
    pub placed: Option<Placed>,
    /// What is less than could be had, as far as it has only shown now.
    pub notes: Vec<String>,
}

/// Clones, serves the gates, and returns once the payload has been executed.
///
/// # Errors
/// The step that failed, with the reason and what would help.
pub fn launch(plan: Plan, host: &Host) -> anyhow::Result<Launched> {
    let (idmap, cgroup) = (plan.idmap.clone(), plan.cgroup.clone());
    let placing = Placing::prepare(&cgroup)?;
    let spawned = spawn::spawn(plan, host)?;
    gates::serve(spawned, &idmap, placing, host)
}
