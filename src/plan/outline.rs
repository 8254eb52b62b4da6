//! What the child is made with, and whose ids are mapped how.
//!
//! The first half of a plan, and all that the clone and the helpers that map
//! the ids have to know: they can begin while the [`steps`](super::steps) are
//! decided.

use std::path::Component;
use std::time::Duration;

use anyhow::Context;

use super::cgroup::{self, Cgroup};
use super::idmap::{self, Idmap, Rung, Why, Writer};
use super::join::Join;
use super::namespaces::{Joined, Namespaces};
use crate::error::Explain;
use crate::host::Host;
use crate::host::descriptors::Descriptors;
use crate::spec::network::Service;
use crate::spec::port::Port;
use crate::spec::{Lifetime, Root, Spec};

/// What one launch begins with.
#[derive(Debug)]
pub struct Outline {
    /// How ids are mapped, and by whom.
    pub idmap: Idmap,
    /// Which namespaces are new.
    pub namespaces: Namespaces,
    /// Those that others have made, to be joined before the clone.
    pub joined: Vec<Joined>,
    /// The control group, and the limits.
    pub cgroup: Cgroup,
    /// How the payload's standard streams reach the caller's.
    pub streams: Streams,
    /// Whose memory the child runs in.
    pub memory: Memory,
    /// Who is pid 1 of the container.
    pub first: First,
    /// Whether the container ends with the launcher.
    pub lifetime: Lifetime,
    /// How long the payload may run.
    pub timeout: Option<Duration>,
    /// Which ports of the host lead to the container's.
    pub ports: Vec<Port>,
    /// The limit that is the payload's, where the launcher needs more open
    /// files than that.
    pub descriptors: Option<Descriptors>,
    /// The services of the host that it reaches.
    pub services: Vec<Service>,
    /// The network of another that it has.
    pub join: Option<Join>,
    /// The text for /proc/self/oom_score_adj, where it can't be set by a step.
    pub oom_score_adj: Option<Vec<u8>>,
    /// What is less than could be had, one sentence each, for people.
    pub notes: Vec<String>,
}

/// Who is pid 1 of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The payload itself.
    Payload,
    /// Our reaper, which passes every signal on.
    Reaper,
}

/// Whose memory the child runs in until its exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// The launcher's.
    Shared,
    /// A copy of its own.
    Copied,
}

/// How the payload's standard streams reach the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// They are the caller's own.
    Inherited,
    /// Through a pty, whose other end the launcher holds.
    Terminal,
}

/// Decides it; `join` is what was found for a network of others.
///
/// # Errors
/// What is asked for and can't be had, with what would help.
pub fn outline(spec: &Spec, join: Option<Join>, host: &Host) -> anyhow::Result<Outline> {
    let linux = spec.oci.linux().as_ref().context("the specification has no linux part")?;
    let process = spec.oci.process().as_ref().context("the specification has no process part")?;

    check_descriptors(spec.beside.preserve_fds)?;
    let owner = join.as_ref().and_then(|join| Some((join, join.owner.as_ref()?)));
    let idmap = match owner {
        Some((join, owner)) => idmap::joined(join, owner, spec, host)?,
        None => idmap::compile(spec, host)?,
    };
    let asked = linux.namespaces().as_deref().unwrap_or_default();
    let (namespaces, joined) = Namespaces::plan(asked, &spec.beside.userns, join.as_ref(), host)?;
    let mut notes = Vec::new();
    let cgroup = cgroup::plan(spec, host, &mut notes)?;
    let namespaces = if cgroup.is_own() { namespaces.cgroup_later() } else { namespaces };
    if let Rung::Single(Why::NoRange(advice)) = &idmap.rung {
        notes.push(format!("one id only, because {}: {}", advice.cause, advice.hint));
    }
    if let Root::Directory(path) | Root::Overlay(path) = &spec.beside.root
        && path.components().eq([Component::RootDir])
    {
        notes.push(
            "the root / is this machine's with all files of yours in it: the word host is it \
             read-only, and without those"
                .to_owned(),
        );
    }
    let first = if spec.beside.init { First::Reaper } else { First::Payload };
    // A reaper stays in the memory that it was made in. And the kernel gives
    // oom_score_adj to all processes with the same memory: the launcher and
    // the watcher would be as ready to be killed as the payload. In a group of
    // its own, whose memory can be used up, the kernel may kill it before its
    // exec, and with it all that have the same memory. Nor may those see it who
    // are in a user namespace that it is made in. And one that the launcher
    // leaves alone needs a memory that stays.
    let (adjusted, lifetime) = (process.oom_score_adj(), spec.beside.lifetime);
    let in_ours = lifetime == Lifetime::WithLauncher && !cgroup.is_own() && join.is_none();
    let memory = match (first, adjusted) {
        (First::Payload, None) if in_ours => Memory::Shared,
        _ => Memory::Copied,
    };
    // It is not dumpable then, and the file is root's.
    let by_others = join.is_some() || lifetime == Lifetime::Own;
    let oom_score_adj = adjusted.filter(|_| by_others).map(|it| it.to_string().into_bytes());
    let terminal = process.terminal().unwrap_or(false);
    let streams = if terminal { Streams::Terminal } else { Streams::Inherited };
    let (timeout, ports) = (spec.beside.timeout, spec.beside.ports.clone());
    let services = spec.beside.services.clone();
    let given = host.descriptors()?;
    let descriptors = Some(given).filter(|given| given.soft < open_at_once(spec));
    Ok(Outline {
        idmap,
        namespaces,
        joined,
        cgroup,
        streams,
        memory,
        first,
        lifetime,
        timeout,
        ports,
        descriptors,
        services,
        join,
        oom_score_adj,
        notes,
    })
}

/// As many files as a start may have open at once: two for each mount until it is
/// in place, one for each published port for good, and what else there is.
fn open_at_once(spec: &Spec) -> u64 {
    /// Mounts that nobody has asked for, channels, groups and records.
    const OTHERS: u64 = 256;
    let mounts = spec.oci.mounts().as_deref().unwrap_or_default().len() as u64;
    let preserved = u64::from(spec.beside.preserve_fds);
    OTHERS + 2 * mounts + spec.beside.ports.len() as u64 + preserved
}

/// Whether what is to be handed down is there: to be asked before anything of
/// ours is open.
///
/// # Errors
/// The number that is not open.
pub fn check_descriptors(preserve: u32) -> anyhow::Result<()> {
    for number in 3..preserve.saturating_add(3) {
        if !crate::sys::fd::is_open(number) {
            return Err(anyhow::anyhow!("descriptor {number} is not open"))
                .with_context(|| format!("--preserve-fds {preserve}, or as many by LISTEN_FDS"))
                .hint("descriptors are handed down from 3 upwards, without a gap");
        }
    }
    Ok(())
}

impl Outline {
    /// Lets this process have as many files open as it takes. The payload gets
    /// the limit back that it is to have.
    pub fn make_room(&self) {
        self.descriptors.into_iter().for_each(Descriptors::raise);
    }

    /// Whether there is time for the rest to be decided once the child is
    /// made: others map its ids meanwhile. One in a copy of our memory has to
    /// be made with all that it is to know.
    pub fn is_enough_to_begin(&self) -> bool {
        self.memory == Memory::Shared && matches!(self.idmap.writer, Writer::Helpers { .. })
    }
}
