//! Asks the service manager for a scope: a cgroup that is ours.
//!
//! A client of D-Bus for the few calls it takes, in the caller's thread and
//! with a deadline: org.freedesktop.systemd1(5). It takes two questions and
//! answers, who we are and then all the rest, and the caller polls for them
//! while it does other things.

mod call;
mod connection;
mod failure;
mod job;
mod line;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use nix::unistd::Pid;

use crate::host::bus::Bus;
use crate::plan::cgroup::Property;
use call::Call;
pub use failure::{Failure, Kind};
pub use job::{Job, Progress};
pub use line::Line;

/// How long each part may take: to connect, and to ask and be answered. What was
/// asked for then may take [longer](Job).
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A service manager that can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Systemd<'a> {
    bus: &'a Bus,
    patience: Duration,
}

/// A scope to be started around processes that run already.
#[derive(Clone, Copy, Debug)]
pub struct StartScope<'a> {
    /// Its name, with `.scope`.
    pub unit: &'a str,
    /// The slice it is to lie in, with `.slice`; else the manager's default.
    pub slice: Option<&'a str>,
    /// One line for people: `systemctl status` shows it.
    pub description: &'a str,
    /// The processes to move there.
    pub pids: &'a [Pid],
    /// Whether what is there may divide it.
    pub delegate: bool,
    /// What else is to be set. That nothing of it stays when it has ended or
    /// failed is set anyhow.
    pub properties: &'a [Property],
}

impl<'a> Systemd<'a> {
    /// The manager behind `bus`, which has [`PATIENCE`] for each call.
    pub fn at(bus: &'a Bus) -> Self {
        Self { bus, patience: PATIENCE }
    }

    /// The same with another deadline.
    pub fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Connects, and does not wait until that is accepted.
    ///
    /// # Errors
    /// Where nobody can be reached; a [`Failure`] is in the chain.
    pub fn connect(&self) -> anyhow::Result<Line> {
        Line::open(self.bus, self.patience)
    }

    /// Connects and begins to ask for a scope, and does not wait.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn start_scope(&self, scope: &StartScope<'_>) -> anyhow::Result<Job> {
        self.connect()?.start_scope(scope)
    }

    /// Stops a unit, which ends what runs in it, and waits until that is done
    /// or the time is over. No unit of that name is none to be stopped.
    ///
    /// # Errors
    /// What the manager says, or that it says nothing.
    pub fn stop(&self, unit: &str) -> anyhow::Result<()> {
        absent_is_fine(self.perform(Call::stop(unit)?, unit))
    }

    /// Forgets that a unit has failed, so that its name is free again.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub fn reset_failed(&self, unit: &str) -> anyhow::Result<()> {
        absent_is_fine(self.perform(Call::reset_failed(unit)?, unit))
    }

    /// Sets properties of a unit that runs, until it ends.
    ///
    /// # Errors
    /// As [`stop`](Self::stop), and where there is no such unit.
    pub fn set_properties(&self, unit: &str, properties: &[Property]) -> anyhow::Result<()> {
        self.perform(Call::set_properties(unit, properties)?, unit)
    }

    /// Moves processes into a cgroup below that of a unit: `at` is its path
    /// there, `/payload`, or empty for the unit's own.
    ///
    /// # Errors
    /// As [`set_properties`](Self::set_properties).
    pub fn attach(&self, unit: &str, at: &str, pids: &[Pid]) -> anyhow::Result<()> {
        self.perform(Call::attach(unit, at, pids)?, unit)
    }

    /// As [`attach`](Self::attach), and does not wait.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn begin_attach(&self, unit: &str, at: &str, pids: &[Pid]) -> anyhow::Result<Job> {
        self.connect()?.ask(Call::attach(unit, at, pids)?, unit)
    }

    fn perform(&self, call: Call, unit: &str) -> anyhow::Result<()> {
        self.connect()?.ask(call, unit)?.wait()
    }
}

fn absent_is_fine(done: anyhow::Result<()>) -> anyhow::Result<()> {
    done.or_else(|error| match error.downcast_ref::<Failure>() {
        Some(failure) if failure.kind == Kind::NoSuchUnit => Ok(()),
        _ => Err(error),
    })
}
