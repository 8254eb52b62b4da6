//! Splits a cgroup that is ours: the manager that asks nobody.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use nix::errno::Errno;

use super::deadline::Deadline;
use super::made::{Made, remove_stale};
use super::share::share;
use super::tree::Directory;
use super::{PAYLOAD, write_all};
use crate::error::Explain;
use crate::plan::cgroup::Cgroup;

/// A container's part of our cgroup; removed with the value.
#[derive(Debug)]
pub struct Split {
    payload: Directory,
    made: Made,
    /// After it.
    _parents: Parents,
}

/// How long what must be moved is followed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the cgroup `name` in the one at `ours`, with the plan's limits, and
/// the payload's leaf in it.
///
/// Where `ours` holds processes and has to share a controller out, they move
/// to its leaf `supervisor`, this one too, and stay there. What launchers left
/// that were killed is removed on the way.
///
/// # Errors
/// What was refused; all that was made is then removed again.
pub fn split(ours: &Path, name: &str, plan: &Cgroup) -> anyhow::Result<Split> {
    let parents = Parents::make(ours, plan)?;
    let split = split_directory(Directory::open(ours)?, name, plan)?;
    Ok(Split { _parents: parents, ..split })
}

/// Groups above a container's that were not there, removed with the value.
#[derive(Debug, Default)]
struct Parents(Vec<(Directory, String)>);

impl Parents {
    /// Makes those that `path` lacks, if an engine has named it.
    fn make(path: &Path, plan: &Cgroup) -> anyhow::Result<Self> {
        let mut made = Self::default();
        if !plan.may_be_there {
            return Ok(made);
        }
        let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
        for path in missing.into_iter().rev() {
            let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { break };
            let above = Directory::open(above)?;
            share(&above, &plan.controllers, Deadline::after(PATIENCE))
                .with_context(|| format!("split the cgroup {}", above.path().display()))?;
            let name = name.to_string_lossy().into_owned();
            match above.make(&name) {
                // Another container's, by now.
                Err(taken) if taken.errno == Errno::EEXIST => {}
                done => {
                    done?;
                    made.0.push((above, name));
                }
            }
        }
        Ok(made)
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        // The innermost first; one that others have begun to use stays.
        for (above, name) in self.0.iter().rev() {
            let _ = above.remove_empty(name);
        }
    }
}

/// As [`split`], on any file system.
pub(super) fn split_directory(ours: Directory, name: &str, plan: &Cgroup) -> anyhow::Result<Split> {
    let deadline = Deadline::after(PATIENCE);
    let path = ours.path().to_owned();
    remove_stale(&ours);
    share(&ours, &plan.controllers, deadline)
        .with_context(|| format!("split the cgroup {}", ours.path().display()))?;
    let made = match Made::new(ours, name) {
        Err(taken) if taken.errno == Errno::EEXIST && plan.may_be_there => {
            Made::take(Directory::open(&path)?, name)?
        }
        Err(taken) if taken.errno == Errno::EEXIST => {
            return Err(taken).hint("a container of this name runs, or is just ending");
        }
        made => made?,
    };
    write_all(made.directory(), &plan.limits)?;
    share(made.directory(), &plan.controllers, deadline)?;
    let payload = match plan.may_be_there {
        true => made.directory().make_or_open(PAYLOAD)?,
        false => made.directory().make(PAYLOAD)?,
    };
    write_all(&payload, &plan.payload)?;
    Ok(Split { payload, made, _parents: Parents::default() })
}

impl Split {
    /// The cgroup that is limited: what the container uses is counted here.
    pub fn limited(&self) -> &Directory {
        self.made.directory()
    }

    /// The leaf for the container.
    pub fn payload(&self) -> &Directory {
        &self.payload
    }
}
