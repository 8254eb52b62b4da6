//! The clone.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use anyhow::Context;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::channel::{self, Channel};
use super::timing::Timing;
use crate::cgroup::placing::Placing;
use crate::child::door::{Door, Part};
use crate::child::network::Maker;
use crate::child::start::{Birth, Orders, Process};
use crate::child::sweep::UserNamespace;
use crate::child::watcher::{Stay, Watcher};
use crate::error::Explain;
use crate::host::{Host, advice};
use crate::idmap::{self, Pending};
use crate::network::Connecting;
use crate::plan::cgroup::{Cgroup, Manager};
use crate::plan::idmap::Idmap;
use crate::plan::namespaces::Namespaces;
use crate::plan::step::{Gate, Step};
use crate::plan::{Outline, Plan, Streams};
use crate::spec::Lifetime;
use crate::sys::fd::standard;
use crate::sys::process;
use crate::sys::schedule;
use crate::sys::tty::is_terminal;

/// A child between clone and exec.
pub struct Spawned {
    /// Its process.
    pub payload: Process,
    /// What it does, for telling what went wrong.
    pub steps: Rc<[Step]>,
    /// The way to it.
    pub channel: Channel,
    /// The signals that come for the launcher.
    pub signals: SignalFd,
    /// Those that are blocked, and read there.
    pub forwarded: SigSet,
    /// When what happened.
    pub timing: Timing,
    /// Makes its network namespace meanwhile, if it is to have one.
    pub maker: Option<Maker>,
    /// The process that outlives us if we are killed, once there is one.
    pub watcher: Option<Watcher>,
    /// The child's user namespace, looked up while the child is still the
    /// caller's own process.
    user_namespace: Option<OwnedFd>,
    namespaces: Namespaces,
    streams: Streams,
    stay: Stay,
    lifetime: Lifetime,
}

/// Makes the child; without a plan it waits for one.
pub fn spawn(
    outline: &Outline,
    plan: Option<Plan>,
    placing: &Placing<'_>,
    doorstep: Option<BorrowedFd<'_>>,
    host: &Host,
) -> anyhow::Result<Spawned> {
    let timing = Timing::start();
    let (channel, childs_end) = channel::pair()?;
    // Blocked before the clone, so that none that comes from now on is lost:
    // they are read from a descriptor, and forwarded once the payload runs.
    let forwarded = process::forwarded_signals();
    forwarded.thread_block().context("block signals")?;
    let signals = SignalFd::with_flags(&forwarded, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("make a descriptor for signals")?;
    let namespaces = outline.namespaces;
    let (steps, slots) = plan.map_or_else(Default::default, |plan| (plan.steps, plan.slots));
    let steps: Rc<[Step]> = steps.into();
    let orders = (!steps.is_empty()).then(|| Orders::new(&steps, slots));
    let ends = (channel.as_fd(), childs_end);
    let door = outline.join.as_ref().map(|join| Door {
        user: join.owner.as_ref().map(|owner| owner.namespace.as_fd()),
        network: join.network.as_fd(),
        oom_score_adj: outline.oom_score_adj.as_deref(),
    });
    let (made, cgroup) = (namespaces.flags(), placing.group());
    let birth = Birth { namespaces: made, cgroup, door, doorstep };
    let started = Process::start(ends, birth, outline.memory, orders);
    let payload = started.or_else(|refused| match &outline.join {
        Some(join) if refused.part != Part::Clone => Err(anyhow::Error::from(refused.errno))
            .with_context(|| refused.to_string())
            .with_context(|| format!("join the network of {}", join.whose))
            .hint(door_hint(refused.part)),
        _ => {
            let advice = advice::for_clone(refused.errno, host);
            Err(anyhow::Error::msg(advice.cause))
                .with_context(|| format!("make the namespaces {namespaces}"))
                .hint(advice.hint)
        }
    })?;
    apply_instead(payload.pid(), &outline.cgroup)?;
    if let (Some(text), None) = (&outline.oom_score_adj, &outline.join) {
        set_oom_score(payload.pid(), text)?;
    }
    // With its ids it may become another user, into whom we can't look.
    let path = format!("/proc/{}/ns/user", payload.pid());
    let user_namespace = File::open(path).ok().map(OwnedFd::from);
    let streams = outline.streams;
    let stay = match outline.cgroup.manager {
        Manager::Systemd { .. } => Stay::UntilDropped,
        Manager::Direct { .. } | Manager::None => Stay::WithPayload,
    };
    Ok(Spawned {
        payload,
        steps,
        channel,
        signals,
        forwarded,
        timing,
        maker: None,
        watcher: None,
        user_namespace,
        namespaces,
        streams,
        stay,
        lifetime: outline.lifetime,
    })
}

/// What helps who does not get into another's network.
fn door_hint(part: Part) -> &'static str {
    match part {
        Part::OomScoreAdj => "the value may only be raised above what your own processes have",
        _ => "its owner may join it, and root; an outer filter may forbid that (setns)",
    }
}

