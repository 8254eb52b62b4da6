//! What is mounted here: what hides a part of procfs or sysfs, so that no new
//! one may be mounted, and the trees of control groups.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::procfs;

/// The mount points of this mount namespace: the text of the table, of which a
/// start wants a few lines, and a machine may have hundreds.
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    table: String,
}

/// A line of the table, as far as it tells what hides what; words as they
/// stand there.
#[derive(Clone, Copy, Debug)]
struct Mount<'a> {
    id: &'a str,
    /// The mount that it lies on.
    parent: &'a str,
    /// What of its file system is shown; `/` is all.
    root: &'a str,
    point: &'a str,
    /// Its first option: `ro`, or `rw`.
    access: &'a str,
    kind: &'a str,
}

/// A mounted tree of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Which of the two kinds.
    pub kind: Kind,
    /// Where it is mounted.
    pub point: PathBuf,
    /// The control group that is mounted there, as our cgroup namespace names
    /// it: `/`, `/a/b`, or `/..` for one above its root.
    pub root: PathBuf,
}

/// The kinds of trees of control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// cgroup2, the one for all.
    Unified,
    /// One of version 1, with the words after it: `rw`, `cpu`, `name=systemd`.
    Legacy(String),
}

/// Directories of procfs and sysfs that the kernel makes for others to mount
/// on, empty for good (`sysfs_create_mount_point` and its kind): what is
/// mounted there hides nothing.
const PLACES: [&str; 16] = [
    "/proc/sys/fs/binfmt_misc",
    "/proc/fs/nfsd",
    "/sys/firmware/efi/efivars",
    "/sys/fs/bpf",
    "/sys/fs/cgroup",
    "/sys/fs/fuse/connections",
    "/sys/fs/nilfs2",
    "/sys/fs/pstore",
    "/sys/fs/resctrl",
    "/sys/fs/selinux",
    "/sys/fs/smackfs",
    "/sys/hypervisor",
    "/sys/kernel/config",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
];

impl Mounts {
    /// Reads the table; proc_pid_mountinfo(5).
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn probe() -> anyhow::Result<Self> {
        let path = Path::new("/proc/self/mountinfo");
        let text = procfs::read(path).with_context(|| format!("read {}", path.display()))?;
        let lossy = |text: Vec<u8>| String::from_utf8_lossy(&text).into_owned();
        let table = String::from_utf8(text).unwrap_or_else(|error| lossy(error.into_bytes()));
        Ok(Self { table })
    }

    /// The table in `text`.
    pub fn of(text: &str) -> Self {
        Self { table: text.to_owned() }
    }

    /// The trees of control groups, in the order of the table.
    pub fn hierarchies(&self) -> impl Iterator<Item = Hierarchy> {
        self.table.lines().filter_map(hierarchy)
    }

    fn mounts(&self) -> impl Iterator<Item = Mount<'_>> {
        self.table.lines().filter_map(mount)
    }

    /// The first mount that hides part of `whole`, `/proc` or `/sys`; with it,
    /// the kernel refuses a new instance in a user namespace
    /// (`mount_too_revealing`), because that would show what is hidden. It does
    /// not where another procfs or sysfs shows all, wherever it is mounted. One
    /// that is read-only shows none that may be written: a new /proc is.
    pub fn covers(&self, whole: &str) -> Option<&str> {
        let kind = if whole == "/sys" { "sysfs" } else { "proc" };
        let read_only = |instance: &Mount| kind == "proc" && instance.access == "ro";
        let shows_all = |instance: Mount| {
            let lies_on_it = |mount: &Mount| mount.parent == instance.id;
            let hides = |mount: Mount| {
                let within = mount.point.strip_prefix(instance.point).unwrap_or_default();
                !is_place(&format!("{whole}{within}"))
            };
            instance.kind == kind
                && instance.root == "/"
                && !read_only(&instance)
                && !self.mounts().filter(lies_on_it).any(hides)
        };
        if self.mounts().any(shows_all) {
            return None;
        }
        let hides = |mount: &Mount| match mount.point == whole {
            true => mount.kind == kind && read_only(mount),
            false => below(mount.point, whole) && !is_place(mount.point),
        };
        self.mounts().find(hides).map(|mount| mount.point)
    }
}

