//! The container's root, from the tree it comes from to the pivot.
//!
//! Reads `Beside::root` and `root.readonly`; `child::mount` performs it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::libc;
use oci_spec::runtime::Mount;

use super::attr::{NODEV, NOSUID, RDONLY};
use super::draft::{Draft, cstring};
use super::overlay;
use super::step::{Expect, Lookup, Missing, Slot, Step, Target};
use super::workshop::Workshop;
use crate::error::Explain;
use crate::spec::Root;
use crate::sys::mount::{MountAttr, Reach};

/// Where the host keeps what belongs to its users and its services. Under the
/// `host` root they are empty; a mount of the user's may cover them again.
const PRIVATE: [(&str, &str); 8] = [
    ("/home", "0755"),
    ("/root", "0700"),
    ("/tmp", "1777"),
    ("/var/tmp", "1777"),
    ("/run", "0755"),
    ("/srv", "0755"),
    ("/mnt", "0755"),
    ("/media", "0755"),
];

/// How mounts pass between the host and the container.
#[derive(Clone, Copy, Debug)]
pub struct Propagation {
    /// What comes in from the host: `MS_PRIVATE` or `MS_SLAVE`.
    from_host: u64,
    /// What the root is of, as far as it differs: `MS_*`.
    of_root: Option<u64>,
    /// Whether what is mounted on the host below the root comes in.
    root_follows: bool,
}

impl Propagation {
    /// Reads `linux.rootfsPropagation`, and the mounts' own. One that asks for
    /// what is mounted on the host later takes a whole tree that is a slave of
    /// the host's, and not cut off, before it is copied.
    ///
    /// # Errors
    /// A word that is none.
    pub fn plan(root: Option<&str>, mounts: &[Mount]) -> anyhow::Result<Self> {
        let slave = |option: &String| matches!(option.as_str(), "slave" | "rslave");
        let wanted = mounts.iter().any(|mount| mount.options().iter().flatten().any(slave));
        let (root_follows, of_root) = match root.unwrap_or("private") {
            "" | "private" | "rprivate" => (false, None),
            "slave" | "rslave" => (true, None),
            // Nothing of ours goes out: the kernel makes a shared mount a slave
            // where a user namespace gets its copy (mount_namespaces(7)).
            "shared" | "rshared" => (true, Some(libc::MS_SHARED)),
            "unbindable" | "runbindable" => (false, Some(libc::MS_UNBINDABLE)),
            word => {
                bail!("linux.rootfsPropagation {word:?}: private, slave, shared and unbindable are")
            }
        };
        let from_host = if wanted || root_follows { libc::MS_SLAVE } else { libc::MS_PRIVATE };
        Ok(Self { from_host, of_root, root_follows })
    }

    /// What every mount becomes before any is copied.
    pub fn of_all(self) -> u64 {
        self.from_host
    }
}

/// Opens the tree, before anything else is opened.
pub fn open(root: &Root, draft: &mut Draft) -> anyhow::Result<()> {
    let source = match root {
        Root::Directory(path) | Root::Overlay(path) => path.clone(),
        Root::Host => PathBuf::from("/"),
    };
    // The child may have its ids by the time it opens the tree, and as their
    // root go where the caller can't.
    if let Err(error) = source.metadata()
        && error.kind() == ErrorKind::PermissionDenied
    {
        return Err(error).with_context(|| format!("open {source:?}")).hint(
            "it is opened with your own rights on the host: give yourself x on every directory \
             above it, which namei -l shows",
        );
    }
    // With all mounts below: without them the kernel would refuse, because a
    // user namespace may not look under a mount that it was given
    // (mount_namespaces(7), locked mounts).
    let tree = Step::OpenTree {
        source: cstring(&source)?,
        lookup: Lookup::AsTyped,
        into: Slot::ROOT,
        reach: Reach::Tree,
        expect: Expect::Directory,
    };
    draft.early.insert(0, tree);
    Ok(())
}

