//! Which namespaces are new and which are the caller's.
//!
//! Reads `linux.namespaces`; `launch::spawn` makes them. Those of others that are
//! gone into instead are in [`join`](super::join).

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

use super::join::Join;
use crate::error::Explain;
use crate::host::Host;
use crate::host::caller::CAP_SYS_ADMIN;
use crate::spec::Userns;

/// A namespace that is there already, to be joined by the launcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// `CLONE_NEW*`.
    pub kind: i32,
    /// Its name, as in /proc/self/ns.
    pub name: &'static str,
    /// What refers to it.
    pub path: PathBuf,
}

/// The namespaces that are not the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces {
    flags: u64,
    /// Those that somebody else has made.
    joined: u64,
    /// Those of the new ones that the child makes itself, later.
    later: u64,
}

/// A user namespace hides who is who in it, and a mount namespace has a root.
const MAY_BE_JOINED: [i32; 5] = [
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// Whether the caller is in the namespace that `path` refers to.
fn is_ours(path: &Path, name: &str) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|facts| (facts.dev(), facts.ino()));
    let ours = identity(Path::new("/proc/self/ns").join(name).as_path());
    ours.is_some() && identity(path) == ours
}

const TABLE: [(LinuxNamespaceType, i32, &str); 8] = [
    (LinuxNamespaceType::User, libc::CLONE_NEWUSER, "user"),
    (LinuxNamespaceType::Pid, libc::CLONE_NEWPID, "pid"),
    (LinuxNamespaceType::Mount, libc::CLONE_NEWNS, "mnt"),
    (LinuxNamespaceType::Uts, libc::CLONE_NEWUTS, "uts"),
    (LinuxNamespaceType::Ipc, libc::CLONE_NEWIPC, "ipc"),
    (LinuxNamespaceType::Network, libc::CLONE_NEWNET, "net"),
    (LinuxNamespaceType::Cgroup, libc::CLONE_NEWCGROUP, "cgroup"),
    (LinuxNamespaceType::Time, libc::CLONE_NEWTIME, "time"),
];

impl Namespaces {
    /// Reads what is asked for: which are new, and which are to be joined;
    /// `join` is what stands for the network.
    ///
    /// # Errors
    /// What can't be had, and what no container can do without.
    pub fn plan(
        asked: &[LinuxNamespace],
        userns: &Userns,
        join: Option<&Join>,
        host: &Host,
    ) -> anyhow::Result<(Self, Vec<Joined>)> {
        let mut namespaces = Self { flags: 0, joined: 0, later: 0 };
        let mut joined: Vec<Joined> = Vec::new();
        for namespace in asked {
            let is_found = namespace.typ() == LinuxNamespaceType::Network && join.is_some();
            let Some((_, flag, name)) = TABLE.iter().find(|(kind, ..)| *kind == namespace.typ())
            else {
                return Err(anyhow!("a {} namespace is not supported", namespace.typ()))
                    .hint("leave it out of linux.namespaces: the container then has the caller's");
            };
            let bit = *flag as u64;
            let twice = (namespaces.flags | namespaces.joined) & bit != 0;
            ensure!(!twice, "there are two {name} namespaces, and a process is in one");
            match namespace.path().as_ref().filter(|_| !is_found) {
                None => namespaces.flags |= bit,
                // Where we are already there is nothing to join, which could
                // take rights over those who have made it.
                Some(path) if is_ours(path, name) => {}
                // The child goes there itself ([`super::clocks`]).
                Some(_) if *flag == libc::CLONE_NEWTIME => namespaces.joined |= bit,
                Some(path) if MAY_BE_JOINED.contains(flag) => {
                    namespaces.joined |= bit;
                    joined.push(Joined { kind: *flag, name, path: path.clone() });
                }
                Some(path) => bail!(
                    "the {name} namespace at {path:?} cannot be joined: pid, net, ipc, uts, \
                     cgroup and time namespaces can"
                ),
            }
        }
        if *userns != Userns::Caller {
            let own = namespaces.has(libc::CLONE_NEWUSER);
            ensure!(own, "a rootless container needs a user namespace");
        } else if !host.caller()?.effective.have(&[CAP_SYS_ADMIN]) {
            return Err(anyhow!("an ordinary user's container needs a user namespace"))
                .context("linux.namespaces")
                .hint("add {\"type\": \"user\"}, and linux.uidMappings and linux.gidMappings");
        }
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
            namespaces.joined |= (libc::CLONE_NEWNET | user) as u64;
            namespaces.flags &= !namespaces.joined;
        }
        Ok((namespaces, joined))
    }

    /// Those of the kinds `CLONE_NEW*` that are given.
    pub fn of_kinds(kinds: i32) -> Self {
        Self { flags: kinds as u64, later: 0, joined: 0 }
    }

    /// All of them, `CLONE_NEW*`: as setns(2) takes them.
    pub fn kinds(self) -> i32 {
        self.flags as i32
    }

    /// The same, with the cgroup namespace made by the child and not by its
    /// clone: its root is the group that its maker is in at that moment
    /// (cgroup_namespaces(7)).
    pub fn cgroup_later(self) -> Self {
        Self { later: self.flags & libc::CLONE_NEWCGROUP as u64, ..self }
    }

    /// The flags for the child's clone3(2): without those that it makes later,
    /// without the network, which is made beside it
    /// ([`crate::child::network`]), and without time (`clocks`).
    pub fn flags(self) -> u64 {
        self.flags & !self.later & !((libc::CLONE_NEWNET | libc::CLONE_NEWTIME) as u64)
    }

    fn has(self, flag: i32) -> bool {
        self.flags & flag as u64 != 0
    }

    /// Whether the user namespace is new.
    pub fn own_user(self) -> bool {
        self.has(libc::CLONE_NEWUSER)
    }

    /// Whether it owns the namespace of this kind that it is in, or is in the
    /// one that may do so: what shows the namespace can then be mounted.
    pub fn may_show(self, kind: i32) -> bool {
        self.has(kind) || !self.own_user() && self.joined & kind as u64 != 0
    }

    /// Whether the namespace of this kind is not the caller's.
    pub fn apart(self, kind: i32) -> bool {
        (self.flags | self.joined) & kind as u64 != 0
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

    /// Whether the time namespace is new.
    pub fn own_time(self) -> bool {
        self.has(libc::CLONE_NEWTIME)
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
