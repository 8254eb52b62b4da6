//! The tree of control groups: where we are in it, and what of it is ours.
//!
//! cgroups(7), and the kernel's document Documentation/admin-guide/cgroup-v2.

mod controller;
mod delegation;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;

use super::mounts::{Hierarchy, Kind, Mounts};
use super::procfs;
pub use controller::Controller;
use delegation::{Systemd, may_split};

/// Which kind of tree the machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// cgroup v2 with all controllers there are.
    V2,
    /// cgroup v2 alone, as in a container, while hierarchies of version 1 have
    /// the controllers: processes can be grouped, frozen and killed, but hardly
    /// limited.
    Bare,
    /// cgroup v2 beside mounted hierarchies of version 1, which have the
    /// controllers; systemd uses those.
    Hybrid,
    /// Version 1 alone.
    V1,
    /// None is mounted.
    #[default]
    None,
}

/// The tree as this process sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// Its kind.
    pub version: Version,
    /// Where cgroup v2 is mounted.
    pub mount: Option<PathBuf>,
    /// Which cgroup is the root of that mount, as /proc/PID/cgroup names it:
    /// `/` but where a container is shown a part.
    pub root: PathBuf,
    /// The directory of the cgroup that we are in, where the mount shows it.
    pub own: Option<PathBuf>,
    /// The directory that was delegated to us, so that we may split it: our
    /// own, or, where we are in a leaf called [`SUPERVISOR`], the one above.
    pub ours: Option<PathBuf>,
    /// What can be limited in `ours`.
    pub controllers: Vec<Controller>,
    /// The directory of the user's own systemd, `user@UID.service`.
    pub session: Option<PathBuf>,
    /// What can be limited below it.
    pub session_controllers: Vec<Controller>,
}

/// The leaf that a split cgroup's former processes are moved to.
pub const SUPERVISOR: &str = "supervisor";

/// The leaf that a container's processes are in.
pub const PAYLOAD: &str = "payload";

impl Cgroups {
    /// Looks where the calling process is, which has the effective uid `uid`, and
    /// whom systemd knows as `known`.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub(super) fn probe(mounts: &Mounts, uid: u32, known: u32) -> anyhow::Result<Self> {
        Ok(Self::read(Path::new("/"), mounts, &membership("self")?, (uid, known)))
    }

    /// As [`probe`](Self::probe), from the text of /proc/self/cgroup and with
    /// the machine's files below `root`.
    fn read(root: &Path, mounts: &Mounts, membership: &str, (uid, known): (u32, u32)) -> Self {
        let in_root = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let path = unified(membership);
        let tree = pick(mounts, path, &in_root);
        let (mounted, member) = (shows_legacy(mounts), is_in_legacy(membership));
        let version = match tree {
            Some(_) if mounted => Version::Hybrid,
            Some(_) if member => Version::Bare,
            Some(_) => Version::V2,
            None if mounted || member => Version::V1,
            None => Version::None,
        };
        let Some(tree) = tree else { return Self { version, ..Self::default() } };
        let mount = in_root(&tree.point);
        let mut here = Self { version, mount: Some(mount), root: tree.root, ..Self::default() };
        here.own = path.and_then(|path| here.directory(path)).filter(|own| own.is_dir());
        here.session = here.find_session(known);
        here.ours = here.find_ours(uid, Systemd::probe(root));
        here.controllers = controllers(here.ours.as_deref());
        here.session_controllers = controllers(here.session.as_deref());
        here
    }

    /// The directory of the cgroup that /proc/PID/cgroup calls `path`, if the
    /// mount shows it.
    pub fn directory(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.root).ok()?;
        let inside = below.components().all(|part| matches!(part, Component::Normal(_)));
        let mount = self.mount.as_ref().filter(|_| inside)?;
        Some(if below.as_os_str().is_empty() { mount.clone() } else { mount.join(below) })
    }

    /// The directory of the cgroup that the process `pid` is in.
    ///
    /// # Errors
    /// Where the process is gone, is in no cgroup of version 2, or the mount
    /// doesn't show it.
    pub fn of_process(&self, pid: i32) -> anyhow::Result<PathBuf> {
        let membership = membership(&pid.to_string())?;
        let path = unified(&membership)
            .with_context(|| format!("find a cgroup of version 2 in /proc/{pid}/cgroup"))?;
        self.directory(path).with_context(|| {
            format!("find the cgroup {} of process {pid} in what is mounted", path.display())
        })
    }

    /// In a process of the user's systemd, what leads to it; else where systemd
    /// puts it.
    fn find_session(&self, uid: u32) -> Option<PathBuf> {
        let name = format!("user@{uid}.service");
        let above = self.own.iter().flat_map(|own| own.ancestors());
        let known = self.mount.as_ref()?.join(format!("user.slice/user-{uid}.slice")).join(&name);
        above
            .map(Path::to_owned)
            .find(|directory| directory.ends_with(&name))
            .or(Some(known))
            .filter(|directory| directory.is_dir())
    }

    fn find_ours(&self, uid: u32, systemd: Systemd) -> Option<PathBuf> {
        let (own, mount) = (self.own.as_deref()?, self.mount.as_deref()?);
        // What belongs to the user's systemd was delegated to that, not to us.
        let ours = |directory: &&Path| {
            self.session.as_deref() != Some(*directory) && may_split(directory, mount, uid, systemd)
        };
        let above = own.parent().filter(|_| own.ends_with(SUPERVISOR) && own != mount);
        above.filter(ours).or(Some(own).filter(ours)).map(Path::to_owned)
    }
}

