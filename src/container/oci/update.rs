//! `update`: other limits for a container that was made.

use anyhow::{Context, bail};
use oci_spec::runtime::LinuxResources;

use super::status::{Status, look};
use super::{Runtime, group};
use crate::cgroup::Directory;
use crate::cgroup::change::change;
use crate::host::Host;
use crate::plan::cgroup::{Whose, anew};
use crate::spec::ContainerId;

impl Runtime {
    /// Sets what `said` says; the rest stays as it is.
    ///
    /// # Errors
    /// Where the container is over or has no group of its own; a limit that can't
    /// be had there, or that the kernel or systemd refuses.
    pub fn update(
        &self,
        id: &ContainerId,
        mut said: LinuxResources,
        host: &Host,
    ) -> anyhow::Result<()> {
        let found = self.find(id)?;
        if look(&found)?.0 == Status::Stopped {
            bail!("cannot update container {id} that is stopped");
        }
        let place = group::of(&found.bundle)?;
        let limited = Directory::open(&place.cgroup)?;
        complete(&mut said, &limited);
        if said == LinuxResources::default() {
            return Ok(());
        }
        let cgroup = anew(&said, place, Whose::Engines, host)?;
        change(&place.cgroup, &cgroup)
            .with_context(|| format!("change the limits of container {id}"))
    }
}

/// Puts the other half beside one: swap is said together with memory, and a
/// quota shares its file with the period.
fn complete(said: &mut LinuxResources, limited: &Directory) {
    let number = |file: &str, at: usize| -> Option<i64> {
        limited.read(file).ok()?.split_whitespace().nth(at)?.parse().ok()
    };
    if let Some(memory) = said.memory_mut()
        && memory.limit().is_none()
        && memory.swap().is_some_and(|swap| swap >= 0)
    {
        memory.set_limit(number("memory.max", 0));
    }
    if let Some(cpu) = said.cpu_mut() {
        match (cpu.quota(), cpu.period()) {
            (Some(_), None) => {
                let period = number("cpu.max", 1).and_then(|period| u64::try_from(period).ok());
                cpu.set_period(period);
            }
            (None, Some(_)) => {
                cpu.set_quota(number("cpu.max", 0));
            }
            _ => {}
        }
    }
}
