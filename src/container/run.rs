//! `sublet run`: the whole story, in order.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::record::{self, Recorded, Wanted};
use super::{health, pidfile};
use crate::cgroup::apart::Beside;
use crate::error::causes;
use crate::host::Host;
use crate::host::inside::behind;
use crate::launch::{Launched, launch, pause, readable_by};
use crate::monitor::health::Checks;
use crate::monitor::notify::Notify;
use crate::monitor::{Caller, Clients, Exit, Front, Outside, Terms, supervise};
use crate::network::forward::{Closing, Inside, Listeners, Published, Unpublished};
use crate::plan::step::Step;
use crate::plan::{self, First, Outline, Plan, Streams};
use crate::spec::background::{self, Stop};
use crate::spec::health::Health;
use crate::spec::{ContainerId, Spec, Stdin};
use crate::state::happening::What;
use crate::state::{PublishedPort, Tree, Upkeep};

/// Makes sure that no container can write to the launcher's own program file;
/// may start the program over.
///
/// # Errors
/// Where it can't be made sure.
pub fn protect_program() -> anyhow::Result<()> {
    super::program::protect()
}

/// The same for a container that lives on without us.
///
/// # Errors
/// Where it can't be made sure.
pub fn protect_program_for_good() -> anyhow::Result<()> {
    super::program::protect_for_good()
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
    let record =
        |plan: &mut Plan, trees| record::begin(spec, plan, trees, upkeep(spec), Wanted::IfAsked);
    let started = start(spec, clock, host, record, &tell, &warn)?;
    let front = match spec.beside.stdin {
        Stdin::Inherit => Front::Attached,
        Stdin::Null => Front::Listening,
    };
    let Stayed { exit, record, closing, .. } = started.stay(front, None, &warn);
    if let Some(record) = record
        && let Err(error) = record.finish(exit.as_ref().ok())
    {
        let why = causes(&error);
        warn(&format!("the container's record doesn't say how it ended: {why}"));
    }
    exit.iter().flat_map(|exit| &exit.told).for_each(|line| tell(line));
    see_off(closing);
    exit
}

/// Waits for clients of published ports who have not yet been given what was said
/// before the end; false if somebody does not want to wait.
pub(super) fn see_off(closing: Option<Closing>) -> bool {
    closing.is_none_or(|closing| readable_by(closing.pidfd(), Some(closing.until())).is_ok())
}

/// What the record is to say of how it is kept going.
pub(super) fn upkeep(spec: &Spec) -> Upkeep {
    let process = spec.oci.process().as_ref();
    Upkeep {
        terminal: process.and_then(|process| process.terminal()).unwrap_or(false),
        stop_signal: spec.beside.stop.signal,
        stop_timeout: spec.beside.stop.timeout,
        restart: spec.beside.restart,
        ..Upkeep::default()
    }
}

/// A container that runs.
pub(super) struct Started {
    launched: Launched,
    published: Published,
    clients: Option<Clients>,
    outline: Rc<Outline>,
    record: Option<Recorded>,
    id: ContainerId,
    stop: Stop,
    health: Option<Health>,
    notify: Option<Notify>,
}

/// What became of it, and its record, which does not say so yet.
pub(super) struct Stayed {
    pub exit: anyhow::Result<Exit>,
    pub record: Option<Recorded>,
    /// Those who are attached to it, who have not heard of the end yet.
    pub clients: Option<Clients>,
    /// Its ports are free; their clients may not have heard all.
    pub closing: Option<Closing>,
}

/// Starts a container. `record` notes it, once it is known what will be done, and
/// which directories of the host it can write to.
///
/// # Errors
/// Whatever kept the payload from running, with what would help.
pub(super) fn start(
    spec: &Spec,
    clock: Clock,
    host: &Host,
    record: impl FnOnce(&mut Plan, Vec<Tree>) -> anyhow::Result<Option<Recorded>>,
    tell: impl Fn(&str),
    warn: impl Fn(&str),
) -> anyhow::Result<Started> {
    let join = super::joined::find(&spec.beside.network, host)?;
    let outline = Rc::new(plan::outline(spec, join, host)?);
    if outline.streams == Streams::Inherited {
        super::streams::check(spec.beside.stdin)?;
    }
    outline.make_room();
    // Before anything of ours is open, for it may take what it was handed.
    let ports = bind(&outline, spec, host)?;
    let (mut recorded, mut inside) = (None, Err(Unpublished::None));
    let complete = || {
        let mut plan = plan::complete(Rc::clone(&outline), spec, host)?;
        let trees = super::shared::settle(&mut plan.steps, spec)?;
        super::rootfs::check(&plan.steps, spec)?;
        recorded = record(&mut plan, trees)?;
        ports.iter().for_each(|port| tell(&format!("published {port}")));
        inside = Inside::of(&spec.beside.network, &plan.network);
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
            if let Some(recorded) = recorded {
                recorded.failed(&error);
            }
            return Err(error);
        }
    };
    // Before others hear that it runs.
    let listener = recorded.as_ref().map(Recorded::listen).transpose();
    let listener = listener.unwrap_or_else(|error| {
        let why = causes(&error);
        warn(&format!("nobody can attach to it or change its ports: {why}"));
        None
    });
    if let Some(recorded) = &mut recorded {
        recorded.running(launched.payload.pid(), host);
    }
    launched.notes.iter().for_each(|note| warn(note));
    if let Some(file) = &spec.beside.known.pidfile {
        pidfile::write(file, launched.payload.pid(), "\n").context("--pidfile")?;
    }
    let first = launched.payload.pidfd().try_clone_to_owned().context("copy its descriptor")?;
    // Nobody gets into a reaper's namespaces by its pidfd: it is not dumpable.
    let (ports, target) = match outline.first {
        First::Payload => (ports, first),
        First::Reaper => match behind(first.as_fd(), launched.payload.pid()) {
            Ok(Some((payload, _))) => (ports, payload),
            // There is nothing to be reached any more.
            Ok(None) => (Listeners::default(), first),
            Err(_) => (ports, first),
        },
    };
    let published = Published::start(ports, target, inside)?;
    if let Some(why) = published.masked() {
        warn(&format!("services see no clients' addresses at published ports, because {why}"));
    }
    if let Some(recorded) = recorded.as_ref().filter(|_| !published.is_empty()) {
        note_ports(recorded, published.list(), &warn);
    }
    let clients = listener.map(|listener| Clients::new(Some(listener)));
    let (id, stop, health) = (spec.beside.id.clone(), spec.beside.stop, spec.beside.health.clone());
    let manager = host.notify_socket().filter(|_| spec.beside.notify != background::Notify::Ignore);
    let notify = manager.map(|name| Notify::new(name, spec.beside.notify)).transpose()?;
    if health.is_some() && recorded.is_none() {
        warn("nobody would see how its health checks end: there are none");
    }
    let record = recorded;
    Ok(Started { launched, published, clients, outline, record, id, stop, health, notify })
}

