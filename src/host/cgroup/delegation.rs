//! Whether a directory of the tree of control groups was handed to us.
//!
//! That we may write it is no proof. All that a user's systemd makes belongs
//! to the user, a terminal's scope too, and systemd goes on to manage it: who
//! splits such a cgroup fights with it. Delegation has to be shown by one of
//!
//! - the system's systemd's own mark, an extended attribute, 1 for `Delegate=`:
//!   `trusted.delegate`, which only root can read, and from systemd 251 (and
//!   Linux 5.7) on `user.delegate`;
//! - an owner: the directory is ours and the one above isn't, as `User=` with
//!   `Delegate=` leaves it, in older versions too, or an administrator with
//!   chown, or Slurm;
//! - the root of what we see: a container's own cgroup namespace or mount,
//!   but for the very root of the machine where systemd runs it;
//! - nobody else to manage it: systemd doesn't run here.
//!
//! A user's own systemd marks nothing (257 doesn't): a unit of it can't be seen
//! to have `Delegate=`, and isn't ours. There, systemd can be asked for a scope.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

use crate::sys::xattr;

/// Whether systemd manages this machine, or the container that we see as one;
/// sd_booted(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Systemd {
    /// It does.
    Runs,
    /// It doesn't.
    Absent,
}

impl Systemd {
    /// Looks below `root`, which is `/` but for tests.
    pub(super) fn probe(root: &Path) -> Self {
        if root.join("run/systemd/system").is_dir() { Self::Runs } else { Self::Absent }
    }
}

/// Where in the tree a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The root of the machine's tree, where the kernel's own threads are.
    Machine,
    /// The root of what is mounted here.
    Mount,
    /// Below.
    Below {
        /// The owner of the directory above.
        above: u32,
    },
}

/// What is known of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    marked: bool,
    owner: u32,
    place: Place,
}

impl Facts {
    fn probe(directory: &Path, mount: &Path) -> Option<Self> {
        let owner = fs::metadata(directory).ok()?.uid();
        let place = if directory != mount {
            Place::Below { above: fs::metadata(directory.parent()?).ok()?.uid() }
        } else if directory.join("cgroup.type").exists() {
            Place::Mount
        } else {
            Place::Machine
        };
        Some(Self { marked: marked(directory), owner, place })
    }

    fn show_delegation(&self, uid: u32, systemd: Systemd) -> bool {
        let handed_over = match self.place {
            Place::Machine => false,
            Place::Mount => true,
            Place::Below { above } => self.owner == uid && above != uid,
        };
        self.marked || handed_over || systemd == Systemd::Absent
    }
}

/// Whether systemd's mark is on it.
fn marked(directory: &Path) -> bool {
    let is_set = |name| matches!(xattr::get(directory, name, 8), Ok(Some(value)) if value == b"1");
    is_set(c"user.delegate") || is_set(c"trusted.delegate")
}

/// Whether the user `uid` may split the cgroup at `directory`: it was
/// delegated, and we may write what delegation hands over.
///
/// Asked of the kernel, because mode bits tell nothing of root in a container
/// or of a read-only mount.
pub(super) fn may_split(directory: &Path, mount: &Path, uid: u32, systemd: Systemd) -> bool {
    let writable =
        |path: &Path| faccessat(AT_FDCWD, path, AccessFlags::W_OK, AtFlags::AT_EACCESS).is_ok();
    writable(directory)
        && writable(&directory.join("cgroup.procs"))
        && writable(&directory.join("cgroup.subtree_control"))
        && Facts::probe(directory, mount).is_some_and(|facts| facts.show_delegation(uid, systemd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delegation_needs_a_proof() {
        let anna = 1000;
        let terminal = Facts { marked: false, owner: anna, place: Place::Below { above: anna } };
        let cases = [
            ("a terminal's scope", terminal, false),
            ("Delegate=yes", Facts { marked: true, ..terminal }, true),
            (
                "User= and Delegate=yes",
                Facts { place: Place::Below { above: 0 }, ..terminal },
                true,
            ),
            (
                "somebody else's",
                Facts { owner: 1, place: Place::Below { above: 0 }, ..terminal },
                false,
            ),
            ("a container", Facts { owner: 0, place: Place::Mount, ..terminal }, true),
            ("the machine's root", Facts { owner: 0, place: Place::Machine, ..terminal }, false),
        ];
        for (what, facts, delegated) in cases {
            assert_eq!(facts.show_delegation(anna, Systemd::Runs), delegated, "{what}");
            assert!(facts.show_delegation(anna, Systemd::Absent), "{what} without systemd");
        }
    }

    #[test]
    fn root_owns_all_that_systemd_manages() {
        let facts = Facts { marked: false, owner: 0, place: Place::Below { above: 0 } };
        assert!(!facts.show_delegation(0, Systemd::Runs));
        let contained = Facts { place: Place::Below { above: 65534 }, ..facts };
        assert!(contained.show_delegation(0, Systemd::Runs));
    }
}
