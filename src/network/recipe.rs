//! The contract of a driver: how its program is started, and how it tells that
//! the network is there.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use crate::child::helper::Before;

/// The namespaces that a helper works for.
#[derive(Debug)]
pub struct Namespaces {
    /// The network.
    pub network: OwnedFd,
    /// The user namespace that owns it.
    pub user: OwnedFd,
}

/// How a helper is started. Its standard error is read by us.
pub struct Recipe {
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its standard input.
    pub input: Stdio,
    /// Its standard output.
    pub output: Stdio,
    /// What happens before its exec.
    pub before: Before,
    /// How it tells that it is ready.
    pub ready: Ready,
    /// What makes it end as soon as nobody has it open any more.
    pub hold: Option<OwnedFd>,
}

/// How a helper tells that it is ready.
pub enum Ready {
    /// It writes into this pipe.
    Pipe(OwnedFd),
    /// It writes its pid, on a line alone, among its words.
    OwnPid,
}
