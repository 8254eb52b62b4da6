//! Which namespaces are new and which are the caller's.
//!
//! Reads `linux.namespaces`; `launch::spawn` makes them.

use std::fmt;

use anyhow::{bail, ensure};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

/// The new namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces {
    flags: u64,
    /// Those of them that the child makes itself, later.
    later: u64,
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
    /// Reads what is asked for.
    pub fn plan(asked: &[LinuxNamespace]) -> anyhow::Result<Self> {
        let mut flags = 0;
        for namespace in asked {
            if let Some(path) = namespace.path() {
                bail!("joining the namespace at {path:?} is not supported");
            }
            let Some((_, flag, _)) = TABLE.iter().find(|(kind, ..)| *kind == namespace.typ())
            else {
                bail!("a {:?} namespace is not supported", namespace.typ());
            };
            flags |= *flag as u64;
        }
        let namespaces = Self { flags, later: 0 };
        ensure!(namespaces.has(libc::CLONE_NEWUSER), "a rootless container needs a user namespace");
        ensure!(namespaces.has(libc::CLONE_NEWNS), "a container needs a mount namespace");
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
