//! `create`: a container up to its last gate.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, anyhow, bail, ensure};
use nix::unistd::Pid;

use super::status::{State, Status};
use super::{Runtime, console, group, hooks, listener};
use crate::container::pidfile;
use crate::error::{Explain, causes};
use crate::host::Host;
use crate::launch::hooks::Files;
use crate::launch::{self, Meeting, doorstep};
use crate::plan::step::{Gate, Step};
use crate::plan::{self, Outline, Streams};
use crate::spec::oci::{self, Engine};
use crate::spec::{ContainerId, Root, Spec};
use crate::state::{Bundle, Claim, Identity, boot};

/// What is asked of a new container.
#[derive(Debug)]
pub struct Create {
    /// Its id.
    pub id: ContainerId,
    /// The directory that has its config.json.
    pub bundle: PathBuf,
    /// Who gets its terminal: a socket that listens there.
    pub console_socket: Option<PathBuf>,
    /// The file that gets its pid.
    pub pid_file: Option<PathBuf>,
    /// What else the engine says.
    pub engine: Engine,
}

impl Runtime {
    /// Makes it, and leaves it waiting for its start; `warn` hears what is less
    /// than could be had.
    ///
    /// # Errors
    /// What can't be had or fails. Nothing is left then.
    pub fn create(&self, create: &Create, host: &Host, warn: impl Fn(&str)) -> anyhow::Result<Pid> {
        let id = &create.id;
        let bundle = create.bundle.canonicalize();
        let bundle = bundle.with_context(|| format!("find the bundle {:?}", create.bundle))?;
        let spec = read(&bundle, id, create.engine)?;
        let outline = Rc::new(plan::outline(&spec, None, host)?);
        outline.make_room();
        match (outline.streams, &create.console_socket) {
            (Streams::Terminal, None) => {
                return Err(anyhow!("process.terminal takes a --console-socket"))
                    .hint("somebody has to take the terminal, for no process of ours stays");
            }
            (Streams::Inherited, Some(_)) => {
                bail!("--console-socket is for a container with process.terminal")
            }
            (Streams::Terminal, Some(_)) => {}
            (Streams::Inherited, None) => crate::container::streams::check(spec.beside.stdin)?,
        }
        let claim = self.bundles.claim(id)?;
        let mut arrival = Arrival {
            doorstep: doorstep::make(claim.directory())?,
            claim: &claim,
            bundle,
            spec: &spec,
            outline: &outline,
            host,
            create,
            hooked: None,
        };
        let complete = || {
            let mut plan = plan::complete(Rc::clone(&outline), &spec, host)?;
            plan.notes.iter().for_each(|note| warn(note));
            plan.steps.retain(|step| !matches!(step, Step::Mark(_)));
            Ok(plan)
        };
        let created = launch::create(&outline, complete, &mut arrival, host);
        if let (Err(_), Some(bundle)) = (&created, &arrival.hooked) {
            // What they have set up is to be taken down.
            hooks::after(bundle, |error| warn(&causes(error)))?;
        }
        let created = created?;
        created.notes.iter().for_each(|note| warn(note));
        let pid = created.pid();
        created.leave();
        claim.keep();
        Ok(pid)
    }
}

/// Reads the configuration of a bundle.
fn read(bundle: &Path, id: &ContainerId, engine: Engine) -> anyhow::Result<Spec> {
    let path = bundle.join("config.json");
    let read = || format!("read {path:?}");
    let mut text = Vec::new();
    let file = File::open(&path).with_context(read)?;
    file.take(oci::LONGEST + 1).read_to_end(&mut text).with_context(read)?;
    ensure!(text.len() as u64 <= oci::LONGEST, "{path:?} is longer than {} bytes", oci::LONGEST);
    oci::read(&text, bundle, id.clone(), engine).with_context(|| format!("{path:?}"))
}

/// What is done while the child waits.
struct Arrival<'a> {
    claim: &'a Claim<'a>,
    doorstep: OwnedFd,
    bundle: PathBuf,
    spec: &'a Spec,
    outline: &'a Outline,
    host: &'a Host,
    create: &'a Create,
    /// What hooks have heard of it.
    hooked: Option<Bundle>,
}

impl Meeting for Arrival<'_> {
    fn at(
        &mut self,
        gate: Gate,
        payload: Pid,
        terminal: Option<&OwnedFd>,
    ) -> anyhow::Result<Option<Files>> {
        let bundle = self.bundle_of(payload)?;
        if gate == Gate::Hooked {
            let state = State::of(&bundle, Status::Creating).to_json()?;
            let bundle = self.hooked.insert(bundle);
            let Some(all) = bundle.config.hooks() else { return Ok(None) };
            #[allow(deprecated)]
            hooks::run("prestart", all.prestart(), &state)?;
            hooks::run("createRuntime", all.create_runtime(), &state)?;
            return hooks::files(
                bundle,
                Status::Creating,
                all.create_container().as_deref().unwrap_or_default(),
            );
        }
        if let Some(path) = &self.create.console_socket {
            let terminal = terminal.context("the container has opened no terminal")?;
            let size = self.spec.oci.process().as_ref().and_then(|it| it.console_size());
            console::hand_over(path, terminal.as_fd(), size)?;
        }
        let place = group::place(&self.outline.cgroup, payload, self.host)?;
        self.claim.record(&bundle.at(place))?;
        if let Some(path) = &self.create.pid_file {
            pidfile::write(path, payload, "")?;
        }
        Ok(None)
    }

    fn listened(&mut self, payload: Pid, listener: OwnedFd) -> anyhow::Result<()> {
        listener::hand_over(&self.bundle_of(payload)?, Status::Creating, payload, listener)
    }

    fn doorstep(&self) -> BorrowedFd<'_> {
        self.doorstep.as_fd()
    }
}

impl Arrival<'_> {
    fn bundle_of(&self, payload: Pid) -> anyhow::Result<Bundle> {
        let id = self.create.id.clone();
        let root = match &self.spec.beside.root {
            Root::Directory(path) | Root::Overlay(path) => path.clone(),
            Root::Host => PathBuf::from("/"),
        };
        let payload = Identity::of(payload, &boot()?)?;
        Ok(Bundle::new(id, (self.bundle.clone(), root), payload, self.spec.oci.clone()))
    }
}
