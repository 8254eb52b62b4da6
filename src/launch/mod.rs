//! Starts the child, and serves it until it has become the payload.
//!
//! `spawn` makes the child, `gates` opens what it waits for, `explain` tells
//! why it stopped, for which `program` looks into what can't be executed. What is started here is a guard: dropped, it is gone.
#![forbid(unsafe_code)]

mod channel;
mod explain;
mod gates;
mod program;
mod spawn;
mod timing;
mod wait;

use std::os::fd::OwnedFd;

use crate::cgroup::placing::{Placed, Placing};
use crate::child::start::Process;
use crate::child::watcher::Watcher;
use crate::host::Host;
use crate::network::{Connecting, Services, Uplink};
use crate::plan::{Outline, Plan};
use nix::sys::signalfd::SignalFd;

pub use timing::Timing;
pub use wait::patience;

/// A payload that runs. Fields are dropped in this order.
pub struct Launched {
    /// Its process.
    pub payload: Process,
    /// What passes its packets on.
    pub uplink: Option<Uplink>,
    /// What leads to the host's services.
    pub services: Option<Services>,
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

impl Launched {
    /// Puts the network's helper beside the container in its control group, as
    /// far as that may be done. Not before the payload runs: a move takes
    /// longer than a start.
    pub fn place_helper(&self) {
        let helper = self.uplink.as_ref().and_then(Uplink::pid);
        if let (Some(helper), Some(placed)) = (helper, &self.placed) {
            // Where it may not, it stays with the launcher, and ends with that.
            let _ = placed.take_helper(helper);
        }
    }
}

/// Clones, serves the gates, and returns once the payload has been executed.
/// `complete` decides what the outline leaves open: while others map the ids,
/// where there are such.
///
/// # Errors
/// The step that failed, with the reason and what would help; what `complete`
/// says.
pub fn launch(
    outline: &Outline,
    complete: impl FnOnce() -> anyhow::Result<Plan>,
    host: &Host,
) -> anyhow::Result<Launched> {
    let (idmap, cgroup) = (&outline.idmap, &outline.cgroup);
    let placing = Placing::prepare(cgroup)?;
    if outline.is_enough_to_begin() {
        let mut spawned = spawn::spawn(outline, None, &placing, host)?;
        let maps = spawned.map(idmap, host)?;
        let plan = complete()?;
        let connecting = Connecting::new(&plan);
        spawned.give(plan);
        return gates::serve(spawned, idmap, maps, (placing, connecting), host);
    }
    let plan = complete()?;
    let connecting = Connecting::new(&plan);
    let mut spawned = spawn::spawn(outline, Some(plan), &placing, host)?;
    let maps = spawned.map(idmap, host)?;
    gates::serve(spawned, idmap, maps, (placing, connecting), host)
}
