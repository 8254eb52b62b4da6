//! What is mounted below the root, in the order of the Spec.
//!
//! Reads `mounts`; `child::mount` performs it. Every target is found with the
//! container's root as `/`, every source with the caller's own rights.

mod cgroup;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use oci_spec::runtime::Mount;

use super::attr::{self, Meaning, NODEV, NOSUID, RDONLY};
use super::cgroup::Cgroup;
use super::draft::{Draft, cstring, filesystem};
use super::idmap::Idmap;
use super::namespaces::Namespaces;
use super::step::{Expect, Missing, Slot, Step, Target};
use super::workshop::Workshop;
use super::{dev, overlay};
use crate::error::Explain;
use crate::host::Host;
use crate::host::advice::table::files;
use crate::sys::mount::Reach;
use cgroup::Late;

/// What later steps want to know of the mounts.
#[derive(Debug, Default)]
pub struct Made {
    /// The /dev of our own.
    pub dev: Option<Slot>,
    /// The devpts in it.
    pub pts: Option<Slot>,
    /// The procfs, if it is the container's own.
    pub proc: Option<Slot>,
    /// The procfs, whosever it is.
    pub shown_proc: Option<Slot>,
    /// What waits for the control group.
    pub late: Late,
}

/// What decides over the mounts beside their own words.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// Which namespaces are new.
    pub namespaces: Namespaces,
    /// The control group.
    pub cgroup: &'a Cgroup,
    /// Which ids there are.
    pub idmap: &'a Idmap,
    /// Which devices are shown.
    pub nodes: dev::Nodes,
    /// Where what is shown is made.
    pub workshop: Workshop,
    /// Which targets have to be devices.
    pub devices: &'a [PathBuf],
    /// Whether the container lives on without us, as a bundle's does.
    pub own_life: bool,
    /// The machine.
    pub host: &'a Host,
}

/// The options of one mount, sorted by who takes them.
#[derive(Debug, Default)]
struct Options {
    /// Attributes of the mount.
    set: u64,
    /// Attributes of all mounts below it too.
    set_below: u64,
    /// `MS_*`; 0 where nothing is said.
    propagation: u64,
    /// The mount, or all below it.
    reach: Option<Reach>,
    /// It begins with what it covers.
    copies_up: bool,
    /// What the file system takes.
    data: Vec<String>,
}

impl Options {
    fn of(mount: &Mount) -> Self {
        let mut options = Self::default();
        for option in mount.options().iter().flatten() {
            match attr::meaning(option) {
                Meaning::Set(bits, Reach::Mount) => options.set |= bits,
                Meaning::Set(bits, Reach::Tree) => options.set_below |= bits,
                Meaning::Unset(bits) => {
                    options.set &= !bits;
                    options.set_below &= !bits;
                }
                Meaning::Propagation(kind) => options.propagation = kind,
                Meaning::Nothing if option == "bind" => options.reach = Some(Reach::Mount),
                Meaning::Nothing if option == "rbind" => options.reach = Some(Reach::Tree),
                Meaning::Nothing => {}
                Meaning::Data if option == "tmpcopyup" => options.copies_up = true,
                Meaning::Data if option == "notmpcopyup" => options.copies_up = false,
                Meaning::Data => options.data.push(option.clone()),
            }
        }
        options
    }

    /// The file system's own options, as keys and values.
    fn data(&self) -> Vec<(&str, Option<&str>)> {
        self.data
            .iter()
            .map(|option| match option.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (option.as_str(), None),
            })
            .collect()
    }
}

/// Plans every one of these mounts.
pub fn plan(
    mounts: &[&Mount],
    setting: Setting<'_>,
    made: &mut Made,
    draft: &mut Draft,
) -> anyhow::Result<()> {
    for mount in mounts {
        made.late.before(mount.destination(), setting, draft)?;
        one(mount, mounts, setting, draft, made)
            .with_context(|| format!("mount at {:?}", mount.destination()))?;
    }
    Ok(())
}

