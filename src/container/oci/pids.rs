//! `ps`: the processes of a container.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, bail};

use super::Runtime;
use super::status::{Status, look};
use crate::error::Explain;
use crate::spec::ContainerId;

impl Runtime {
    /// The pids of all processes that are in the container's pid namespace, as
    /// we see them, the first one first.
    ///
    /// # Errors
    /// Where the container is over, or shares the pid namespace of others.
    pub fn pids(&self, id: &ContainerId) -> anyhow::Result<Vec<i32>> {
        let found = self.find(id)?;
        let first = found.bundle.payload.pid;
        match look(&found)?.0 {
            Status::Stopped => bail!("container not running: {id} is stopped"),
            // Who waits for its start lets nobody look into it.
            Status::Created => return Ok(vec![first]),
            _ => {}
        }
        // Held, for the kernel gives the number of one that is gone to the next.
        let held = fs::File::open(format!("/proc/{first}/ns/pid"))
            .context("look at the container's pid namespace")
            .hint("whoever has made the container may: root, or its engine (podman unshare)")?;
        let facts = held.metadata().context("look at the container's pid namespace")?;
        let own = (facts.dev(), facts.ino());
        if namespace(std::process::id() as i32).is_ok_and(|ours| ours == own) {
            bail!("container {id} has no pid namespace of its own to tell its processes by");
        }
        let entries = fs::read_dir("/proc").context("read /proc")?;
        let all = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut pids: Vec<i32> =
            all.filter(|pid| namespace(*pid).is_ok_and(|one| one == own)).collect();
        pids.sort_unstable_by_key(|pid| (*pid != first, *pid));
        Ok(pids)
    }
}

fn namespace(pid: i32) -> std::io::Result<(u64, u64)> {
    let facts = fs::metadata(format!("/proc/{pid}/ns/pid"))?;
    Ok((facts.dev(), facts.ino()))
}
