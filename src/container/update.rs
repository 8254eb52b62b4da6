//! `sublet update`: other limits for containers that run.

use anyhow::{Context, anyhow, bail};
use oci_spec::runtime::LinuxResources;

use crate::cgroup::Directory;
use crate::cgroup::change::change;
use crate::cgroup::usage::{Memory, Usage};
use crate::error::Explain;
use crate::host::Host;
use crate::plan::cgroup::{Cgroup, Whose, anew};
use crate::spec::resources::change::{Said, merge};
use crate::state::{Life, Place, Record, Store};

/// What is to be done to one container, checked and not yet done.
#[derive(Debug)]
pub struct Update {
    record: Record,
    place: Place,
    said: LinuxResources,
    cgroup: Cgroup,
    /// What the user should hear first.
    pub notes: Vec<String>,
}

/// Decides what `said` means for the container that `word` means.
///
/// # Errors
/// A container that is not there or has no control group of its own, and
/// limits that it can't have.
pub fn check(store: &Store, word: &str, said: &Said, host: &Host) -> anyhow::Result<Update> {
    let record = store.find(word)?;
    if !matches!(record.life, Life::Running { .. }) {
        bail!("container {word} does not run");
    }
    let Some(place) = record.place.clone() else {
        return Err(anyhow!("container {word} has no control group of its own")).hint(
            "it gets one where it is started with a limit, such as --pids-limit 2048,\n\
             or with --cgroups require",
        );
    };
    let old = record.asked.limits.clone().unwrap_or_default();
    let said = said.over(&old)?;
    let cgroup =
        anew(&said, &place, Whose::Ours, host).with_context(|| format!("container {word}"))?;
    let limited = Directory::open(&place.cgroup)?;
    let limit = said.memory().and_then(|memory| memory.limit());
    let usage = Usage::read(&limited).memory;
    let tight = limit.zip(usage).and_then(|(limit, usage)| tight(word, limit, &usage));
    Ok(Update { record, place, said, cgroup, notes: tight.into_iter().collect() })
}

/// What is to be said of a limit below what is used.
fn tight(word: &str, limit: i64, usage: &Memory) -> Option<String> {
    let limit = u64::try_from(limit).ok()?;
    let used = usage.working_set_bytes;
    (limit < used).then(|| {
        format!(
            "container {word} uses {used} bytes of memory, more than the {limit} that it may \
             from now on: what can't be swapped out costs processes their lives"
        )
    })
}

impl Update {
    /// Does it, and says so in the record.
    ///
    /// # Errors
    /// What systemd or the kernel refuses.
    pub fn apply(self, store: &Store) -> anyhow::Result<()> {
        let id = &self.record.id;
        change(&self.place.cgroup, &self.cgroup)
            .with_context(|| format!("change the limits of container {}", id.short()))?;
        let asked = |record: &mut Record| {
            let old = record.asked.limits.take().unwrap_or_default();
            record.asked.limits = Some(merge(&old, &self.said));
        };
        store.edit(id, asked).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_is_used_is_said() {
        let usage = Memory { working_set_bytes: 1000, current_bytes: 9000, ..Memory::default() };
        assert!(tight("web", 999, &usage).unwrap().contains("uses 1000 bytes"));
        assert_eq!((tight("web", 1000, &usage), tight("web", -1, &usage)), (None, None));
    }
}
