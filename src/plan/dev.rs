//! The container's /dev: a tmpfs of our own, filled before anybody sees it.
//!
//! Nothing of the root's own /dev takes part, so a link, a FIFO or a file
//! that an image has there is of no account (CVE-2026-47766 and its kind).

use std::path::Path;

use anyhow::{Context, anyhow};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};

use super::draft::{Draft, cstring, plain};
use super::step::{Expect, Missing, Slot, Step, Target};
use crate::error::Explain;
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

/// Binds the devices that `linux.devices` asks for beside those that every /dev
/// has.
///
/// # Errors
/// What no user namespace can make.
pub fn show_asked(devices: &[LinuxDevice], draft: &mut Draft) -> anyhow::Result<()> {
    for device in devices {
        let path = device.path();
        let told = || format!("linux.devices {path:?}");
        let number = |number: i64| u32::try_from(number).with_context(told);
        let (major, minor) = (number(device.major())?, number(device.minor())?);
        let standard = |(name, one, other): &(&str, u32, u32)| {
            path == &Path::new("/dev").join(name) && (*one, *other) == (major, minor)
        };
        if NODES.iter().any(standard) {
            continue;
        }
        let expect = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => Expect::Device { major, minor },
            LinuxDeviceType::B => Expect::Block { major, minor },
            other => {
                return Err(anyhow!("a node of type {:?} cannot be made", other.as_str()))
                    .with_context(told)
                    .hint("of the host's own nodes those of type c, u and b can be shown");
            }
        };
        if device.file_mode().or(device.uid()).or(device.gid()).is_some() {
            return Err(anyhow!("a node of the host keeps the mode and the owner that it has"))
                .with_context(told)
                .hint("leave fileMode, uid and gid out, or change them on the host");
        }
        let tree = draft.open(cstring(path)?, Reach::Mount, expect);
        draft.push(Step::Attach {
            tree,
            what: format!("the device {}", path.display()),
            target: Target::Path(cstring(path)?),
            missing: Missing::Create,
        });
    }
    Ok(())
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
