//! The switches of a machine that can forbid user namespaces.
//!
//! Read only when something was refused: a launch that works asks none.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The kinds of namespace that a container is made of.
const KINDS: [&str; 7] = ["user", "pid", "mnt", "uts", "ipc", "net", "cgroup"];

/// What the switches say; `None` where the kernel has no such switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// `kernel.apparmor_restrict_unprivileged_userns`: Ubuntu from 23.10.
    pub apparmor_restricts: Option<u64>,
    /// The AppArmor label of this process, `unconfined` or `NAME (MODE)`.
    pub apparmor_label: Option<String>,
    /// `kernel.unprivileged_userns_clone`: Debian's and Arch's own.
    pub unprivileged_clone: Option<u64>,
    /// `user.max_*_namespaces`, by the kind in the middle of the name.
    pub max_namespaces: Vec<(&'static str, u64)>,
    /// Where the root directory is not the root of our mount namespace.
    pub root: Root,
    /// Whether our children are born into our own pid namespace.
    pub children: Children,
    /// The program that runs: what an AppArmor profile is bound to.
    pub program: PathBuf,
    /// Who can put another program there.
    pub program_writers: Writers,
}

/// Who decides what is at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writers {
    /// Root alone: the file and all directories above it are root's, and
    /// nobody else may write them.
    Root,
    /// Others too, or nobody knows.
    #[default]
    Others,
}

impl Writers {
    /// `look` has owner and mode of a file, a link not followed. An ACL that
    /// lets others write shows in the group's bits (acl(5)), and a link is
    /// writable by its mode: who can change it is not asked.
    fn of(path: &Path, look: impl Fn(&Path) -> Option<(u32, u32)>) -> Self {
        let roots =
            |path: &Path| look(path).is_some_and(|(uid, mode)| uid == 0 && mode & 0o022 == 0);
        match path.is_absolute() && path.ancestors().all(roots) {
            true => Self::Root,
            false => Self::Others,
        }
    }
}

fn owner_and_mode(path: &Path) -> Option<(u32, u32)> {
    path.symlink_metadata().ok().map(|facts| (facts.uid(), facts.mode()))
}

/// Whether this process sees the root of its mount namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Root {
    /// It does.
    #[default]
    Namespace,
    /// It is in a chroot(2), where no user namespace is made.
    Chroot,
}

/// Where the children of this process are born.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Children {
    /// In the pid namespace that it is in itself.
    #[default]
    Here,
    /// In another, made by unshare(2) or joined by setns(2): no further one can
    /// be made from here (pid_namespaces(7)).
    Elsewhere,
}

impl Gates {
    /// Reads /proc.
    pub(super) fn probe() -> Self {
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("sublet"));
        Self {
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            apparmor_label: word("/proc/self/attr/apparmor/current"),
            unprivileged_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            max_namespaces: max_namespaces(),
            root: root(),
            children: children(),
            program_writers: Writers::of(&program, owner_and_mode),
            program,
        }
    }
}

fn word(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim_matches(['\0', '\n']).to_owned()).filter(|text| !text.is_empty())
}

fn number(path: &str) -> Option<u64> {
    word(path)?.parse().ok()
}

fn max_namespaces() -> Vec<(&'static str, u64)> {
    let most = |kind| Some((kind, number(&format!("/proc/sys/user/max_{kind}_namespaces"))?));
    KINDS.into_iter().filter_map(most).collect()
}

/// A process in a chroot sees no mount at `/`: mountinfo leaves out what is
/// not below its root, and that root is a plain directory (proc(5)).
fn root() -> Root {
    let Ok(mounts) = fs::read(Path::new("/proc/self/mountinfo")) else { return Root::Namespace };
    let at_root = mounts
        .split(|byte| *byte == b'\n')
        .any(|line| line.split(|byte| *byte == b' ').nth(4).is_some_and(|target| target == b"/"));
    if at_root { Root::Namespace } else { Root::Chroot }
}

/// The link to the children's namespace leads nowhere before the first is born.
fn children() -> Children {
    let link = |name: &str| fs::read_link(Path::new("/proc/self/ns").join(name)).ok();
    match link("pid") {
        own @ Some(_) if link("pid_for_children") != own => Children::Elsewhere,
        _ => Children::Here,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_roots_if_all_of_it_is() {
        let with = |at: &'static str, facts| {
            Writers::of(Path::new("/usr/local/bin/sublet"), move |path: &Path| {
                if path == Path::new(at) { facts } else { Some((0, 0o755)) }
            })
        };
        assert_eq!(with("", None), Writers::Root);
        for at in ["/", "/usr", "/usr/local", "/usr/local/bin", "/usr/local/bin/sublet"] {
            for facts in
                [Some((1000, 0o755)), Some((0, 0o775)), Some((0, 0o757)), Some((0, 0o1777)), None]
            {
                assert_eq!(with(at, facts), Writers::Others, "{at} {facts:?}");
            }
        }
        assert_eq!(Writers::of(Path::new("sublet"), |_| Some((0, 0o755))), Writers::Others);
        assert_eq!(Writers::of(Path::new("/nowhere/sublet"), owner_and_mode), Writers::Others);
    }
}
