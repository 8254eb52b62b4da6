//! `start`: the payload of a container that was made runs.

use anyhow::bail;

use super::Runtime;
use super::hooks;
use super::status::{State, Status, look};
use crate::host::Host;
use crate::launch::doorstep::{self, Start};
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
        match doorstep::start(found.directory())? {
            Start::Running => {}
            Start::Unattended => bail!(not_created(look(&found)?.0)),
            Start::Refused(part, errno) => {
                let args = found.bundle.config.process().as_ref().and_then(|it| it.args().as_ref());
                let program = args.and_then(|args| args.first()).map_or("", String::as_str);
                return Err(refused_start(program, part, errno, host));
            }
        }
        found.remove_doorstep();
        if let Some(hooks) = found.bundle.config.hooks() {
            let state = State::of(&found.bundle, Status::Running).to_json()?;
            hooks::run("poststart", hooks.poststart(), &state)?;
        }
        Ok(())
    }
}
