//! Which namespaces are new and which are the caller's.
//!
//! Reads `linux.namespaces`; `launch::spawn` makes them. Those of others that are
//! gone into instead are in [`join`](super::join).

use std::fmt;

use anyhow::{Context, anyhow, bail, ensure};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

use super::join::Join;
use crate::error::Explain;

/// The new namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces {
    flags: u64,
    /// Those of them that the child makes itself, later.
    later: u64,
    /// Those that are others', and that it is made in.
    joined: u64,
}

const TABLE: [(LinuxNamespaceType, i32, &str); 7] = [
    (LinuxNamespaceType::User, libc::CLONE_NEWUSER, "user"),
    (LinuxNamespaceType::Pid, libc::CLONE_NEWPID, "pid"),
    (LinuxNamespaceType::Mount, libc::CLONE_NEWNS, "mnt"),
    (LinuxNamespaceType::Uts, libc::CLONE_NEWUTS, "uts"),
    (LinuxNamespaceType::Ipc, libc::CLONE_NEWIPC, "ipc"),
    (LinuxNamespaceType::Network, libc::CLONE_NEWNET, "net"),
    (LinuxNamespaceType::Cgroup, libc::CLONE_NEWCGROUP, "cgroup"),
];

impl Namespaces {
    /// Reads what is asked for; `join` is what stands for the network.
    pub fn plan(asked: &[LinuxNamespace], join: Option<&Join>) -> anyhow::Result<Self> {
        let mut flags = 0;
        for namespace in asked {
            let is_found = namespace.typ() == LinuxNamespaceType::Network && join.is_some();
            if let Some(path) = namespace.path().as_ref().filter(|_| !is_found) {
                bail!("joining the namespace at {path:?} is not supported");
            }
            let Some((_, flag, _)) = TABLE.iter().find(|(kind, ..)| *kind == namespace.typ())
            else {
                bail!("a {:?} namespace is not supported", namespace.typ());
            };
            flags |= *flag as u64;
        }
        let mut namespaces = Self { flags, later: 0, joined: 0 };
        ensure!(namespaces.has(libc::CLONE_NEWUSER), "a rootless container needs a user namespace");
        ensure!(namespaces.has(libc::CLONE_NEWNS), "a container needs a mount namespace");
        if let Some(join) = join {
            // Its processes are told from others by their user namespace there.
            let shared = join.owner.is_some() && !namespaces.own_pid();
            if shared {
                return Err(anyhow!("it would end {} with itself", join.whose))
                    .context("--pid host")
                    .hint("a container that joins another's network needs processes of its own");
            }
            let user = join.owner.as_ref().map_or(0, |_| libc::CLONE_NEWUSER);
            namespaces.joined = (libc::CLONE_NEWNET | user) as u64;
            namespaces.flags &= !namespaces.joined;
        }
        Ok(namespaces)
    }

    /// The same, with the cgroup namespace made by the child and not by its
    /// clone: its root is the group that its maker is in at that moment
    /// (cgroup_namespaces(7)).
    pub fn cgroup_later(self) -> Self {
        Self { later: self.flags & libc::CLONE_NEWCGROUP as u64, ..self }
    }

    /// The flags for the child's clone3(2): without those that it makes later,
    /// and without the network, which is made beside it
    /// ([`crate::child::network`]).
    pub fn flags(self) -> u64 {
        self.flags & !self.later & !(libc::CLONE_NEWNET as u64)
    }

    fn has(self, flag: i32) -> bool {
        self.flags & flag as u64 != 0
    }

    /// Whether the pid namespace is new.
    pub fn own_pid(self) -> bool {
        self.has(libc::CLONE_NEWPID)
    }

    /// Whether the network namespace is new.
    pub fn own_network(self) -> bool {
        self.has(libc::CLONE_NEWNET)
    }

    /// Whether the container's root has rights over its network: it is new, or
    /// joined with the user namespace that owns it.
    pub fn rules_network(self) -> bool {
        self.own_network() || self.joined & libc::CLONE_NEWUSER as u64 != 0
    }

    /// Whether the UTS namespace is new.
    pub fn own_uts(self) -> bool {
        self.has(libc::CLONE_NEWUTS)
    }

    /// Whether the cgroup namespace is new.
    pub fn own_cgroup(self) -> bool {
        self.has(libc::CLONE_NEWCGROUP)
    }

    /// Their names, as in /proc/self/ns.
    pub fn names(self) -> Vec<&'static str> {
        TABLE.iter().filter(|(_, flag, _)| self.has(*flag)).map(|(.., name)| *name).collect()
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(" "))
    }
}
