//! What will be done, decided before anything is.
//!
//! All that a [`Spec`] leaves open is decided here: nothing
//! after it interprets one again. It looks at the host and writes nothing; what it
//! decides can be printed (`--dry-run`) and is what errors are told from.
#![forbid(unsafe_code)]

pub mod attr;
pub mod cgroup;
mod clocks;
mod dev;
mod draft;
pub mod enter;
mod etc;
mod hide;
pub mod hooks;
pub mod idmap;
pub mod join;
mod mounts;
pub mod namespaces;
pub mod network;
pub mod notify;
mod outline;
mod overlay;
mod process;
mod rootfs;
mod schedule;
mod security;
pub mod step;
mod sysctl;
mod tell;
#[cfg(test)]
mod tests;
mod user;
#[cfg(feature = "weaken")]
mod weaken;
mod workshop;

use std::ffi::CString;
use std::path::Path;
use std::rc::Rc;

use anyhow::Context;

use crate::host::Host;
use crate::spec::background::Notify;
use crate::spec::{Lifetime, Root, Spec, Stdin};
use dev::Nodes;
use draft::{Draft, cstring_text};
use hide::Cover;
use join::Join;
use mounts::{Made, Setting};
use network::Network;
pub use outline::{First, Memory, Outline, Streams, check_descriptors, outline};
use step::{Gate, Phase, Slot, Step};
use sysctl::Sysctls;
use workshop::Workshop;

/// What one launch will do.
#[derive(Debug)]
pub struct Plan {
    /// What it begins with.
    pub outline: Rc<Outline>,
    /// How it reaches the world.
    pub network: Network,
    /// What the child does, in order; the last step does not return.
    pub steps: Vec<Step>,
    /// How many descriptors the child keeps from step to step.
    pub slots: usize,
    /// What is less than could be had, one sentence each, for people.
    pub notes: Vec<String>,
}

impl Plan {
    /// The command and its arguments, as they will be executed.
    pub fn command(&self) -> Vec<String> {
        let argv = self.steps.iter().rev().find_map(|step| match step {
            Step::Exec { argv, .. } => Some(argv.strings()),
            _ => None,
        });
        let word = |word: &CString| word.to_string_lossy().into_owned();
        argv.unwrap_or_default().iter().map(word).collect()
    }
}

/// Decides all of it; `join` is what was found for a network of others.
///
/// # Errors
/// What is asked for and can't be had, with what would help.
pub fn compile(spec: &Spec, join: Option<Join>, host: &Host) -> anyhow::Result<Plan> {
    complete(Rc::new(outline(spec, join, host)?), spec, host)
}

