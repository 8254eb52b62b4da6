//! A connection on which nothing has been asked yet.

use std::time::Duration;

use anyhow::Context;

use super::StartScope;
use super::call::Call;
use super::connection::Connection;
use super::failure::explain;
use super::job::Job;
use crate::host::bus::{Bus, Kind};

/// A connection to a service manager, to be used for one call.
///
/// Who we are is said when it is made; so one that is made before the
/// processes are there saves their start a question and its answer.
#[derive(Debug)]
pub struct Line {
    pub(super) connection: Connection,
    pub(super) kind: Kind,
    /// The manager, for people.
    pub(super) peer: String,
}

impl Line {
    pub(super) fn open(bus: &Bus, patience: Duration) -> anyhow::Result<Self> {
        let peer = format!("systemd at {:?}", bus.path);
        let opened = Connection::open(bus, patience);
        let connection = opened.map_err(|failure| explain(failure, format!("ask {peer}"), ""))?;
        Ok(Self { connection, kind: bus.kind, peer })
    }

    /// Begins to ask for a scope, and does not wait.
    ///
    /// # Errors
    /// Where the peer has hung up or spoken nonsense meanwhile; a
    /// [`Failure`](super::Failure) is in the chain.
    pub fn start_scope(self, scope: &StartScope<'_>) -> anyhow::Result<Job> {
        self.ask(Call::start_scope(scope)?, scope.unit)
    }

    pub(super) fn ask(self, call: Call, unit: &str) -> anyhow::Result<Job> {
        let Self { mut connection, kind, peer } = self;
        let task = format!("ask {peer} to {} {unit}", call.verb);
        let messages = call.messages(kind).with_context(|| task.clone())?;
        match connection.say(messages) {
            Ok(()) => Ok(Job::over(connection, call, unit, task)),
            Err(failure) => Err(explain(failure, task, unit)),
        }
    }
}
