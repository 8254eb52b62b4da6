//! The container's place in the tree of control groups, and its limits.
//!
//! Reads `linux.resources` and `Beside::control`. The limits are on a group
//! above the one that is the root of the container's cgroup namespace: what is
//! root inside can't reach them. One way from the words to the kernel: `limit`
//! makes files of them, `choose` finds the `place`, `lack` says what it lacks,
//! `instead` makes do, `property` makes properties where systemd keeps the
//! files.

mod anew;
mod choose;
mod instead;
mod lack;
mod limit;
mod place;
mod property;
mod tell;
#[cfg(test)]
mod tests;
mod weight;

use std::path::PathBuf;

use anyhow::Context;

use crate::host::Host;
use crate::host::advice::Advice;
use crate::host::bus::Bus;
use crate::host::cgroup::Controller;
use crate::spec::Spec;
use crate::spec::resources::control::{Cgroups, Limits};
pub use anew::{Whose, anew};
use limit::Limit;
use place::{Lacked, Place};
use property::File;
pub use property::{Property, Value};

/// The container's place in the tree of control groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Who makes it.
    pub manager: Manager,
    /// What it means if it can't be made after all.
    pub need: Need,
    /// Limits, as properties of the scope; systemd only.
    pub properties: Vec<Property>,
    /// Limits, as files of the group above the payload's, in order; of one
    /// file there may be several lines.
    pub limits: Vec<Setting>,
    /// What the payload's own group is given, as files.
    pub payload: Vec<Setting>,
    /// The controllers that have to be on in the payload's group and in the
    /// one above.
    pub controllers: Vec<Controller>,
    /// It may be there already, if nothing runs in it.
    pub may_be_there: bool,
    /// The CPUs that the payload starts on, in place of a limit.
    pub affinity: Option<Vec<u32>>,
    /// The nice value that it starts with, in place of a limit.
    pub nice: Option<i8>,
}

/// What it means if the group can't be made, or not as planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Need {
    /// The container can't start.
    #[default]
    Required,
    /// It starts where it is.
    Wanted,
}

/// Who makes the container's group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Manager {
    /// The user's systemd, as a scope.
    Systemd {
        /// Where it is asked.
        bus: Bus,
        /// The name of the scope.
        unit: String,
        /// The slice that it is in; systemd's own choice where `None`.
        slice: Option<String>,
    },
    /// We, in a group of the caller's.
    Direct {
        /// Its directory.
        parent: PathBuf,
        /// The name of ours in it.
        name: String,
    },
    /// Nobody: the payload stays in the group that it is started in.
    #[default]
    None,
}

/// What is written to a file of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The file's name.
    pub file: String,
    /// What is written.
    pub content: String,
}

impl Setting {
    fn new(file: &str, content: impl ToString) -> Self {
        Self { file: file.to_owned(), content: content.to_string() }
    }
}

/// How many processes and threads a container may have where nothing is said,
/// as podman has it.
const PIDS: u64 = 2048;

/// What is shown in the payload's own group too.
const SHOWN: [&str; 4] = ["memory.max", "memory.swap.max", "cpu.max", "pids.max"];

/// How many more there may be in the group above: those of ours.
const OURS: u64 = 16;

/// How many groups a container may make: hardly any if it can't, and enough
/// for a systemd or for containers.
const DESCENDANTS: (u64, u64) = (64, 10_000);

impl Cgroup {
    /// Whether the payload is put into a group of its own.
    pub fn is_own(&self) -> bool {
        self.manager != Manager::None
    }

    /// Has the payload's own group keep the number of processes, and the one
    /// above have room for ours.
    fn keep_processes(&mut self, limits: &mut [Limit]) {
        for limit in limits.iter_mut().filter(|limit| limit.file == "pids.max") {
            self.payload.push(Setting::new("pids.max", &limit.content));
            if let Ok(number) = limit.content.parse::<u64>() {
                limit.content = number.saturating_add(OURS).to_string();
            }
        }
    }

    /// Has the payload's own group say what limits it, for those who look there:
    /// engines, and programs inside.
    fn show(&mut self, limits: &[Limit]) {
        for limit in limits.iter().filter(|limit| SHOWN.contains(&&*limit.file)) {
            self.payload.push(Setting::new(&limit.file, &limit.content));
        }
    }

    /// Enters what an engine has asked for, and nothing beside, in a group in
    /// which all is counted that can be.
    fn fill_for_engine(&mut self, limits: Vec<Limit>, place: Place) {
        self.controllers = controllers(&limits);
        let counted = [Controller::Cpu, Controller::Io, Controller::Memory, Controller::Pids];
        self.controllers.extend(counted.iter().filter(|one| place.has(&[**one])));
        self.controllers.sort();
        self.controllers.dedup();
        self.show(&limits);
        self.may_be_there = true;
        self.enter(limits, place.manager);
    }