fn one(
    mount: &Mount,
    all: &[&Mount],
    setting: Setting<'_>,
    draft: &mut Draft,
    made: &mut Made,
) -> anyhow::Result<()> {
    let target = mount.destination();
    let options = Options::of(mount);
    let kind = mount.typ().as_deref().unwrap_or("bind");
    check_target(target, kind)?;
    match kind {
        "bind" => bind(mount, target, &options, setting, draft),
        "overlay" => throw_away(mount, target, &options, setting.workshop, draft),
        "proc" => {
            let (tree, own) = procfs(target, &options, setting, draft)?;
            made.shown_proc = Some(tree);
            made.proc = own.then_some(tree);
            Ok(())
        }
        "sysfs" => sysfs(target, &options, setting, draft),
        "cgroup" | "cgroup2" => {
            if setting.own_life && !setting.namespaces.own_cgroup() {
                return outer_cgroups(target, &options, draft);
            }
            made.late.mount(target, options.set | NOSUID | NODEV, setting, draft)
        }
        "tmpfs" | "mqueue" | "devpts" => {
            let tree = fresh(kind, &options, setting.idmap, draft);
            if !matches!(options.propagation, 0 | libc::MS_PRIVATE) {
                draft.set(tree, &format!("the new {kind}"), 0, options.propagation, Reach::Mount);
            }
            if options.copies_up {
                copy_up(kind, target, &options, tree, draft)?;
            }
            if target == Path::new("/dev") {
                dev::fill(tree, setting.nodes, &places(all), setting.host.files(), draft);
                made.dev = Some(tree);
            }
            if kind == "devpts" {
                made.pts = Some(tree);
            }
            attach(tree, &format!("a new {kind}"), target, draft)?;
            if target == Path::new("/dev") {
                dev::show_nodes(tree, setting.nodes, setting.host.files(), draft);
            }
            Ok(())
        }
        other => bail!(
            "a file system of type {other:?} is not supported: bind, tmpfs, proc, sysfs, devpts, mqueue, cgroup and overlay are"
        ),
    }
}

/// What is mounted right in /dev and shows a directory: its names.
fn places<'a>(mounts: &[&'a Mount]) -> Vec<&'a str> {
    let shows =
        |mount: &&&Mount| matches!(mount.typ().as_deref(), Some("tmpfs" | "mqueue" | "devpts"));
    let name = |mount: &&'a Mount| {
        let path = mount.destination().strip_prefix("/dev").ok()?.to_str()?;
        (!path.is_empty() && !path.contains('/')).then_some(path)
    };
    mounts.iter().filter(shows).filter_map(name).collect()
}

/// Files of /proc that a mount may cover: what they tell of the machine is
/// wanted otherwise inside (lxcfs and its kind).
const PROC_FILES: [&str; 9] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "uptime",
    "net/dev",
];

/// Whatever else is mounted over a part of /proc could take the place of a
/// file that confines the container (CVE-2019-19921, CVE-2025-52881).
fn check_target(target: &Path, kind: &str) -> anyhow::Result<()> {
    let Ok(below) = target.strip_prefix("/proc") else { return Ok(()) };
    let allowed = match below.as_os_str().is_empty() {
        true => kind == "proc",
        false => PROC_FILES.iter().any(|file| below == Path::new(file)),
    };
    if allowed {
        return Ok(());
    }
    Err(anyhow::anyhow!("/proc is the kernel's own")).hint(format!(
        "choose another target; of /proc only these can be covered: {}, and --pid host shows \
         that of the host",
        PROC_FILES.join(" ")
    ))
}

fn attach(tree: Slot, what: &str, target: &Path, draft: &mut Draft) -> anyhow::Result<()> {
    draft.push(Step::Attach {
        tree,
        what: what.to_owned(),
        target: Target::Path(cstring(target)?),
        missing: Missing::Create,
    });
    Ok(())
}

fn bind(
    mount: &Mount,
    target: &Path,
    options: &Options,
    setting: Setting<'_>,
    draft: &mut Draft,
) -> anyhow::Result<()> {
    if options.copies_up {
        bail!("tmpcopyup is an option of tmpfs");
    }
    if let Some(unknown) = options.data.first() {
        bail!("{unknown:?} is not an option of a bind mount");
    }
    let source = mount.source().as_deref().context("a bind mount has a source")?;
    let what = format!("{source:?}");
    let reach = options.reach.unwrap_or(Reach::Tree);
    let node = setting.devices.iter().any(|device| device == target);
    let expect = if node { Expect::Node } else { Expect::Any };
    // `--ipc host` shows what the host has of these; some have no mqueue.
    if source.starts_with("/dev/mqueue") && !setting.host.files().has(source) {
        return Ok(());
    }
    let tree = draft.open(cstring(source)?, reach, expect);
    // On the detached tree, so that there is no moment when it is there
    // without them; propagation first cuts it off from the host.
    let propagation = if options.propagation == 0 { libc::MS_PRIVATE } else { options.propagation };
    draft.set(tree, &what, options.set_below, propagation, Reach::Tree);
    draft.set(tree, &what, options.set & !options.set_below, 0, Reach::Mount);
    attach(tree, &what, target, draft)
}

fn throw_away(
    mount: &Mount,
    target: &Path,
    options: &Options,
    workshop: Workshop,
    draft: &mut Draft,
) -> anyhow::Result<()> {
    let source = mount.source().as_deref().context("an overlay has a source")?;
    if let Some(given) = options.data.first() {
        bail!("{given:?}: an overlay of one's own layers is not supported");
    }
    let lower = draft.open(cstring(source)?, Reach::Tree, Expect::Directory);
    let tree = draft.slot();
    let what = format!("{source:?}");
    overlay::over(lower, tree, &what, options.set | options.set_below, workshop, draft);
    attach(tree, &format!("an overlay of {what}"), target, draft)
}

