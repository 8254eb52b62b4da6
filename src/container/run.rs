//! `sublet run`: the whole story, in order.

use std::rc::Rc;

use super::record::{self, Recorded};
use crate::error::causes;
use crate::host::Host;
use crate::launch::launch;
use crate::monitor::{Exit, Input, supervise};
use crate::network::forward::{self, Forwarder, Inside, Listeners, Seen};
use crate::plan::step::Step;
use crate::plan::{self, Plan, Streams};
use crate::spec::{Spec, Stdin};

/// Makes sure that no container can write to the launcher's own program file;
/// may start the program over.
///
/// # Errors
/// Where it can't be made sure.
pub fn protect_program() -> anyhow::Result<()> {
    super::program::protect()
}

/// Decides what a run will do, and does nothing.
///
/// # Errors
/// What is asked for and can't be had.
pub fn plan(spec: &Spec, host: &Host) -> anyhow::Result<Plan> {
    let join = super::joined::find(&spec.beside.network, host)?;
    plan::compile(spec, join, host)
}

/// Whether it is noted where the time of a start goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// It is not.
    Off,
    /// It is.
    On,
}

/// Runs a container in the foreground, and tells other commands of it
/// meanwhile and afterwards: what became of the payload. Calls `tell` with what
/// is good to know, and `warn` with what is less than could be had.
///
/// # Errors
/// Whatever kept the payload from running, with what would help.
pub fn run(
    spec: &Spec,
    clock: Clock,
    host: &Host,
    tell: impl Fn(&str),
    warn: impl Fn(&str),
) -> anyhow::Result<Exit> {
    let join = super::joined::find(&spec.beside.network, host)?;
    let outline = Rc::new(plan::outline(spec, join, host)?);
    let stdin = spec.beside.stdin;
    if outline.streams == Streams::Inherited {
        super::streams::check(stdin)?;
    }
    // Before anything of ours is open, for it may take what it was handed.
    let ports = Listeners::bind(&outline.ports)?;
    let (mut record, mut inside) = (None, Inside::LOOPBACK);
    let complete = || {
        let mut plan = plan::complete(Rc::clone(&outline), spec, host)?;
        record = record::begin(spec, &mut plan)?;
        ports.iter().for_each(|port| tell(&format!("published {port}")));
        inside = Inside::of(&plan.network);
        plan.notes.iter().for_each(|note| warn(note));
        if clock == Clock::Off {
            // Nobody asks when, so the child need not stop to say.
            plan.steps.retain(|step| !matches!(step, Step::Mark(_)));
        }
        Ok(plan)
    };
    let launched = match launch(&outline, complete, host) {
        Ok(launched) => launched,
        Err(error) => {
            if let Some(record) = record {
                record.failed(&error);
            }
            return Err(error);
        }
    };
    if let Some(record) = &mut record {
        record.running(launched.payload.pid(), host);
    }
    launched.notes.iter().for_each(|note| warn(note));
    let input = match stdin {
        Stdin::Inherit => Input::Attached,
        Stdin::Null => Input::Detached,
    };
    let forwarder = match ports.is_empty() {
        true => None,
        false => forward::start(ports, launched.payload.pidfd(), inside)?,
    };
    if let Some(Seen::Masked(why)) = forwarder.as_ref().map(Forwarder::seen) {
        warn(&format!("services see no clients' addresses at published ports, because {why}"));
    }
    let network_down = || {
        if let Some(Err(error)) = record.as_ref().map(Recorded::network_down) {
            let why = causes(&error);
            warn(&format!("the container's record doesn't say that its network is down: {why}"));
        }
    };
    let (first, timeout) = (outline.first, outline.timeout);
    let exit = supervise(launched, forwarder, input, first, timeout, &warn, network_down);
    if let Some(record) = record
        && let Err(error) = record.finish(exit.as_ref().ok())
    {
        let why = causes(&error);
        warn(&format!("the container's record doesn't say how it ended: {why}"));
    }
    exit
}
