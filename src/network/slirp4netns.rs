//! slirp4netns(1), version 1.2 or later.
//!
//! It goes into the network namespace for a moment, makes a tap there, and
//! from then on turns the packets of that into sockets of the host's. With
//! `--enable-sandbox` it sees no files but /etc and /run, and has no
//! capability; with `--enable-seccomp` it is filtered.
//!
//! For its sandbox it wants to be root of the container's user namespace, and
//! finds that only by the pid of a process that is in both namespaces. There is
//! none yet. So it is started in that user namespace, as its root.

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Stdio;

use anyhow::Context;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::recipe::{Namespaces, Ready, Recipe};
use crate::child::helper::Before;
use crate::host::network::Cidr;
use crate::plan::network::Helper;

/// The interface inside.
const TAP: &str = "tap0";

/// How it is started.
pub fn recipe(
    helper: &Helper,
    mtu: u32,
    cidr: Cidr,
    outbound: [Option<&str>; 2],
    namespaces: &Namespaces,
) -> anyhow::Result<Recipe> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).context("make a pipe");
    let (ready, tells_ready) = pipe()?;
    let (ends, hold) = pipe()?;
    let copy = |fd: &OwnedFd| fd.try_clone().context("copy a descriptor");
    let (network, user) = (copy(&namespaces.network)?, copy(&namespaces.user)?);
    let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let mut arguments = vec![
        "--configure".to_owned(),
        "--disable-host-loopback".to_owned(),
        "--enable-seccomp".to_owned(),
        format!("--mtu={mtu}"),
        format!("--cidr={cidr}"),
        format!("--ready-fd={}", tells_ready.as_raw_fd()),
        format!("--exit-fd={}", ends.as_raw_fd()),
        "--netns-type=path".to_owned(),
    ];
    if helper.resolver.is_none() {
        // Before libslirp 4.7 its address for names leads to every port of the
        // host's own resolver, on the host's loopback too.
        arguments.push("--disable-dns".to_owned());
    }
    if helper.ipv6 {
        arguments.push("--enable-ipv6".to_owned());
    }
    for (option, value) in ["--outbound-addr", "--outbound-addr6"].iter().zip(outbound) {
        arguments.extend(value.map(|value| format!("{option}={value}")));
    }
    let mut before = Before::default();
    let mut keep = Vec::new();
    if helper.has_root {
        arguments.push("--enable-sandbox".to_owned());
        before.enter = Some(user);
    } else {
        arguments.push(format!("--userns-path={}", path(&user)));
        keep.push(user);
    }
    arguments.extend([path(&network), TAP.to_owned()]);
    keep.extend([network, tells_ready, ends]);
    Ok(Recipe {
        arguments,
        input: Stdio::null(),
        output: Stdio::null(),
        before: Before { keep, ..before },
        ready: Ready::Pipe(ready),
        hold: Some(hold),
    })
}