/// Decides what the outline leaves open: the steps.
///
/// # Errors
/// What is asked for and can't be had, with what would help.
pub fn complete(outline: Rc<Outline>, spec: &Spec, host: &Host) -> anyhow::Result<Plan> {
    let Outline { idmap, namespaces, cgroup, streams, .. } = &*outline;
    let namespaces = *namespaces;
    let oci = &spec.oci;
    let linux = oci.linux().as_ref().context("the specification has no linux part")?;
    let process = oci.process().as_ref().context("the specification has no process part")?;
    let terminal = *streams == Streams::Terminal;
    let readonly = oci.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false);

    let own_life = spec.beside.lifetime == Lifetime::Own;
    let sysctls = linux.sysctl().clone().unwrap_or_default();
    let sysctls = Sysctls::plan(&sysctls, namespaces)?;

    let user = user::plan(spec, idmap, &user::Files::of(&spec.beside.root))?;
    let mut draft = Draft::new();
    draft.notes.extend_from_slice(&outline.notes);
    let network = match &outline.join {
        Some(join) => Network::Joined(join.whose.clone()),
        None => network::plan(&spec.beside, idmap, host, &mut draft.notes)?,
    };

    draft.early.extend(clocks::step(linux, namespaces)?);
    rootfs::open(&spec.beside.root, &mut draft)?;
    let met = own_life && hooks::are_to_meet(oci.hooks().as_ref());
    let shown = met && !rootfs::is_the_hosts(&spec.beside.root);
    let spot = shown.then(|| rootfs::spot(&spec.beside.root, &mut draft)).transpose()?;
    let workshop = Workshop::open(spot, &mut draft);
    let masked = linux.masked_paths().as_deref().unwrap_or_default();
    let readonly_paths = linux.readonly_paths().as_deref().unwrap_or_default();
    let cover = (!masked.is_empty()).then(|| Cover::plan(workshop, &mut draft));
    let mounts = oci.mounts().as_deref().unwrap_or_default();
    let home = own_home(&spec.beside.root, host)?;
    let propagation = rootfs::Propagation::plan(linux.rootfs_propagation().as_deref(), mounts)?;
    rootfs::attach(&spec.beside.root, readonly, home, propagation, (workshop, spot), &mut draft);
    let nodes = if spec.beside.nested { Nodes::Nested } else { Nodes::Standard };
    let setting = Setting {
        namespaces,
        cgroup,
        idmap,
        nodes,
        workshop,
        devices: &spec.beside.devices,
        own_life,
        host,
    };
    // What shows the network namespace or the control group goes last: both
    // are made meanwhile.
    let meanwhile = namespaces.own_network() || cgroup.is_own();
    let early = |path: &Path| !meanwhile || !path.starts_with("/sys");
    let (first, last) = mounts.iter().partition::<Vec<_>, _>(|mount| early(mount.destination()));
    let mut made = Made::default();
    mounts::plan(&first, setting, &mut made, &mut draft)?;
    dev::show_asked(linux.devices().as_deref().unwrap_or_default(), &mut draft)?;
    if spec.beside.etc_files {
        let hostname = oci.hostname().as_deref().unwrap_or(spec.beside.label());
        let files = etc::Files::of(hostname, &network, &spec.beside, host);
        etc::plan(files, mounts, workshop, &mut draft)?;
    }
    let size = process.console_size();
    let console = terminal.then(|| open_terminal(&made, user.ids.uid, size, &mut draft));
    let console = console.transpose()?;
    let mut process = process.clone();
    if spec.beside.notify == Notify::Container && host.notify_socket().is_some() {
        notify::plan(&made, &mut process, &mut draft);
    }
    let process = &process;
    // A bundle has the list of its engine, for all roots and machines.
    let by_name = spec.beside.lifetime == Lifetime::WithLauncher;
    let hidden = hide::Paths { masked, readonly: readonly_paths, by_name, cover };
    // What is written below /proc is written before that is covered.
    let hide_now = sysctls.is_empty();
    hidden.plan(|path| hide_now && early(path), &mut draft)?;
    draft.push(Step::Mark(Phase::Mounts));
    if namespaces.own_network() {
        draft.push(Step::Pass(Gate::Network));
        draft.push(Step::Mark(Phase::Network));
        draft.push(Step::JoinNetwork);
    }
    mounts::plan(&last, setting, &mut made, &mut draft)?;
    made.late.finish(setting, &mut draft)?;
    sysctls.write(made.shown_proc, &mut draft)?;
    hidden.plan(|path| !(hide_now && early(path)), &mut draft)?;
    if met {
        draft.push(Step::Meet(Gate::Hooked));
        hooks::create_container(oci.hooks().as_ref())?
            .into_iter()
            .for_each(|step| draft.push(step));
    }
    rootfs::enter(&spec.beside.root, readonly, propagation, &mut draft);
    draft.push(Step::Mark(Phase::Root));

    if namespaces.apart(libc::CLONE_NEWUTS) {
        if let Some(name) = oci.hostname() {
            draft.push(Step::Hostname(cstring_text(name)?));
        }
        if let Some(name) = oci.domainname() {
            draft.push(Step::Domainname(cstring_text(name)?));
        }
    }
    if let Some(adjust) = process.oom_score_adj()
        && outline.oom_score_adj.is_none()
    {
        let proc = made.proc.context("--oom-score-adj needs a /proc of the container's own")?;
        let content = adjust.to_string().into_bytes();
        // While the ids are still the caller's: after a change of uid the file
        // is root's of the host (proc_pid_oom_score_adj(5), dumpable). And
        // before anything can have been mounted over it.
        draft.early.push(Step::WriteProc { proc, path: c"self/oom_score_adj".into(), content });
    }
    schedule::steps(process, linux)?.into_iter().for_each(|step| draft.push(step));
    draft.push(Step::Umask(process.user().umask().unwrap_or(process::UMASK)));
    let directory = process.cwd().to_str().context("the working directory is not UTF-8")?;
    draft.push(Step::WorkDirectory(cstring_text(directory)?));
    // Before the filter, which need not let it hear.
    if matches!(network, Network::Helped(_)) || !outline.services.is_empty() {
        draft.push(Step::Pass(Gate::Connected));
        draft.push(Step::Mark(Phase::Uplink));
    }
    draft.push(Step::Pass(Gate::Guarded));

    let rights = security::Rights::plan(spec, process, linux, user.ids.uid, &mut draft.notes)?;
    let mut last = Vec::new();
    // Without no_new_privs a filter may only be loaded by who has
    // CAP_SYS_ADMIN (seccomp(2)): before the rights are given up, and then
    // the steps that follow have to pass it. With it, the filter goes last.
    if !rights.no_new_privileges {
        last.extend(rights.filter());
    }
    last.push(Step::Identity {
        uid: user.ids.uid,
        gid: user.ids.gid,
        groups: user.groups.clone(),
        capabilities: rights.capabilities,
    });
    if own_life {
        // fs.suid_dumpable may be 1, and then a change of ids shows it again.
        last.push(Step::HideMemory);
    }
    if rights.no_new_privileges {
        last.push(Step::NoNewPrivileges);
    }
    if outline.first == First::Reaper {
        last.push(Step::Reaper);
    }
    last.push(Step::NewSession);
    last.extend(console.map(Step::TakeTerminal));
    if !own_life {
        last.push(Step::DieWithParent);
    }
    let handed_down = spec.beside.preserve_fds.saturating_add(3);
    last.push(Step::CloseFrom(handed_down));
    // Not earlier: with few descriptors or processes allowed, the steps above
    // could not be done.
    last.extend(process::limits(process));
    last.push(Step::ResetSignals);
    last.push(Step::Mark(Phase::Confine));
    let exec = process::exec(process, &spec.beside.root, &user.home, shell(spec, host)?)?;
    if own_life && let Step::Exec { candidates, .. } = &exec {
        last.push(Step::Find { candidates: candidates.clone() });
        last.push(Step::Meet(Gate::Recorded));
        last.push(Step::AwaitStart { first: handed_down });
        last.extend(hooks::start_container(oci.hooks().as_ref(), &rights)?);
    }
    // Last, for as long as the trees are open that were mounted.
    last.extend(process::given_back(outline.descriptors, process));
    if rights.no_new_privileges {
        last.extend(rights.filter());
    }
    last.push(exec);

    // Every mode below is given in full; the caller's mask must not narrow it.
    let mut steps = vec![Step::Umask(0)];
    if spec.beside.stdin == Stdin::Null && !terminal {
        steps.push(Step::NullInput);
    }
    steps.push(Step::Propagation(propagation.of_all()));
    let slots = draft.slots();
    steps.append(&mut draft.early);
    steps.push(Step::Mark(Phase::Trees));
    steps.push(Step::Pass(Gate::Mapped));
    steps.push(Step::Mark(Phase::Maps));
    let setup = idmap.setup_user();
    steps.push(Step::Become { uid: setup.uid, gid: setup.gid });
    if own_life {
        // It stays as it is now, in namespaces where there may be others.
        steps.push(Step::HideMemory);
    }
    steps.append(&mut draft.late);
    steps.append(&mut last);

    #[cfg(feature = "weaken")]
    weaken::weaken(&mut steps)?;
    Ok(Plan { outline, network, steps, slots, notes: draft.notes })
}

