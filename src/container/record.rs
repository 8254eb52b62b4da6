//! What other commands know of a run, while it lasts and afterwards.
//!
//! Every container is in the store of records, but for one in the foreground
//! that is to leave no record (`--rm`) and has neither a control group of its
//! own nor a name, a label or a file for its id: that can neither be limited
//! anew nor be called, and starts without touching a disk.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::unistd::{Pid, getpid};

use super::cidfile::CidFile;
use super::pause::is_paused;
use super::remove;
use crate::cgroup::{Deadline, Directory};
use crate::control::Listener;
use crate::error::{causes, exit_code, hint};
use crate::host::Host;
use crate::host::memory::OomKills;
use crate::log;
use crate::monitor;
use crate::plan::cgroup::Manager;
use crate::plan::network::Driver;
use crate::plan::{self, Plan};
use crate::spec::port::{Port, Source};
use crate::spec::{Seccomp, Spec};
use crate::state::happening::{What, note};
use crate::state::{
    Afterwards, Asked, Checked, End, Exit, Failed, Health, Identity, Life, Link, Moment, Network,
    Place, PublishedPort, Record, Reserved, Store, Story, Tree, Upkeep, Usage, Wellness, boot,
};
use crate::sys::Errno;

/// Whether a container is to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// If somebody has a word for it, or it can be limited anew.
    IfAsked,
    /// If that can be.
    Gladly,
    /// In any case.
    Always,
}

/// A run that others know of. Dropped without [`finish`](Self::finish), it has
/// never been.
#[derive(Debug)]
pub struct Recorded {
    reserved: Reserved,
    /// This process, if it is the one that starts it.
    launcher: Option<Identity>,
    /// Since when it runs.
    started: Option<Moment>,
    cidfile: Option<CidFile>,
    /// The name of its control group's directory, and of its unit.
    group: Option<(String, Option<String>)>,
    /// The filter of system calls.
    filter: Seccomp,
    /// What is killed around it for want of memory, since it runs.
    oom_kills: Option<OomKills>,
    /// What goes with the record at the end.
    goes: Option<PathBuf>,
    /// Whether it has health checks.
    asks: bool,
}

/// The records of the caller's containers.
///
/// # Errors
/// Where no directory is the caller's own, and where a disk is full.
pub fn store() -> anyhow::Result<Store> {
    Store::open(release)
}

/// Records what is about to be started, if it is to be known. Where it can't
/// be and nobody has a word for it, the plan notes that others won't know it.
/// `trees` are those of the host that it can write to.
///
/// # Errors
/// A name that is taken, or can't be recorded.
pub fn begin(
    spec: &Spec,
    plan: &mut Plan,
    trees: Vec<Tree>,
    upkeep: Upkeep,
    wanted: Wanted,
) -> anyhow::Result<Option<Recorded>> {
    let asked = is_asked(spec) || wanted == Wanted::Always;
    let touched = asked
        || spec.beside.health.is_some()
        || wanted == Wanted::Gladly
        || plan.outline.cgroup.is_own();
    if !touched && spec.beside.known.remove {
        return Ok(None);
    }
    let launcher = boot().and_then(|boot| Identity::of(getpid(), &boot));
    match launcher.and_then(|it| Recorded::new(spec, plan, trees, upkeep, asked, Some(it))) {
        Ok(recorded) => Ok(Some(recorded)),
        Err(error) if asked => Err(error),
        Err(error) => {
            let why = causes(&error);
            plan.notes.push(format!("other commands won't know this container: {why}"));
            Ok(None)
        }
    }
}

