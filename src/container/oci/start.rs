//! `start`: the payload of a container that was made runs.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use nix::unistd::Pid;

use super::status::{State, Status, look};
use super::{Runtime, hooks, listener};
use crate::error::Explain;
use crate::host::Host;
use crate::launch::doorstep::{self, Before, Start};
use crate::launch::hooks::outcome;
use crate::launch::{readable_by, refused_start};
use crate::spec::ContainerId;
use crate::state::{Bundle, never_executed};

/// How long a container takes to end that has told why it does.
const ENDING: Duration = Duration::from_secs(5);

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
        let payload = match look(&found)? {
            (Status::Created, Some(payload)) => payload,
            (status, _) => bail!(not_created(status)),
        };
        let bundle = &found.bundle;
        let all = bundle.config.hooks().as_ref();
        let hooks = all.and_then(|all| all.start_container().as_deref()).unwrap_or_default();
        let files = hooks::files(bundle, Status::Created, hooks)?;
        let listens = listener::comes_at_the_start(&bundle.config)?;
        let before = Before { hooks: hooks.len(), files: files.as_ref(), listens };
        let process = Pid::from_raw(bundle.payload.pid);
        let listened = |fd| listener::hand_over(bundle, Status::Created, process, fd);
        let refused = match doorstep::start(found.directory(), before, listened) {
            // Its end of the channel is closed by the exec, and by its end.
            Ok(Start::Running) if never_executed(process) => killed(),
            Ok(Start::Running) => {
                found.remove_doorstep();
                return after(bundle);
            }
            Ok(Start::Unattended) => bail!(not_created(look(&found)?.0)),
            Ok(Start::Refused(part, errno)) => {
                let args = bundle.config.process().as_ref().and_then(|it| it.args().as_ref());
                let program = args.and_then(|args| args.first()).map_or("", String::as_str);
                refused_start(program, part, errno, host)
            }
            Ok(Start::Hook(number, end)) => match (hooks.get(number as usize), &files) {
                (Some(hook), Some(files)) => {
                    let outcome = outcome(end, files.words());
                    let told = hooks::told("startContainer", hook, outcome);
                    told.err().unwrap_or_else(|| anyhow!("{:?} has failed", hook.path()))
                }
                _ => anyhow!("a hook has failed that there is not"),
            },
            Ok(Start::Killed) => killed(),
            Err(error) => error,
        };
        // Who hears of it finds it stopped.
        let _ = readable_by(payload.as_fd(), Some(Instant::now() + ENDING));
        Err(refused)
    }
}

fn killed() -> anyhow::Error {
    let told = Err(anyhow!("it was killed before the program ran"));
    let told: anyhow::Result<()> = told.hint(
        "by a kill -9, by the kernel for want of memory, or for its system call filter, which has \
         to let execve, write and exit_group through; so has an agent that decides about them",
    );
    told.expect_err("it is one")
}

/// What is run once the payload does.
fn after(bundle: &Bundle) -> anyhow::Result<()> {
    let Some(all) = bundle.config.hooks() else { return Ok(()) };
    let state = State::of(bundle, Status::Running).to_json()?;
    hooks::run("poststart", all.poststart(), &state)
}