/// The caller's home directory where the root is the machine's own. Only one
/// that the caller owns: those of services are often /, /bin and the like.
fn own_home<'a>(root: &Root, host: &'a Host) -> anyhow::Result<Option<&'a Path>> {
    use std::os::unix::fs::MetadataExt;
    if *root != Root::Host {
        return Ok(None);
    }
    let uid = host.caller()?.uid;
    let home = host.account()?.ok().map(|account| account.user.home.as_path());
    let own = |home: &&Path| home.metadata().is_ok_and(|facts| facts.uid() == uid);
    Ok(home.filter(|home| home.is_absolute() && *home != Path::new("/")).filter(own))
}

/// The caller's own shell, where the root is the machine's own.
fn shell<'a>(spec: &Spec, host: &'a Host) -> anyhow::Result<Option<&'a str>> {
    if spec.beside.root != Root::Host {
        return Ok(None);
    }
    let account = host.account()?.ok();
    let shell = account.and_then(|account| account.user.shell.to_str());
    Ok(shell.filter(|shell| !shell.is_empty()))
}

/// Opens the terminal while the rights to mount /dev/console are there.
fn open_terminal(
    made: &Made,
    owner: u32,
    size: Option<oci_spec::runtime::Box>,
    draft: &mut Draft,
) -> anyhow::Result<Slot> {
    let number = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let size = size.map(|size| (number(size.height()), number(size.width())));
    let dev = made.dev.context("a terminal needs a /dev of the container's own")?;
    let pts = made.pts.context("a terminal needs a devpts of the container's own")?;
    let into = draft.slot();
    draft.push(Step::OpenTerminal { dev, pts, owner, size, into });
    Ok(into)
}
