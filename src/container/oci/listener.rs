//! Who decides about a container's system calls gets the listener of its filter.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket,
};
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxSeccomp, Spec as Oci};
use serde::Serialize;

use super::status::{State, Status};
use crate::error::Explain;
use crate::launch::pause;
use crate::security::seccomp::bpf::Flags;
use crate::security::seccomp::from_oci;
use crate::state::Bundle;
use crate::sys::{Errno, fd};

/// How long somebody is waited for who doesn't accept or read, and how often he
/// is looked after.
const PATIENCE: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(20);

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
    let handed = || -> anyhow::Result<()> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        let (address, until) = (UnixAddr::new(path)?, Instant::now() + PATIENCE);
        patiently(until, || connect(socket.as_raw_fd(), &address))?;
        // All at once, if there is room: agents read it so.
        let first = || fd::stream_with_descriptor(socket.as_fd(), &text, listener.as_fd());
        let mut sent = patiently(until, first)?;
        while sent < text.len() {
            let rest = || send(socket.as_raw_fd(), &text[sent..], MsgFlags::MSG_NOSIGNAL);
            sent += patiently(until, rest)?;
        }
        Ok(())
    };
    handed()
        .with_context(|| format!("linux.seccomp.listenerPath: send the listener to {path:?}"))
        .hint("an agent has to listen there that decides about the container's system calls")
}

/// Does what would have to wait, again and again.
fn patiently<T>(
    until: Instant,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> anyhow::Result<T> {
    loop {
        match attempt() {
            Err(Errno::EAGAIN) if until <= Instant::now() => {
                bail!("nobody has accepted and read it for {PATIENCE:?}")
            }
            Err(Errno::EAGAIN | Errno::EINTR) => pause(MOMENT)?,
            done => return done.map_err(|errno| anyhow!(errno.desc())),
        }
    }
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
