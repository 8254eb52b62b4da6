//! Starts the child, and serves it until it has become the payload.
//!
//! `spawn` makes the child, `gates` opens what it waits for, `explain` tells
//! why it stopped, for which `program` looks into what can't be executed. What is started here is a guard: dropped, it is gone.
#![forbid(unsafe_code)]

mod channel;
pub mod doorstep;
pub mod enter;
mod explain;
mod gates;
pub mod hooks;
mod joining;
mod program;
mod spawn;
mod timing;
mod wait;

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::Context;

use crate::cgroup::placing::{Placed, Placing};
use crate::child::start::Process;
use crate::child::watcher::Watcher;
use crate::host::Host;
use crate::idmap::Pending;
use crate::network::{Connecting, Services, Uplink};
use crate::plan::idmap::Idmap;
use crate::plan::step::Gate;
use crate::plan::{Outline, Plan};
use gates::Served;
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use spawn::Spawned;

pub use explain::refused_start;
pub use timing::Timing;
pub use wait::{nobody_waits, patience, pause, readable_by};

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
    /// The socket by which the payload speaks to the service manager.
    pub notify: Option<OwnedFd>,
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

/// A container that is made and waits for its start. Dropped before it is
/// [left](Self::leave), it is gone.
pub struct Created {
    payload: Process,
    placed: Option<Placed>,
    /// What is less than could be had, as far as it has only shown now.
    pub notes: Vec<String>,
}

impl Created {
    /// Its first process, as we see it.
    pub fn pid(&self) -> Pid {
        self.payload.pid()
    }

    /// Lets it live on without us.
    pub fn leave(self) {
        self.payload.leave();
        self.placed.into_iter().for_each(Placed::leave);
    }
}

/// What is done where the child says that it has come to a gate.
pub trait Meeting {
    /// The child `payload` waits at `gate`, which is opened once this returns;
    /// `terminal` is the other end of its terminal, if it has opened one. What
    /// this returns is for the hooks that the child runs next.
    ///
    /// # Errors
    /// What keeps it from going on.
    fn at(
        &mut self,
        gate: Gate,
        payload: Pid,
        terminal: Option<&OwnedFd>,
    ) -> anyhow::Result<Option<hooks::Files>>;

    /// Hands the listener of its filter to who decides about its system calls.
    ///
    /// # Errors
    /// Where nobody takes it.
    fn listened(&mut self, payload: Pid, listener: OwnedFd) -> anyhow::Result<()>;

    /// The socket at which the child waits for its start.
    fn doorstep(&self) -> BorrowedFd<'_>;
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
    let (spawned, served) = start(outline, complete, None, host)?;
    let Spawned { payload, signals, timing, watcher, .. } = spawned;
    let Served { terminal, notify, uplink, services, placed, notes } = served;
    let watcher = watcher.context("the payload runs and nobody watches")?;
    Ok(Launched {
        payload,
        uplink,
        services,
        signals,
        terminal,
        notify,
        timing,
        watcher,
        placed,
        notes,
    })
}

/// Does the same for a container that lives on without us, and returns once it
/// waits for its start and `meeting` has been there.
///
/// # Errors
/// As [`launch`]; what `meeting` says.
pub fn create(
    outline: &Outline,
    complete: impl FnOnce() -> anyhow::Result<Plan>,
    meeting: &mut dyn Meeting,
    host: &Host,
) -> anyhow::Result<Created> {
    let (spawned, served) = start(outline, complete, Some(meeting), host)?;
    Ok(Created { payload: spawned.payload, placed: served.placed, notes: served.notes })
}

fn start(
    outline: &Outline,
    complete: impl FnOnce() -> anyhow::Result<Plan>,
    meeting: Option<&mut dyn Meeting>,
    host: &Host,
) -> anyhow::Result<(Spawned, Served)> {
    joining::join(&outline.joined)?;
    let (idmap, cgroup) = (&outline.idmap, &outline.cgroup);
    let placing = Placing::prepare(cgroup)?;
    let doorstep = meeting.as_ref().map(|meeting| meeting.doorstep());
    let mut spawned;
    let (maps, connecting);
    if outline.is_enough_to_begin() {
        spawned = spawn::spawn(outline, None, &placing, doorstep, host)?;
        maps = map(&mut spawned, idmap, host)?;
        let plan = complete()?;
        connecting = Connecting::new(&plan);
        spawned.give(plan);
    } else {
        let plan = complete()?;
        connecting = Connecting::new(&plan);
        spawned = spawn::spawn(outline, Some(plan), &placing, doorstep, host)?;
        maps = map(&mut spawned, idmap, host)?;
    }
    let served = gates::serve(&mut spawned, idmap, maps, (placing, connecting), meeting, host)?;
    Ok((spawned, served))
}

/// Begins to map its ids. A child that has stopped by then has none to map, and
/// its own story is the cause.
fn map<'a>(spawned: &mut Spawned, idmap: &'a Idmap, host: &'a Host) -> anyhow::Result<Pending<'a>> {
    let begun = spawned.map(idmap, host);
    begun.map_err(|error| gates::first_cause(spawned, error, host))
}
