//! The container's /dev: a tmpfs of our own, filled before anybody sees it.
//!
//! Nothing of the root's own /dev takes part, so a link, a FIFO or a file
//! that an image has there is of no account (CVE-2026-47766 and its kind).

use std::path::Path;

use super::draft::{Draft, plain};
use super::step::{Expect, Missing, Slot, Step, Target};
use crate::host::files::Files;
use crate::sys::mount::Reach;

/// The nodes, with their number (kernel documentation, devices.txt). They
/// can't be made in a user namespace, so the host's are bound, after a look
/// whether they are what their names say.
const NODES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// What containers inside need, where the host has it: an overlay and a
/// network without root.
const NESTED: [(&str, u32, u32); 2] = [("fuse", 10, 229), ("net/tun", 10, 200)];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Which nodes a /dev shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// Those that every program may expect.
    Standard,
    /// And those that containers inside need.
    Nested,
}

impl Nodes {
    fn list(self, host: &Files) -> Vec<(&'static str, u32, u32)> {
        let mut list = NODES.to_vec();
        if self == Self::Nested {
            let here = |(name, ..): &&(&str, u32, u32)| host.has(&Path::new("/dev").join(name));
            list.extend(NESTED.iter().filter(here));
        }
        list
    }
}

/// Makes what lies in it: places for the nodes and for other mounts, links.
pub fn fill(dev: Slot, nodes: Nodes, places: &[&str], host: &Files, draft: &mut Draft) {
    for name in places {
        draft.push(Step::MakeDirectory { at: dev, name: plain(name), mode: 0o755 });
    }
    for (name, ..) in nodes.list(host) {
        if let Some((directory, _)) = name.split_once('/') {
            draft.push(Step::MakeDirectory { at: dev, name: plain(directory), mode: 0o755 });
        }
        draft.push(Step::MakeFile { at: dev, name: plain(name), content: Vec::new(), mode: 0o666 });
    }
    for (name, target) in LINKS {
        draft.push(Step::MakeLink { at: dev, name: plain(name), target: plain(target) });
    }
}

/// Binds the nodes. Once it is attached: before Linux 6.15 nothing can be
/// mounted on a detached mount.
pub fn show_nodes(dev: Slot, nodes: Nodes, host: &Files, draft: &mut Draft) {
    for (name, major, minor) in nodes.list(host) {
        let path = format!("/dev/{name}");
        let tree = draft.open(plain(&path), Reach::Mount, Expect::Device { major, minor });
        draft.push(Step::Attach {
            tree,
            what: format!("the device {path}"),
            target: Target::Inside(dev, plain(name)),
            missing: Missing::Create,
        });
    }
}
