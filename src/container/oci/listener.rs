//! Who decides about a container's system calls gets the listener of its filter.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxSeccomp, Spec as Oci};
use serde::Serialize;

use super::handing;
use super::status::{State, Status};
use crate::error::Explain;
use crate::security::seccomp::bpf::Flags;
use crate::security::seccomp::from_oci;
use crate::state::Bundle;

/// What goes with it: the "Container Process State" of the runtime
/// specification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    /// What the descriptors are that come along.
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: State<'a>,
}

/// Sends the `listener` of a filter that `process` of the container has loaded to
/// the socket at `linux.seccomp.listenerPath`.
///
/// # Errors
/// Where nobody takes it.
pub fn hand_over(
    bundle: &Bundle,
    status: Status,
    process: Pid,
    listener: OwnedFd,
) -> anyhow::Result<()> {
    let seccomp = seccomp(&bundle.config);
    let path = seccomp.and_then(|seccomp| seccomp.listener_path().as_deref());
    let path: &Path = path.context("linux.seccomp.listenerPath is not there")?;
    let state = ProcessState {
        oci_version: bundle.config.version(),
        fds: ["seccompFd"],
        pid: process.as_raw(),
        metadata: seccomp.and_then(|seccomp| seccomp.listener_metadata().as_deref()),
        state: State::of(bundle, status),
    };
    let text = serde_json::to_vec(&state)?;
    handing::send(path, &text, listener.as_fd())
        .with_context(|| format!("linux.seccomp.listenerPath: send the listener to {path:?}"))
        .hint("an agent has to listen there that decides about the container's system calls")
}

/// Whether a container loads a filter with a listener when it is started: else,
/// when it was made, or never.
///
/// # Errors
/// None for a filter that was read before.
pub fn comes_at_the_start(config: &Oci) -> anyhow::Result<bool> {
    let asked = seccomp(config).filter(|seccomp| seccomp.listener_path().is_some());
    let process = config.process().as_ref();
    let last = process.is_some_and(|it| it.no_new_privileges().unwrap_or(false));
    match asked.filter(|_| last) {
        Some(asked) => Ok(from_oci(asked)?.flags.contains(Flags::NEW_LISTENER)),
        None => Ok(false),
    }
}

/// The filter of a configuration.
fn seccomp(config: &Oci) -> Option<&LinuxSeccomp> {
    config.linux().as_ref()?.seccomp().as_ref()
}
