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

use std::os::fd::OwnedFd;

use crate::child::start::Process;
use crate::child::watcher::Watcher;
use crate::host::Host;
use crate::plan::Plan;
use nix::sys::signalfd::SignalFd;

pub use timing::Timing;

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
    /// Takes the payload along if the launcher is killed; reaped last.
    pub watcher: Watcher,
}

/// Clones, serves the gates, and returns once the payload has been executed.
///
/// # Errors
/// The step that failed, with the reason and what would help.
pub fn launch(plan: Plan, host: &Host) -> anyhow::Result<Launched> {
    let idmap = plan.idmap.clone();
    let spawned = spawn::spawn(plan, host)?;
    gates::serve(spawned, &idmap, host)
}