/// How long a port may take to be free of a container that has ended.
const FREE_WITHIN: Duration = Duration::from_secs(2);

/// Binds the ports; those of the container whose place this one takes, too.
fn bind(outline: &Rc<Outline>, spec: &Spec, host: &Host) -> anyhow::Result<Listeners> {
    let error = match Listeners::bind(&outline.ports) {
        Ok(ports) => return Ok(ports),
        Err(error) => error,
    };
    let check = || {
        let plan = plan::complete(Rc::clone(outline), spec, host)?;
        super::rootfs::check(&plan.steps, spec)
    };
    if !record::give_way(spec, check)? {
        return Err(error);
    }
    let until = Instant::now() + FREE_WITHIN;
    loop {
        match Listeners::bind(&outline.ports) {
            Err(_) if Instant::now() < until => pause(Duration::from_millis(10))?,
            bound => return bound,
        }
    }
}

impl Started {
    /// Whether others know of it.
    pub fn is_known(&self) -> bool {
        self.record.is_some()
    }

    /// The scope beside which who stays with it belongs, if that is not where he
    /// is: a service that waits for a word of its main process keeps that.
    pub fn beside(&self) -> Option<Beside> {
        let manager = &self.outline.cgroup.manager;
        let apart = self.launched.placed.is_some() && self.notify.is_none();
        apart.then(|| Beside::of(manager)).flatten()
    }

    /// Stays with it to its end, and with the `caller`, if he does too.
    pub fn stay(self, front: Front, caller: Option<Caller>, warn: impl Fn(&str)) -> Stayed {
        let Self { launched, published, clients, outline, record, id, stop, health, notify } = self;
        let (first, timeout) = (outline.first, outline.timeout);
        // Whoever stays for long holds what he needs, and no more.
        drop(outline);
        let network_down = || {
            if let Some(Err(error)) = record.as_ref().map(Recorded::network_down) {
                let why = causes(&error);
                warn(&format!(
                    "the container's record doesn't say that its network is down: {why}"
                ));
            }
        };
        let changed = |ports| {
            if let Some(record) = &record {
                note_ports(record, ports, &warn);
            }
        };
        let left = || {
            if let Some(Err(error)) = record.as_ref().map(Recorded::left) {
                warn(&format!("the container's record may go by itself: {}", causes(&error)));
            }
            record.iter().for_each(|record| record.happened(What::Detach));
        };
        if caller.is_some() {
            record.iter().for_each(|record| record.happened(What::Attach));
        }
        let mut outside = Outside { published, clients, changed: &changed, caller, left: &left };
        let known = health.zip(record.as_ref());
        let begin = || match &known {
            Some((health, _)) => health::begin(&id, health.timeout),
            None => bail!("nothing says how it is asked"),
        };
        let note = |checked, may_fail| {
            let (health, record) = known.as_ref()?;
            match record.checked(checked, health.retries, may_fail) {
                Ok(status) => status,
                Err(error) => {
                    let why = causes(&error);
                    warn(&format!("the container's record doesn't say how it is: {why}"));
                    None
                }
            }
        };
        let checks = known.as_ref().map(|(health, _)| Checks::new(health.clone(), &begin, &note));
        let terms = Terms { first, timeout, stop, checks, notify };
        let exit = supervise(launched, &mut outside, front, terms, &warn, network_down);
        let Outside { clients, published, .. } = outside;
        Stayed { exit, record, clients, closing: published.close() }
    }
}

/// Says in the record which of its ports the host has.
fn note_ports(record: &Recorded, ports: Vec<PublishedPort>, warn: impl Fn(&str)) {
    if let Err(error) = record.publish(ports) {
        warn(&format!("the container's record doesn't say its ports: {}", causes(&error)));
    }
}
