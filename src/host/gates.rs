//! The switches of a machine that can forbid user namespaces.
//!
//! Read only when something was refused: a launch that works asks none.

use std::fs;
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
    /// The program that runs: what an AppArmor profile is bound to.
    pub program: PathBuf,
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

impl Gates {
    /// Reads /proc.
    pub(super) fn probe() -> Self {
        Self {
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            apparmor_label: word("/proc/self/attr/apparmor/current"),
            unprivileged_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            max_namespaces: max_namespaces(),
            root: root(),
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("sublet")),
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