/// Whether it is `place` or below. The kernel's paths have no slashes to spare.
fn below(point: &str, place: &str) -> bool {
    point.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether what is mounted there hides nothing.
fn is_place(point: &str) -> bool {
    PLACES.iter().any(|place| below(point, place))
}

/// A line of the table: id, parent, device, root, point, options, any number
/// of tags, `-`, type, source, options of the file system.
fn mount(line: &str) -> Option<Mount<'_>> {
    let (mount, tree) = line.split_once(" - ")?;
    let mut words = mount.split(' ');
    Some(Mount {
        id: words.next()?,
        parent: words.next()?,
        root: words.nth(1)?,
        point: words.next()?,
        access: words.next()?.split(',').next()?,
        kind: tree.split(' ').next()?,
    })
}

/// A line of the table, if it is a tree of control groups.
fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (mount, tree) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let mut tree = tree.split(' ');
    let kind = match tree.next()? {
        "cgroup2" => Kind::Unified,
        "cgroup" => Kind::Legacy(tree.nth(1)?.to_owned()),
        _ => return None,
    };
    Some(Hierarchy { kind, root: plain(mount.next()?), point: plain(mount.next()?) })
}

/// A path of the table with its escapes resolved: space, tab, newline and
/// backslash stand there as three octal digits.
fn plain(word: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        bytes.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_machine_hides_nothing() {
        let mounts = Mounts::of(
            "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
             23 27 0:22 / /sys rw,relatime - sysfs sysfs rw\n\
             31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw\n\
             32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw\n\
             33 22 0:30 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n\
             34 22 0:30 / /process rw - tmpfs tmpfs rw\n",
        );
        assert_eq!(mounts.covers("/proc"), None);
        assert_eq!(mounts.covers("/sys"), None);
    }

    #[test]
    fn a_masked_path_hides() {
        let mounts = Mounts::of("9 8 0:5 /null /proc/kcore rw - devtmpfs devtmpfs rw\n");
        assert_eq!(mounts.covers("/proc"), Some("/proc/kcore"));
        assert_eq!(mounts.covers("/sys"), None);
    }

    /// As the kernel's mnt_already_visible() has it.
    #[test]
    fn one_that_shows_all_is_enough() {
        let masked = "22 27 0:21 / /proc rw - proc proc rw\n\
                      40 22 0:5 /null /proc/kcore rw - devtmpfs devtmpfs rw\n";
        let seen = |more: &str| Mounts::of(&format!("{masked}{more}")).covers("/proc").is_none();
        assert!(!seen(""));
        assert!(seen("41 22 0:21 / /proc rw - proc proc rw\n"), "over it");
        assert!(seen("41 27 0:21 / /mnt/p rw - proc proc rw\n"), "elsewhere");
        assert!(seen(
            "41 27 0:21 / /mnt/p rw - proc proc rw\n\
             42 41 0:30 / /mnt/p/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n"
        ));
        assert!(!seen(
            "41 27 0:21 / /mnt/p rw - proc proc rw\n42 41 0:9 / /mnt/p/sys ro - tmpfs none ro\n"
        ));
        assert!(!seen("41 27 0:21 /sys /mnt/p rw - proc proc rw\n"), "a part");
        assert!(!seen("41 27 0:22 / /mnt/p rw - sysfs sysfs rw\n"), "another kind");
    }

    #[test]
    fn trees_of_control_groups_are_told_apart() {
        let mounts = Mounts::of(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             41 31 0:38 /../a\\040b /mnt/with\\134and\\040 rw shared:4 master:2 - cgroup2 none rw\n\
             42 31 0:38 / - cgroup2\n\
             43 31 0:39 / /cut rw - cgroup none\n",
        );
        let legacy = Kind::Legacy("rw,cpu,cpuacct".to_owned());
        let cpu = ("/sys/fs/cgroup/cpu".into(), "/".into());
        let unified = (PathBuf::from("/mnt/with\\and "), PathBuf::from("/../a b"));
        assert_eq!(
            mounts.hierarchies().collect::<Vec<_>>(),
            [
                Hierarchy { kind: legacy, point: cpu.0, root: cpu.1 },
                Hierarchy { kind: Kind::Unified, point: unified.0, root: unified.1 },
            ]
        );
    }
}
