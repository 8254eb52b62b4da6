//! Namespaces of others that a container goes into instead of making its own.
//!
//! The kernel lets a process go into a network only with rights over the user
//! namespace that owns it (setns(2)). So the container is made inside of that
//! one: it has the same ids, and the rest of its namespaces is its own.
//! `container::joined` finds what is meant, [`child::door`](crate::child::door)
//! goes there.

use std::fmt;
use std::os::fd::OwnedFd;

use super::idmap::{Mapping, Setgroups};

/// A network that is there already.
#[derive(Debug)]
pub struct Join {
    /// Whose it is.
    pub whose: Whose,
    /// The namespace, as setns(2) takes it.
    pub network: OwnedFd,
    /// Who owns it; `None` where that is the user namespace that we are in.
    pub owner: Option<Owner>,
}

/// A user namespace that the container shares with others.
#[derive(Debug)]
pub struct Owner {
    /// The namespace.
    pub namespace: OwnedFd,
    /// Its users; outside is our own user namespace.
    pub uids: Vec<Mapping>,
    /// Its groups.
    pub gids: Vec<Mapping>,
    /// Whether setgroups(2) works inside.
    pub setgroups: Setgroups,
}

/// Whose network it is, and what that one knows of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// For people: `container web`.
    pub told: String,
    /// Its /etc/hosts, where there is one.
    pub hosts: Option<String>,
    /// Its /etc/resolv.conf, where there is one.
    pub resolv: Option<String>,
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}