/// Ends and removes the container whose place that of `spec` takes, if it has a
/// port that this one is to have: whether it did. Before that `check` says whether
/// the new one can be had at all.
///
/// # Errors
/// What `check` says; as [`remove::replace`].
pub fn give_way(spec: &Spec, check: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<bool> {
    let Some(name) = spec.beside.name.as_ref().filter(|_| spec.beside.known.replace) else {
        return Ok(false);
    };
    let store = store()?;
    let Some(found) = store.named(name)?.filter(|found| found.id != spec.beside.id) else {
        return Ok(false);
    };
    let has = |wanted: &Port| match wanted.source {
        Source::Host(_, Some(number)) => found
            .ports
            .iter()
            .any(|port| port.host.port() == number && port.protocol == wanted.protocol),
        Source::Host(_, None) | Source::Handed(_) => false,
    };
    if !spec.beside.ports.iter().any(has) {
        return Ok(false);
    }
    check()?;
    remove::replace(&store, name)?;
    Ok(true)
}

/// What is written down of its network.
fn network(plan: &plan::network::Network) -> Network {
    let (mode, link, address, gateway) = match plan {
        plan::network::Network::Host => ("host", None, None, None),
        plan::network::Network::None => ("none", None, None, None),
        plan::network::Network::Joined(whose) => (&*whose.told, None, None, None),
        plan::network::Network::Helped(helper) => {
            let cidr = match helper.driver {
                Driver::Slirp4netns { cidr, .. } => Some(cidr),
                Driver::Pasta { .. } => None,
            };
            let address = |number| cidr.map(|cidr| cidr.address(number));
            (helper.driver.name(), Some(Link::Up), address(100), address(2))
        }
    };
    Network { mode: mode.to_owned(), link, address, gateway }
}

/// Whether somebody has a word for it.
fn is_asked(spec: &Spec) -> bool {
    spec.beside.name.is_some() || spec.beside.known.is_asked()
}

fn asked_limits(spec: &Spec) -> Option<&oci_spec::runtime::LinuxResources> {
    spec.oci.linux().as_ref()?.resources().as_ref()
}

impl Recorded {
    fn new(
        spec: &Spec,
        plan: &Plan,
        trees: Vec<Tree>,
        upkeep: Upkeep,
        stays: bool,
        launcher: Option<Identity>,
    ) -> anyhow::Result<Self> {
        let (id, name) = (spec.beside.id.clone(), spec.beside.name.clone());
        let known = &spec.beside.known;
        let cidfile = known.cidfile.as_deref().map(CidFile::make).transpose()?;
        let (group, place) = group_of(plan);
        let store = store()?;
        if let Some(name) = &name {
            match known.replace {
                true => remove::replace(&store, name)?,
                false => remove::make_way(&store, name)?,
            }
        }
        let mut reserved = store.reserve(&id, name.clone())?;
        let asked = Asked {
            root: spec.beside.root.to_string(),
            command: plan.command(),
            labels: known.labels.clone(),
            limits: asked_limits(spec).cloned(),
        };
        let mut record = Record::new(id, name, asked, launcher.clone());
        record.place = place.filter(|_| launcher.is_some());
        record.network = Some(network(&plan.network));
        record.afterwards = match (known.remove, stays) {
            (true, _) => Afterwards::Remove,
            (false, true) => Afterwards::Keep,
            (false, false) => Afterwards::Fade,
        };
        if record.afterwards == Afterwards::Fade {
            let gone = store.fade(&record.id);
            gone.iter().filter_map(|gone| gone.upkeep.log.as_deref()).for_each(log::remove);
        }
        let goes = upkeep.log.clone().filter(|_| known.remove);
        record.upkeep = upkeep;
        record.trees = trees;
        reserved.ask(spec, record.afterwards)?;
        reserved.commit(&record)?;
        if let Some(cidfile) = &cidfile {
            cidfile.write(&record.id)?;
        }
        let filter = spec.beside.seccomp.clone();
        let (started, oom_kills) = (None, None);
        let asks = spec.beside.health.is_some();
        Ok(Self { reserved, launcher, started, cidfile, group, filter, oom_kills, goes, asks })
    }

    /// Records a container that is to be started later, by another process.
    ///
    /// # Errors
    /// As [`begin`].
    pub fn create(spec: &Spec, plan: &Plan, upkeep: Upkeep) -> anyhow::Result<()> {
        let mut recorded = Self::new(spec, plan, Vec::new(), upkeep, true, None)?;
        if let Some(cidfile) = &mut recorded.cidfile {
            cidfile.keep();
        }
        recorded.reserved.leave();
        Ok(())
    }

    /// Takes the container that `word` means, to start it again: with it, what
    /// was asked for.
    ///
    /// # Errors
    /// One that is not there or runs, or of which it is not known.
    pub fn take(store: &Store, word: &str) -> anyhow::Result<(Self, Spec)> {
        let (reserved, record) = store.take(&store.find(word)?.id)?;
        let spec = store.spec(&record)?;
        let launcher = Some(Identity::of(getpid(), &boot()?)?);
        let goes = record.upkeep.log.filter(|_| record.afterwards == Afterwards::Remove);
        let recorded = Self {
            reserved,
            launcher,
            started: None,
            cidfile: None,
            group: None,
            filter: spec.beside.seccomp.clone(),
            oom_kills: None,
            goes,
            asks: spec.beside.health.is_some(),
        };
        Ok((recorded, spec))
    }

    /// Says that it is started once more, with these trees of the host to write
    /// to. If that fails, it has ended as it had before.
    ///
    /// # Errors
    /// What the disk says.
    pub fn again(
        &mut self,
        plan: &Plan,
        trees: Vec<Tree>,
        keep: impl FnOnce(&mut Upkeep),
    ) -> anyhow::Result<()> {
        let (group, place) = group_of(plan);
        self.group = group;
        let launcher = self.launcher.clone();
        let (mut before, mut goes) = (None, None);
        self.reserved.edit(|record| {
            let life = std::mem::replace(&mut record.life, Life::Created { launcher });
            before = Some(match life {
                Life::Restarting { exit, .. } => Life::Exited(exit),
                life => life,
            });
            record.place = place;
            record.keep();
            keep(&mut record.upkeep);
            for tree in trees {
                if !record.trees.contains(&tree) {
                    record.trees.push(tree);
                }
            }
            // It may have no log before its first start.
            goes = record.upkeep.log.clone();
            goes.take_if(|_| record.afterwards != Afterwards::Remove);
        })?;
        self.goes = goes;
        before.into_iter().for_each(|life| self.reserved.restores(life));
        Ok(())
    }

    /// Says that it has ended and is about to be started once more: the record
    /// as it is then.
    ///
    /// # Errors
    /// What the disk says.
    pub fn restarting(&mut self, exit: &monitor::Exit) -> anyhow::Result<Record> {
        let exit = self.exit(Some(exit));
        // That is how it has ended, should it come to no further start.
        self.reserved.restores(Life::Exited(exit.clone()));
        let launcher = self.launcher.clone().context("it has no launcher")?;
        self.reserved.edit(|record| {
            record.life = Life::Restarting { launcher, exit };
            record.place = None;
            record.ports.clear();
        })
    }

    /// Makes the socket by which others reach this process.
    ///
    /// # Errors
    /// What bind(2) says.
    pub fn listen(&self) -> anyhow::Result<Listener> {
        Listener::make(self.reserved.directory()).context("make the control socket")
    }

    /// Whether somebody wants it not to be started again.
    pub fn is_stopped(&self) -> bool {
        self.reserved.edit(|_| ()).map_or(true, |record| record.upkeep.stopped)
    }

    /// Says that `payload`, a child not yet reaped, runs. Where it can't be
    /// said others take it for one that has not started.
    pub fn running(&mut self, payload: Pid, host: &Host) {
        let Some(launcher) = self.launcher.clone() else { return };
        let started = Moment::now();
        self.started = Some(started);
        let around = host.cgroups().ok().and_then(|cgroups| cgroups.own.as_deref());
        self.oom_kills = OomKills::count(around);
        if let Some(cidfile) = &mut self.cidfile {
            cidfile.keep();
        }
        // One that has ended already has nothing to show.
        let _ = Identity::of(payload, &launcher.boot).and_then(|payload| {
            let place = self.place(payload.pid, host);
            self.reserved.edit(|record| {
                record.life = Life::Running { launcher, payload, started };
                record.place = place;
                record.failed = None;
                record.request = None;
                record.health = self.asks.then(Health::default);
            })
        });
    }

    /// Says what a health check has said: how it is by then, if it is still known.
    ///
    /// # Errors
    /// What the disk says.
    pub fn checked(
        &self,
        checked: Checked,
        retries: u32,
        may_fail: bool,
    ) -> anyhow::Result<Option<Wellness>> {
        let record = self.reserved.edit(|record| {
            // One that was to go in while it stands still has waited for that.
            if checked.code != -1 || !is_paused(record) {
                let health = record.health.get_or_insert_default();
                health.note(checked, retries, may_fail);
            }
        })?;
        Ok(record.health.map(|health| health.status))
    }

    /// Says why it does not run, of a container that has a name and whose
    /// record is to stay. Any other leaves none.
    pub fn failed(mut self, error: &anyhow::Error) {
        let failed = Failed {
            at: Moment::now(),
            code: exit_code(error),
            error: causes(error),
            hint: hint(error).map(str::to_owned),
        };
        // The caller hears it in any case.
        let stays = self.reserved.fail(failed).unwrap_or(false);
        if let Some(cidfile) = self.cidfile.as_mut().filter(|_| stays) {
            cidfile.keep();
        }
    }

    /// Says that nothing connects it with the world any more.
    ///
    /// # Errors
    /// What the disk says.
    pub fn network_down(&self) -> anyhow::Result<()> {
        let down = |record: &mut Record| {
            if let Some(network) = &mut record.network {
                network.link = Some(Link::Down);
            }
        };
        self.reserved.edit(down).map(drop)
    }

    /// Says that nobody's terminal hangs on it any more: then it stays, as one
    /// that was started in the background does.
    ///
    /// # Errors
    /// What the disk says.
    pub fn left(&self) -> anyhow::Result<()> {
        self.reserved.edit(Record::keep).map(drop)
    }

    /// Tells those who look on what has happened.
    pub fn happened(&self, what: What) {
        // What can't be written down is not told.
        let _ = note(self.reserved.directory(), what);
    }

    /// Says which of its ports the host has by now.
    ///
    /// # Errors
    /// What the disk says.
    pub fn publish(&self, ports: Vec<PublishedPort>) -> anyhow::Result<()> {
        self.reserved.edit(|record| record.ports = ports).map(drop)
    }

    /// Says what became of it, after its control group was removed, or removes
    /// the record, as it was asked for. `None`: nobody knows.
    ///
    /// # Errors
    /// What the disk says. Others then take the launcher for killed.
    pub fn finish(self, exit: Option<&monitor::Exit>) -> anyhow::Result<()> {
        if let Some(log) = &self.goes {
            log::remove(log);
        }
        let exit = self.exit(exit);
        self.reserved.finish(exit)
    }

    fn exit(&self, exit: Option<&monitor::Exit>) -> Exit {
        let (end, usage, story) = match exit {
            None => (End::SupervisorLost, Usage::default(), Story::default()),
            Some(exit) => {
                let end = exit.signal.map_or(End::Code(exit.code), End::Signal);
                (end, used(exit), self.story(exit))
            }
        };
        Exit { started: self.started, finished: Moment::now(), end, usage, story }
    }

    /// What else was seen.
    fn story(&self, exit: &monitor::Exit) -> Story {
        let filter = match &self.filter {
            Seccomp::Default => "default".to_owned(),
            Seccomp::Unconfined => "unconfined".to_owned(),
            Seccomp::Profile => "the bundle's".to_owned(),
            Seccomp::File(path) => path.display().to_string(),
        };
        let pids = exit.usage.as_ref().and_then(|usage| usage.pids);
        let killed = self.oom_kills.as_ref().and_then(OomKills::since);
        Story {
            sent: exit.sent.clone(),
            timed_out: exit.timed_out,
            system_call: exit.refused.clone(),
            filter: (exit.signal == Some(nix::libc::SIGSYS)).then_some(filter),
            pids_refused: pids.and_then(|pids| pids.refused),
            machine_oom_kills: killed.filter(|_| exit.signal == Some(nix::libc::SIGKILL)),
            happened: exit.happened.clone(),
        }
    }

    /// The control group that the payload has got; it may be in one below
    /// already.
    fn place(&self, payload: i32, host: &Host) -> Option<Place> {
        let (name, unit) = self.group.as_ref()?;
        let now = host.cgroups().ok()?.of_process(payload).ok()?;
        let cgroup = now.ancestors().find(|path| path.ends_with(name))?.to_owned();
        Some(Place { cgroup, unit: unit.clone() })
    }
}

/// The name of the control group's directory and of its unit, and where the
/// group is if that is known.
type Group = (Option<(String, Option<String>)>, Option<Place>);

fn group_of(plan: &Plan) -> Group {
    match &plan.outline.cgroup.manager {
        Manager::Direct { parent, name } => {
            let place = Place { cgroup: parent.join(name), unit: None };
            (Some((name.clone(), None)), Some(place))
        }
        // Where systemd puts it shows when it is there; until then there
        // is nothing to take down, for it removes what is empty.
        Manager::Systemd { unit, .. } => (Some((unit.clone(), Some(unit.clone()))), None),
        Manager::None => (None, None),
    }
}

/// What the record holds of what was used.
fn used(exit: &monitor::Exit) -> Usage {
    let used = exit.usage.clone().unwrap_or_default();
    let killed = exit.ran_out.as_ref();
    let (memory, cpu) = (used.memory.as_ref(), used.cpu.as_ref());
    Usage {
        oom_killed: killed.is_some() && exit.signal == Some(nix::libc::SIGKILL),
        oom_kills: memory
            .and_then(|memory| memory.oom_kills.and(Some(killed.map_or(0, |it| it.kills)))),
        oom_process: killed.and_then(|killed| killed.first.clone()),
        memory_peak: memory.and_then(|memory| memory.peak_bytes),
        memory_limit: memory.and_then(|memory| memory.limit_bytes),
        cpu_usec: cpu.map(|cpu| cpu.usage_microseconds),
        cpu_user_usec: cpu.and_then(|cpu| cpu.user_microseconds),
        cpu_system_usec: cpu.and_then(|cpu| cpu.system_microseconds),
        throttled_usec: cpu.and_then(|cpu| cpu.throttled_microseconds),
    }
}

/// How long the processes of a container are waited for that were killed with
/// their launcher.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes down what is left of a container: systemd itself removes the scope
/// that has become empty.
fn release(record: &Record) -> anyhow::Result<()> {
    if let (Afterwards::Remove, Some(log)) = (record.afterwards, &record.upkeep.log) {
        log::remove(log);
    }
    let Some(Place { cgroup, unit }) = &record.place else { return Ok(()) };
    let name = cgroup.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let parent = cgroup.parent().unwrap_or(Path::new("/"));
    if !name.starts_with("sublet-") {
        return Ok(());
    }
    let left = match Directory::open(cgroup) {
        // Removed, or of a tree that is not mounted any more.
        Err(refused) if matches!(refused.errno, Errno::ENOENT | Errno::ENOTTY) => return Ok(()),
        opened => opened?,
    };
    let deadline = Deadline::after(PATIENCE);
    match left.kill() {
        Err(refused) if refused.errno == Errno::ENODEV => return Ok(()),
        killed => killed.context("kill what is left in its control group")?,
    }
    match unit {
        Some(_) => Ok(()),
        None => Ok(Directory::open(parent)?.remove(name, deadline)?),
    }
}