/// The text of /proc/PID/cgroup.
fn membership(pid: &str) -> anyhow::Result<String> {
    let path = Path::new("/proc").join(pid).join("cgroup");
    let text = procfs::read(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The path in the tree of version 2: the line `0::PATH`. The kernel adds
/// ` (deleted)` where the cgroup is gone.
fn unified(membership: &str) -> Option<&Path> {
    let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new(path)).filter(|path| path.is_absolute())
}

/// The controllers of version 1.
const LEGACY: [&str; 14] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "net_cls",
    "net_prio",
    "hugetlb",
    "perf_event",
    "rdma",
    "misc",
];

fn any_legacy(words: &str) -> bool {
    words.split(',').any(|word| LEGACY.contains(&word))
}

/// Whether a hierarchy of version 1 that has controllers is mounted here.
fn shows_legacy(mounts: &Mounts) -> bool {
    mounts.hierarchies().any(|tree| match tree.kind {
        Kind::Unified => false,
        Kind::Legacy(words) => any_legacy(&words),
    })
}

/// Whether we are in one that has controllers: `4:memory:/`. It need not be
/// mounted here.
fn is_in_legacy(membership: &str) -> bool {
    membership.lines().filter_map(|line| line.split(':').nth(1)).any(any_legacy)
}

/// Of the mounts of cgroup v2 one that shows `path`, the usual place first;
/// without such, any. A mount that another one hides doesn't count.
fn pick(
    mounts: &Mounts,
    path: Option<&Path>,
    in_root: &impl Fn(&Path) -> PathBuf,
) -> Option<Hierarchy> {
    let seen = |tree: &Hierarchy| {
        tree.kind == Kind::Unified && in_root(&tree.point).join("cgroup.controllers").exists()
    };
    let shows = |tree: &Hierarchy| path.is_some_and(|path| path.starts_with(&tree.root));
    let usual = |tree: &Hierarchy| tree.point.starts_with("/sys/fs/cgroup");
    mounts.hierarchies().filter(seen).max_by_key(|tree| (shows(tree), usual(tree)))
}

/// What the cgroup could share out to cgroups below it.
fn controllers(directory: Option<&Path>) -> Vec<Controller> {
    let read = |directory: &Path| fs::read_to_string(directory.join("cgroup.controllers")).ok();
    directory.and_then(read).map(|text| Controller::list(&text)).unwrap_or_default()
}
