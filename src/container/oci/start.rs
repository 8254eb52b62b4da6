//! `start`: the payload of a container that was made runs.

use anyhow::{anyhow, bail};

use super::Runtime;
use super::hooks;
use super::status::{State, Status, look};
use crate::error::Explain;
use crate::host::Host;
use crate::launch::doorstep::{self, Start};
use crate::launch::hooks::outcome;
use crate::launch::refused_start;
use crate::spec::ContainerId;

impl Runtime {
    /// Lets the payload run.
    ///
    /// # Errors
    /// Where the container does not wait for that; what keeps the payload from
    /// being executed; a poststart hook that fails.
    pub fn start(&self, id: &ContainerId, host: &Host) -> anyhow::Result<()> {
        let found = self.find(id)?;
        let not_created = |status: Status| {
            format!("cannot start a container that is {}: only one that was created", status.word())
        };
        match look(&found)?.0 {
            Status::Created => {}
            status => bail!(not_created(status)),
        }
        let all = found.bundle.config.hooks().as_ref();
        let hooks = all.and_then(|all| all.start_container().as_deref()).unwrap_or_default();
        let files = hooks::files(&found.bundle, Status::Created, hooks)?;
        match doorstep::start(found.directory(), hooks.len(), files.as_ref())? {
            Start::Running => {}
            Start::Unattended => bail!(not_created(look(&found)?.0)),
            Start::Refused(part, errno) => {
                let args = found.bundle.config.process().as_ref().and_then(|it| it.args().as_ref());
                let program = args.and_then(|args| args.first()).map_or("", String::as_str);
                return Err(refused_start(program, part, errno, host));
            }
            Start::Hook(number, end) => {
                return match (hooks.get(number as usize), &files) {
                    (Some(hook), Some(files)) => {
                        hooks::told("startContainer", hook, outcome(end, files.words()))
                    }
                    _ => Err(anyhow!("a hook has failed that there is not")),
                };
            }
            Start::Killed => {
                return Err(anyhow!("it was killed while hooks.startContainer ran"))
                    .hint("by a kill -9, or by the kernel for want of memory");
            }
        }
        found.remove_doorstep();
        if let Some(all) = all {
            let state = State::of(&found.bundle, Status::Running).to_json()?;
            hooks::run("poststart", all.poststart(), &state)?;
        }
        Ok(())
    }
}