/// Whether it is the host's own root: what is mounted over that stays when the
/// container pivots away from it.
pub fn is_the_hosts(root: &Root) -> bool {
    let (Root::Directory(path) | Root::Overlay(path)) = root else { return true };
    let inode = |path: &Path| fs::metadata(path).map(|facts| (facts.dev(), facts.ino())).ok();
    inode(path).is_some_and(|found| Some(found) == inode(Path::new("/")))
}

/// Notes the place on the host that the tree is from, for hooks that look for the
/// container's root there.
///
/// # Errors
/// A path with a NUL.
pub fn spot(root: &Root, draft: &mut Draft) -> anyhow::Result<Slot> {
    let path = match root {
        Root::Directory(path) | Root::Overlay(path) => path.as_path(),
        Root::Host => Path::new("/"),
    };
    let into = draft.slot();
    draft.early.push(Step::OpenSpot { path: cstring(path)?, into });
    Ok(into)
}

/// Puts the tree in place as the root of all that is mounted later: out of the
/// way on top of the host's root, or at the `spot` where it is from.
///
/// `readonly` is for what is mounted below it; the root itself is closed by
/// [`enter`]. `home` is the caller's own home directory, which the `host` root
/// does not show wherever it lies.
pub fn attach(
    root: &Root,
    readonly: bool,
    home: Option<&Path>,
    propagation: Propagation,
    (workshop, spot): (Workshop, Option<Slot>),
    draft: &mut Draft,
) {
    // Cut off from the host by itself: where a volume follows the host, the
    // whole tree that this is a copy of does, and what the host mounts later
    // would come in without our attributes (mount_namespaces(7)).
    let kind = if propagation.root_follows { libc::MS_SLAVE } else { libc::MS_PRIVATE };
    let set = |bits, draft: &mut Draft| {
        draft.set(Slot::ROOT, "the root", bits, kind, Reach::Tree);
    };
    match root {
        // No device node works but those of our own /dev.
        Root::Directory(_) => {
            set(NODEV, draft);
            if readonly {
                let what = "the root".to_owned();
                draft.push(Step::ProtectBelow { tree: Slot::ROOT, what });
            }
        }
        Root::Overlay(_) => {
            overlay::over(Slot::ROOT, Slot::ROOT, "the root", NODEV, workshop, draft);
        }
        Root::Host => set(RDONLY | NODEV | NOSUID, draft),
    }
    draft.push(Step::Attach {
        tree: Slot::ROOT,
        what: match root {
            Root::Directory(path) => format!("{path:?}"),
            Root::Overlay(path) => format!("an overlay of {path:?}"),
            Root::Host => "the host's system".to_owned(),
        },
        target: spot.map_or(Target::Root, Target::Spot),
        missing: Missing::Create,
    });
    if *root == Root::Host {
        for (path, mode) in PRIVATE {
            empty(Path::new(path), mode, draft);
        }
        let elsewhere = |home: &&Path| !PRIVATE.iter().any(|(path, _)| home.starts_with(path));
        if let Some(home) = home.filter(elsewhere) {
            empty(home, "0700", draft);
        }
    }
}

/// An empty directory in memory over one of the host's.
fn empty(path: &Path, mode: &str, draft: &mut Draft) {
    let tree = draft.filesystem("tmpfs", &[("mode", Some(mode))], NOSUID | NODEV);
    draft.push(Step::Attach {
        tree,
        what: "an empty tmpfs".to_owned(),
        target: Target::Path(cstring(path).unwrap_or_default()),
        missing: Missing::Skip,
    });
}

/// Closes the root for writing, once every mount point in it has been made,
/// and goes into it.
pub fn enter(root: &Root, readonly: bool, propagation: Propagation, draft: &mut Draft) {
    if readonly && *root != Root::Host {
        let attr = MountAttr { set: RDONLY, ..MountAttr::default() };
        let what = "the root".to_owned();
        draft.push(Step::SetAttr { tree: Slot::ROOT, what, attr, reach: Reach::Mount });
    }
    draft.push(Step::Pivot(Slot::ROOT));
    // Not before: what is shared can't be pivoted to (pivot_root(2)).
    if let Some(kind) = propagation.of_root {
        draft.set(Slot::ROOT, "the root", 0, kind, Reach::Mount);
    }
}
