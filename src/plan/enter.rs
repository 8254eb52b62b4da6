//! What will be done to run a further program in a container that runs.
//!
//! Reads the container's [`Spec`], in which the program takes the payload's
//! place, and what /proc shows of the container. `launch::enter` begins it, and
//! `child::join` and the rest of `child` perform the steps: the same as those
//! of a start for all that makes the payload what it is.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use super::idmap;
use super::namespaces::Namespaces;
use super::outline::Streams;
use super::step::{Gate, Slot, Step};
use super::user::{self, Files};
use super::{cstring_text, process, schedule, security};
use crate::host::Host;
use crate::host::cgroup::PAYLOAD;
use crate::host::descriptors::Descriptors;
use crate::host::inside::Inside;
use crate::spec::{Spec, Stdin};
use crate::state::Place;

/// What one entry will do.
#[derive(Debug)]
pub struct Entry {
    /// The container, for people.
    pub container: String,
    /// Where it is counted and limited; where it was started, if there is none.
    pub group: Option<Group>,
    /// How its standard streams reach the caller's.
    pub streams: Streams,
    /// What it holds from the start, in the first slots.
    pub held: Vec<Held>,
    /// What it does; the last step does not return.
    pub steps: Vec<Step>,
    /// How many descriptors it keeps from step to step.
    pub slots: usize,
    /// What is less than could be had, one sentence each, for people.
    pub notes: Vec<String>,
}

/// The control group of a container's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its directory.
    pub directory: PathBuf,
    /// The unit of systemd that it lies in, and its path below that.
    pub unit: Option<(String, String)>,
}

/// A descriptor that the launcher opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Of a process of the container.
    Process,
    /// The host's /proc.
    Proc,
}

/// What becomes of the caller's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// The program has them.
    Attached,
    /// It has none of them: it runs in the background.
    Detached,
}

/// Decides it. `spec` is the container's, with the program and all that was
/// said of it in the payload's place.
///
/// # Errors
/// What is asked for and can't be had, with what would help.
pub fn plan(
    spec: &Spec,
    ties: Ties,
    place: Option<&Place>,
    inside: &Inside,
    host: &Host,
) -> anyhow::Result<Entry> {
    let oci = &spec.oci;
    let linux = oci.linux().as_ref().context("the specification has no linux part")?;
    let asked = oci.process().as_ref().context("the specification has no process part")?;
    let maps = (&inside.uids[..], &inside.gids[..]);
    let idmap = idmap::running(spec, maps, inside.setgroups, host)?;
    let root = inside.root.try_clone().context("open the container's root")?;
    let user = user::plan(spec, &idmap, &Files::at(root))?;
    let mut notes = Vec::new();
    let rights = security::Rights::plan(spec, asked, linux, user.ids.uid, &mut notes)?;
    let group = place.map(|place| Group::of(place, inside, host)).transpose()?;
    let terminal = asked.terminal().unwrap_or(false);
    let streams = if terminal { Streams::Terminal } else { Streams::Inherited };

    let mut held = vec![Held::Process];
    let mut steps = Vec::new();
    if !terminal && (spec.beside.stdin == Stdin::Null || ties == Ties::Detached) {
        steps.push(Step::NullInput);
    }
    if ties == Ties::Detached && !terminal {
        steps.push(Step::NullOutput);
    }
    if let Some(adjust) = asked.oom_score_adj() {
        // While the file is still the caller's own: with its memory hidden it is
        // root's (proc_pid_oom_score_adj(5), dumpable).
        held.push(Held::Proc);
        let content = adjust.to_string().into_bytes();
        let path = c"self/oom_score_adj".into();
        steps.push(Step::WriteProc { proc: Slot(held.len() - 1), path, content });
    }
    steps.push(Step::HideMemory);
    let first = spec.beside.preserve_fds.saturating_add(3);
    steps.push(Step::LetGo(first));
    let namespaces = Namespaces::of_kinds(inside.namespaces);
    steps.push(Step::Join { process: Slot(0), namespaces });
    // It makes who follows, who is in the same group.
    if group.is_some() {
        steps.push(Step::Pass(Gate::Placed));
    }
    steps.push(Step::Born);
    let setup = idmap.setup_user();
    steps.push(Step::Become { uid: setup.uid, gid: setup.gid });
    // fs.suid_dumpable may be 1, and then a change of ids shows it again.
    steps.push(Step::HideMemory);
    let mut slots = held.len();
    if terminal {
        steps.push(Step::OpenPty { owner: user.ids.uid, into: Slot(slots) });
        slots += 1;
    }
    steps.extend(schedule::steps(asked, linux)?);
    steps.extend(schedule::further(asked)?);
    steps.push(Step::Umask(asked.user().umask().unwrap_or(process::UMASK)));
    let directory = asked.cwd().to_str().context("the working directory is not UTF-8")?;
    steps.push(Step::WorkDirectory(cstring_text(directory)?));
    steps.push(Step::Pass(Gate::Held));
    // As in a start: without no_new_privs a filter is loaded before the rights
    // are given up, else last of all.
    if !rights.no_new_privileges {
        steps.extend(rights.filter());
    }
    steps.push(Step::Identity {
        uid: user.ids.uid,
        gid: user.ids.gid,
        groups: user.groups.clone(),
        capabilities: rights.capabilities,
    });
    steps.push(Step::HideMemory);
    if rights.no_new_privileges {
        steps.push(Step::NoNewPrivileges);
    }
    steps.push(Step::NewSession);
    if terminal {
        steps.push(Step::TakeTerminal(Slot(slots - 1)));
    }
    steps.push(Step::CloseFrom(first));
    let given = Descriptors::are_raised().then(|| host.descriptors()).transpose()?;
    steps.extend(process::given_back(given, asked));
    steps.extend(process::limits(asked));
    steps.push(Step::ResetSignals);
    if rights.no_new_privileges {
        steps.extend(rights.filter());
    }
    steps.push(process::exec(asked, &spec.beside.root, &user.home, None)?);

    #[cfg(feature = "weaken")]
    super::weaken::weaken(&mut steps)?;
    let container = spec.beside.label().to_owned();
    Ok(Entry { container, group, streams, held, steps, slots, notes })
}