/// A new instance of a file system that any user namespace may have.
fn fresh(kind: &str, options: &Options, idmap: &Idmap, draft: &mut Draft) -> Slot {
    let mut data = options.data();
    if kind == "devpts" {
        // Group 5, tty by custom: EINVAL where it is not in the map. The
        // terminal then belongs to its user's own group.
        data.retain(|(key, value)| {
            *key != "gid"
                || value
                    .and_then(|gid| gid.parse().ok())
                    .is_some_and(|gid| idmap.gid_outside(gid).is_some())
        });
        // Implied since Linux 4.7, and unknown to the new mount interface.
        data.retain(|(key, _)| *key != "newinstance");
    }
    // What is to be filled is closed afterwards.
    let attrs = if options.copies_up { options.set & !RDONLY } else { options.set };
    draft.filesystem(kind, &data, attrs)
}

/// Has a new tmpfs begin with what it will cover.
fn copy_up(
    kind: &str,
    target: &Path,
    options: &Options,
    tree: Slot,
    draft: &mut Draft,
) -> anyhow::Result<()> {
    anyhow::ensure!(kind == "tmpfs", "tmpcopyup is an option of tmpfs");
    let mode_is_given = options.data.iter().any(|option| option.starts_with("mode="));
    draft.push(Step::CopyUp { tree, target: cstring(target)?, mode_is_given });
    draft.set(tree, "the new tmpfs", options.set & RDONLY, 0, Reach::Mount);
    Ok(())
}

fn procfs(
    target: &Path,
    options: &Options,
    setting: Setting<'_>,
    draft: &mut Draft,
) -> anyhow::Result<(Slot, bool)> {
    // A procfs shows a pid namespace, and the host's is not ours to mount. A
    // new one is also refused where the outer one is covered in part, as in a
    // container with masked paths: it would show what that hides.
    let covered = setting.host.mounts()?.covers("/proc");
    let own = setting.namespaces.may_show(libc::CLONE_NEWPID);
    if own && covered.is_none() {
        let tree = draft.slot();
        draft.early.push(filesystem("proc", &options.data(), options.set, tree));
        attach(tree, "a new proc", target, draft)?;
        return Ok((tree, true));
    }
    if let (true, Some(path)) = (own, covered) {
        // The pid namespace stays our own all the same: nobody outside can be
        // sent a signal, and the container ends as one.
        let advice = files::PROC_COVERED.advice(&[("path", &path)]);
        draft.notes.push(format!(
            "{}: the outer /proc is shown, with the outer processes in it ({})",
            advice.cause, advice.hint
        ));
    }
    let tree = draft.open(cstring(Path::new("/proc"))?, Reach::Tree, Expect::Directory);
    draft.set(tree, "\"/proc\"", options.set, libc::MS_PRIVATE, Reach::Tree);
    attach(tree, "the outer /proc", target, draft)?;
    Ok((tree, false))
}

/// The trees of control groups as the caller sees them, where there is no cgroup
/// namespace to show one of the container's own. Nothing in them is the
/// container's to change (CVE-2023-25809).
fn outer_cgroups(target: &Path, options: &Options, draft: &mut Draft) -> anyhow::Result<()> {
    if options.set & RDONLY == 0 {
        return Err(anyhow::anyhow!("a cgroup tree to write to would be the caller's own"))
            .hint("add a cgroup namespace to linux.namespaces, or ro to the options");
    }
    let source = cstring(Path::new("/sys/fs/cgroup"))?;
    let tree = draft.open(source, Reach::Tree, Expect::Directory);
    let what = "the outer cgroup tree";
    draft.set(tree, what, options.set | RDONLY | NOSUID | NODEV, libc::MS_PRIVATE, Reach::Tree);
    attach(tree, what, target, draft)
}

fn sysfs(
    target: &Path,
    options: &Options,
    setting: Setting<'_>,
    draft: &mut Draft,
) -> anyhow::Result<()> {
    // A sysfs shows a network namespace, and the host's is not ours to mount.
    // A new one is refused too where the outer one has something mounted over
    // part of it: it would show what that hides.
    let own = setting.namespaces.may_show(libc::CLONE_NEWNET);
    if own && setting.host.mounts()?.covers("/sys").is_none() {
        let tree = draft.filesystem("sysfs", &options.data(), options.set);
        return attach(tree, "a new sysfs", target, draft);
    }
    let tree = draft.open(cstring(Path::new("/sys"))?, Reach::Tree, Expect::Directory);
    draft.set(tree, "\"/sys\"", options.set | RDONLY, libc::MS_PRIVATE, Reach::Tree);
    attach(tree, "the host's /sys", target, draft)
}
