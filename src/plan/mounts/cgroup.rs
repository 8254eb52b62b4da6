//! The cgroup tree, and the wait for the container's control group.

use std::path::{Path, PathBuf};

use super::{Setting, attach};
use crate::plan::draft::{Draft, filesystem};
use crate::plan::step::{Gate, Step};

/// What has to wait until the child is in its group. All that can be done
/// meanwhile is done first: systemd takes as long as everything else.
#[derive(Debug, Default)]
pub struct Late {
    /// The gate is among the steps.
    passed: bool,
    /// Trees that are still to be mounted, and their attributes.
    mounts: Vec<(PathBuf, u64)>,
}

impl Late {
    /// Plans a cgroup tree.
    pub fn mount(
        &mut self,
        target: &Path,
        attrs: u64,
        setting: Setting<'_>,
        draft: &mut Draft,
    ) -> anyhow::Result<()> {
        // A cgroup tree belongs to a cgroup namespace, and the host's is not
        // ours to mount; what of it /sys shows has to do then.
        if !setting.namespaces.own_cgroup() {
            return Ok(());
        }
        if setting.cgroup.is_own() {
            self.mounts.push((target.to_owned(), attrs));
            return Ok(());
        }
        let tree = draft.slot();
        draft.early.push(filesystem("cgroup2", &[], attrs, tree));
        attach(tree, WHAT, target, draft)
    }

    /// Another mount is next: one that covers a tree, or is seen in one, has
    /// to come after it.
    pub fn before(
        &mut self,
        next: &Path,
        setting: Setting<'_>,
        draft: &mut Draft,
    ) -> anyhow::Result<()> {
        let meets =
            |(target, _): &(PathBuf, u64)| target.starts_with(next) || next.starts_with(target);
        if self.mounts.iter().any(meets) { self.finish(setting, draft) } else { Ok(()) }
    }

    /// Waits, and mounts what had to.
    pub fn finish(&mut self, setting: Setting<'_>, draft: &mut Draft) -> anyhow::Result<()> {
        if setting.cgroup.is_own() && !self.passed {
            draft.push(Step::Pass(Gate::Placed));
            if setting.namespaces.own_cgroup() {
                draft.push(Step::UnshareCgroup);
            }
            self.passed = true;
        }
        for (target, attrs) in self.mounts.drain(..) {
            let tree = draft.filesystem("cgroup2", &[], attrs);
            attach(tree, WHAT, &target, draft)?;
        }
        Ok(())
    }
}

/// What a tree is called.
const WHAT: &str = "the cgroup tree";
