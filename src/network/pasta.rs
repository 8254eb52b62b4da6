//! pasta(1), of 2023 or later.
//!
//! It stays in both namespaces, with the host's sockets opened outside of
//! them, in a mount namespace without a file and without a capability.
//!
//! Later versions close what they inherit but for the standard streams; so
//! these are how it gets its namespaces. It has no descriptor for when it is
//! ready, but writes its pid to a file then; so the file is its standard error.
//!
//! Its packets are as long as it makes them, whatever the host's way out takes:
//! none of them goes there, what they carry is written to sockets. With short ones
//! that of 2025 stalls (docs/network.md).

use std::process::Stdio;

use anyhow::Context;

use super::recipe::{Namespaces, Ready, Recipe};
use crate::child::helper::Before;
use crate::plan::network::Helper;

/// How it is started, with what the user wants it to be told.
pub fn recipe(
    helper: &Helper,
    asked: &[String],
    called_by_root: bool,
    namespaces: &Namespaces,
) -> anyhow::Result<Recipe> {
    let copy = |fd: &std::os::fd::OwnedFd| fd.try_clone().context("copy a descriptor");
    let words = [
        "--foreground",
        "--quiet",
        "--config-net",
        // The gateway's address would mean the host's loopback.
        "--no-map-gw",
        // We end it; what it would watch is in /proc.
        "--no-netns-quit",
        "--tcp-ports=none",
        "--udp-ports=none",
        "--tcp-ns=none",
        "--udp-ns=none",
        "--netns=/proc/self/fd/0",
        "--userns=/proc/self/fd/1",
        "--pid=/proc/self/fd/2",
    ];
    let mut arguments: Vec<String> = words.map(str::to_owned).into();
    arguments.extend(helper.resolver.map(|resolver| format!("--dns-forward={resolver}")));
    if called_by_root {
        // It would become nobody, who may not go into the namespaces.
        arguments.push("--runas=0:0".to_owned());
    }
    arguments.extend_from_slice(asked);
    Ok(Recipe {
        arguments,
        input: Stdio::from(copy(&namespaces.network)?),
        output: Stdio::from(copy(&namespaces.user)?),
        before: Before::default(),
        ready: Ready::OwnPid,
        hold: None,
    })
}
