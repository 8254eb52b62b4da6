//! A place for the control group, and what can be limited there.

use std::path::{Path, PathBuf};

use super::limit::Limit;
use super::{Manager, lack};
use crate::host::advice::Advice;
use crate::host::cgroup::{Cgroups, Controller};
use crate::host::files::Files;

/// A place.
#[derive(Clone, Debug)]
pub struct Place {
    /// Who makes the group there.
    pub manager: Manager,
    /// What can be limited there.
    pub controllers: Vec<Controller>,
    /// The directory whose cgroup.controllers says so.
    pub directory: PathBuf,
}

/// Limits that can't be had for one reason.
pub struct Lacked {
    /// The limits.
    pub limits: Vec<Limit>,
    /// The reason.
    pub advice: Advice,
}

impl Place {
    /// A place further down, which is made with it.
    pub fn further(self, below: &Path) -> Self {
        match self.manager {
            Manager::Direct { parent, name } => {
                let parent: PathBuf = parent.join(below).components().collect();
                let directory = parent.clone();
                Self { manager: Manager::Direct { parent, name }, directory, ..self }
            }
            manager => Self { manager, ..self },
        }
    }

    /// Whether all of these are there.
    pub fn has(&self, needs: &[Controller]) -> bool {
        needs.iter().all(|need| self.controllers.contains(need))
    }

    /// The limits that can be had here, and the others.
    pub fn sort(
        &self,
        limits: Vec<Limit>,
        cgroups: &Cgroups,
        files: &Files,
    ) -> (Vec<Limit>, Vec<Lacked>) {
        let (limits, lacked): (Vec<Limit>, Vec<Limit>) = limits
            .into_iter()
            .partition(|limit| limit.controller().is_none_or(|it| self.has(&[it])));
        let mut reasons = Vec::new();
        if !lacked.is_empty() {
            let lacking = super::controllers(&lacked);
            let advice = lack::controller(&lacking, self, cgroups, files);
            reasons.push(Lacked { limits: lacked, advice });
        }
        let mut had = Vec::new();
        for limit in limits {
            match self.file(limit, files) {
                Ok(limit) => had.push(limit),
                Err(limit) if limit.implied => {}
                Err(limit) => {
                    let advice = lack::file(&limit.file, &self.directory);
                    reasons.push(Lacked { limits: vec![limit], advice });
                }
            }
        }
        (had, reasons)
    }

    /// The limit by a file that the kernel has. A group has all that those
    /// below it have, but the topmost, which has hardly any.
    fn file(&self, mut limit: Limit, files: &Files) -> Result<Limit, Limit> {
        let has = |file: &str| files.has(&self.directory.join(file));
        if has(&limit.file) || !has("cgroup.type") {
            return Ok(limit);
        }
        match limit.or.take() {
            // systemd itself knows what to write.
            Some((file, _)) if has(file) && matches!(self.manager, Manager::Systemd { .. }) => {
                Ok(limit)
            }
            Some((file, content)) if has(file) => {
                Ok(Limit { file: file.to_owned(), content, ..limit })
            }
            _ => Err(limit),
        }
    }
}