    /// Enters limits as whoever makes the group takes them.
    fn enter(&mut self, limits: Vec<Limit>, manager: Manager) {
        for limit in limits {
            let (properties, file) = match manager {
                Manager::Systemd { .. } => property::properties(&limit),
                Manager::Direct { .. } | Manager::None => (Vec::new(), File::Written),
            };
            properties.into_iter().for_each(|one| property::add(&mut self.properties, one));
            if file == File::Written {
                self.limits.push(Setting { file: limit.file, content: limit.content });
            }
        }
        self.manager = manager;
    }
}

/// Decides.
///
/// # Errors
/// A limit that can't be had, with the lines that would help.
pub fn plan(spec: &Spec, host: &Host, notes: &mut Vec<String>) -> anyhow::Result<Cgroup> {
    let control = &spec.beside.control;
    let resources = spec.oci.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let limits = resources.map(limit::limits).transpose()?.unwrap_or_default();
    let reason = limits.first().map(|limit| limit.asked);
    let reason = reason.or(control.delegate.then_some("--cgroup-delegate"));
    let reason = match control.engine {
        Some(_) => Some("linux.cgroupsPath"),
        None => reason.or(control.parent.is_some().then_some("--cgroup-parent")),
    };
    let without = if control.engine.is_some() { "" } else { lack::WITHOUT };
    let best_effort = control.limits == Limits::BestEffort;
    let only_limits = control.parent.is_none() && !control.delegate;
    let mut cgroup = Cgroup::default();

    let needs = controllers(&limits);
    let place = match (control.cgroups, reason) {
        (Cgroups::Disabled, None) => return Ok(cgroup),
        (Cgroups::Disabled, Some(_)) => Err(lack::disabled()),
        // Not worth asking anybody for.
        (Cgroups::Auto, None) => match choose::split(String::new(), host)? {
            Ok(_) => choose::place(spec, &needs, host)?,
            Err(_) => return Ok(cgroup),
        },
        _ => choose::place(spec, &needs, host)?,
    };
    let place = match place {
        Ok(place) => place,
        Err(advice) => {
            let wanted = matches!(control.cgroups, Cgroups::Auto | Cgroups::Disabled);
            if best_effort && only_limits && wanted {
                instead::instead(&limits, &advice.cause, &mut cgroup, notes);
                return Ok(cgroup);
            }
            let hint = if limits.is_empty() { "" } else { &format!("\n{without}") };
            let asked = reason.unwrap_or("--cgroups").to_owned();
            return Advice { hint: (advice.hint + hint).trim_end().to_owned(), ..advice }
                .refuse()
                .context(asked);
        }
    };

    let (had, lacked) = place.sort(limits, host.cgroups()?, host.files());
    for Lacked { limits, advice } in lacked {
        if !best_effort {
            let asked = limits.first().map_or("", |limit| limit.asked);
            let hint = format!("{}\n{without}", advice.hint);
            let hint = hint.trim_end().to_owned();
            return Advice { hint, ..advice }.refuse().context(asked);
        }
        instead::instead(&limits, &advice.cause, &mut cgroup, notes);
    }
    match control.engine {
        Some(_) => cgroup.fill_for_engine(had, place),
        None => fill(&mut cgroup, had, control.delegate, place),
    }
    if control.cgroups == Cgroups::Auto && (reason.is_none() || best_effort && only_limits) {
        cgroup.need = Need::Wanted;
    }
    Ok(cgroup)
}

/// The controllers that enforce these.
fn controllers(limits: &[Limit]) -> Vec<Controller> {
    let mut controllers: Vec<_> = limits.iter().filter_map(Limit::controller).collect();
    controllers.sort();
    controllers.dedup();
    controllers
}

/// Enters what can be had, and what every container has.
fn fill(cgroup: &mut Cgroup, mut limits: Vec<Limit>, delegate: bool, place: Place) {
    let has = |controller| place.controllers.contains(&controller);
    if has(Controller::Pids) && limits.iter().all(|limit| limit.file != "pids.max") {
        limits.push(Limit::pids(PIDS));
    }
    if has(Controller::Memory) {
        // Half of a container is no container.
        cgroup.payload.push(Setting::new("memory.oom.group", 1));
    }
    cgroup.keep_processes(&mut limits);
    let descendants = if delegate { DESCENDANTS.1 } else { DESCENDANTS.0 };
    cgroup.payload.push(Setting::new("cgroup.max.descendants", descendants));

    cgroup.controllers = controllers(&limits);
    if has(Controller::Memory) && !cgroup.controllers.contains(&Controller::Memory) {
        cgroup.controllers.push(Controller::Memory);
        cgroup.controllers.sort();
    }
    cgroup.enter(limits, place.manager);
}