/// What stands in for limits that can't be had, while the child is the caller's
/// own process: later it may belong to another of its ids.
fn apply_instead(child: Pid, cgroup: &Cgroup) -> anyhow::Result<()> {
    if let Some(processors) = &cgroup.affinity {
        schedule::set_affinity(child, processors)
            .with_context(|| format!("have the container run on the CPUs {processors:?}"))
            .hint("/sys/devices/system/cpu/online lists those that are there")?;
    }
    if let Some(nice) = cgroup.nice {
        schedule::set_nice(child, nice)
            .with_context(|| format!("give the container the nice value {nice}"))?;
    }
    Ok(())
}

/// Says how willingly the kernel kills it, while the file is still the caller's
/// own: after a change of uid it is root's (proc_pid_oom_score_adj(5)).
fn set_oom_score(child: Pid, text: &[u8]) -> anyhow::Result<()> {
    let path = format!("/proc/{child}/oom_score_adj");
    std::fs::write(&path, text)
        .with_context(|| format!("write {} to {path}", String::from_utf8_lossy(text)))
        .hint("the value may only be raised above what your own processes have")
}

impl Spawned {
    /// Gives a child that waits for it what it is to do.
    pub fn give(&mut self, plan: Plan) {
        self.steps = plan.steps.into();
        self.payload.give(Orders::new(&self.steps, plan.slots));
        self.channel.open(Gate::Planned);
    }

    /// Begins to map its ids.
    pub fn map<'a>(&mut self, idmap: &'a Idmap, host: &'a Host) -> anyhow::Result<Pending<'a>> {
        let maps = idmap::begin(idmap, self.payload.pid(), host)?;
        // To start a program, musl's posix_spawn(3) blocks all signals, and
        // then only those again that it does not want for its threads.
        self.forwarded.thread_block().context("block signals")?;
        Ok(maps)
    }

    /// Starts who makes its network namespace, if it is to have one and nobody
    /// makes it yet. Its ids have to be mapped: what the kernel shows of a
    /// network (`/proc/net`, `/sys/class/net/lo`) belongs to the root of the user
    /// namespace if there is one when it is made, and to nobody else.
    pub fn begin_network(&mut self, connecting: &mut Connecting) -> anyhow::Result<()> {
        if self.namespaces.own_network() && self.maker.is_none() {
            let user = self.user_namespace.as_ref().map_or(self.payload.pidfd(), AsFd::as_fd);
            let user = self.namespaces.own_user().then_some(user);
            let maker = Maker::start(user, self.channel.as_fd(), connecting.begin()?);
            self.maker = Some(maker.context("start the process that makes the network namespace")?);
        }
        Ok(())
    }

    /// Starts what stands by the child: who watches over it, and who makes its
    /// control group.
    pub fn attend(&mut self, placing: &mut Placing<'_>) -> anyhow::Result<()> {
        let unguarded = !self.namespaces.own_network();
        let payload = &self.payload;
        if self.lifetime == Lifetime::Own {
            if unguarded {
                self.channel.open(Gate::Guarded);
            }
            return placing.begin(payload.pid(), None);
        }
        let sweep = (!self.namespaces.own_pid())
            .then(|| UserNamespace::of(payload.pid()))
            .transpose()
            .context("look at the user namespace")?;
        let terminal = (self.streams == Streams::Terminal).then(|| standard(0));
        let terminal = terminal.filter(|fd| is_terminal(*fd));
        let watcher = Watcher::start(payload.pidfd(), sweep, terminal, self.stay);
        let watcher = self.watcher.insert(watcher.context("start the watcher")?);
        if unguarded {
            self.channel.open(Gate::Guarded);
        }
        placing.begin(payload.pid(), Some(watcher.pid()))
    }
}
