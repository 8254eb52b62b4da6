//! What is asked of the manager, and all that has to be written for it.

use nix::unistd::Pid;
use serde::Serialize;
use zbus::{DynamicType, Variant};

use super::StartScope;
use super::wire::Method;
use crate::host::bus::Kind;
use crate::plan::cgroup::{Property, Value};

/// The number of the call itself, and those of the calls that it needs before
/// it on a bus.
pub(super) const CALL: u32 = 1;
const HELLO: u32 = 2;
const ADD_MATCH: u32 = 3;
const SUBSCRIBE: u32 = 4;
/// The number of the call that takes the call back.
pub(super) const CALL_OFF: u32 = 5;

/// The interface of systemd's manager.
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// The signal it sends when a job is over.
pub(super) const JOB_REMOVED: &str = "JobRemoved";

/// The bus sends JobRemoved only to whom has asked for it.
const RULE: &str = "type='signal',sender='org.freedesktop.systemd1',\
                    path='/org/freedesktop/systemd1',\
                    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// A property as it is written.
type Pair<'a> = (&'a str, Variant<'a>);

/// When a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// When it is answered.
    Answered,
    /// When the job is over that the answer names.
    JobRemoved,
}

/// A call of one method of the manager.
#[derive(Debug)]
pub(super) struct Call {
    /// What it does to the unit, for people.
    pub(super) verb: &'static str,
    method: &'static str,
    message: Vec<u8>,
    pub(super) over: Over,
    /// The names of the properties that it sets.
    pub(super) properties: Vec<String>,
}

impl Call {
    pub(super) fn start_scope(scope: &StartScope<'_>) -> anyhow::Result<Self> {
        let mut properties: Vec<Pair<'_>> = vec![
            ("PIDs", numbers(scope.pids).into()),
            ("Description", scope.description.into()),
            // Nobody but us makes cgroups below it, and controllers are on.
            ("Delegate", scope.delegate.into()),
            // Gone once it is empty, also if it has failed: no reset-failed.
            ("CollectMode", "inactive-or-failed".into()),
        ];
        properties.extend(scope.slice.map(|slice| ("Slice", slice.into())));
        properties.extend(pairs(scope.properties));
        let auxiliary: Vec<(&str, Vec<Pair<'_>>)> = Vec::new();
        // `fail`: no other job is undone for it.
        let body = (scope.unit, "fail", properties, auxiliary);
        let call = Self::new("start", "StartTransientUnit", &body)?;
        Ok(Self { over: Over::JobRemoved, properties: names(scope.properties), ..call })
    }

    pub(super) fn stop(unit: &str) -> anyhow::Result<Self> {
        let call = Self::new("stop", "StopUnit", &(unit, "replace"))?;
        Ok(Self { over: Over::JobRemoved, ..call })
    }

    /// What takes back that a unit was to be started, whether it is by now or
    /// not.
    pub(super) fn off(unit: &str) -> anyhow::Result<Vec<u8>> {
        Ok(manager("StopUnit").call(CALL_OFF, &(unit, "replace"))?)
    }

    pub(super) fn reset_failed(unit: &str) -> anyhow::Result<Self> {
        Self::new("forget the failure of", "ResetFailedUnit", &(unit,))
    }

    pub(super) fn set_properties(unit: &str, properties: &[Property]) -> anyhow::Result<Self> {
        // Runtime: nothing is written to a disk.
        let body = (unit, true, pairs(properties).collect::<Vec<_>>());
        let call = Self::new("set properties of", "SetUnitProperties", &body)?;
        Ok(Self { properties: names(properties), ..call })
    }

    pub(super) fn attach(unit: &str, at: &str, pids: &[Pid]) -> anyhow::Result<Self> {
        let body = (unit, at, numbers(pids));
        Self::new("move processes into", "AttachProcessesToUnit", &body)
    }

    fn new<B>(verb: &'static str, method: &'static str, body: &B) -> anyhow::Result<Self>
    where
        B: Serialize + DynamicType,
    {
        let message = manager(method).call(CALL, body)?;
        Ok(Self { verb, method, message, over: Over::Answered, properties: Vec::new() })
    }

    /// The messages to be written, the call last.
    pub(super) fn messages(&self, kind: Kind) -> anyhow::Result<Vec<u8>> {
        let mut messages = Vec::new();
        if kind != Kind::Private {
            messages.extend(bus("Hello").call(HELLO, &())?);
            if self.over == Over::JobRemoved {
                messages.extend(bus("AddMatch").call(ADD_MATCH, &(RULE,))?);
                messages.extend(manager("Subscribe").call(SUBSCRIBE, &())?);
            }
        }
        messages.extend(&self.message);
        Ok(messages)
    }

    /// The method that was called with this number.
    pub(super) fn method(&self, serial: u32) -> Option<&'static str> {
        match serial {
            CALL => Some(self.method),
            HELLO => Some("Hello"),
            ADD_MATCH => Some("AddMatch"),
            SUBSCRIBE => Some("Subscribe"),
            _ => None,
        }
    }
}

fn manager(name: &'static str) -> Method {
    Method {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: MANAGER,
        name,
    }
}

fn bus(name: &'static str) -> Method {
    Method {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        name,
    }
}

fn numbers(pids: &[Pid]) -> Vec<u32> {
    pids.iter().map(|pid| pid.as_raw() as u32).collect()
}

fn names(properties: &[Property]) -> Vec<String> {
    properties.iter().map(|property| property.name.clone()).collect()
}

fn pairs(properties: &[Property]) -> impl Iterator<Item = Pair<'_>> {
    properties.iter().map(|property| (property.name.as_str(), variant(&property.value)))
}

fn variant(value: &Value) -> Variant<'_> {
    match value {
        Value::U64(number) => Variant::new(*number),
        Value::Bool(bool) => Variant::new(*bool),
        Value::Text(text) => Variant::new(text.as_str()),
        Value::Bytes(bytes) => Variant::new(bytes),
        Value::Rates(rates) => Variant::new(rates.clone()),
    }
}