impl Group {
    /// The payload's leaf; where the container has divided that, the group in it
    /// that its first process is in.
    fn of(place: &Place, inside: &Inside, host: &Host) -> anyhow::Result<Self> {
        let leaf = place.cgroup.join(PAYLOAD);
        let divided = std::fs::read(leaf.join("cgroup.subtree_control"));
        let directory = match divided {
            Ok(controllers) if !controllers.trim_ascii().is_empty() => {
                host.cgroups()?.of_process(inside.pid.as_raw())?
            }
            _ => leaf,
        };
        let unit = place.unit.clone().map(|unit| {
            let below = directory.strip_prefix(&place.cgroup).unwrap_or(PAYLOAD.as_ref());
            (unit, format!("/{}", below.display()))
        });
        Ok(Self { directory, unit })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.directory.display())?;
        match &self.unit {
            Some((unit, _)) => write!(f, ", of {unit}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "enter container {}", self.container)?;
        match &self.group {
            Some(group) => writeln!(f, "control group: {group}")?,
            None => writeln!(f, "control group: the one that it is started in")?,
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        writeln!(f, "steps of the child:")?;
        for (at, step) in self.steps.iter().enumerate() {
            writeln!(f, "{at:>4}  {step}")?;
        }
        Ok(())
    }
}

/// The shape that `--dry-run=json` prints.
#[derive(Serialize)]
struct Told<'a> {
    container: &'a str,
    cgroup: Option<String>,
    notes: &'a [String],
    steps: Vec<String>,
}

impl Entry {
    /// The plan as JSON: `container`, `cgroup`, `notes` and `steps`.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&Told {
            container: &self.container,
            cgroup: self.group.as_ref().map(|group| group.directory.display().to_string()),
            notes: &self.notes,
            steps: self.steps.iter().map(ToString::to_string).collect(),
        })
    }
}
