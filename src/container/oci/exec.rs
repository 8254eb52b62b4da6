//! `exec`: a further program in a container that runs.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use nix::unistd::Pid;
use oci_spec::runtime::{Capability, LinuxCapabilities, Process};

use super::status::{Status, look};
use super::{Runtime, console, listener};
use crate::child::keeper::Stay;
use crate::container::{pidfile, streams};
use crate::error::Explain;
use crate::host::Host;
use crate::host::inside::Inside;
use crate::launch::enter::enter_and_listen;
use crate::monitor::beside::{LOST, Outcome, accompany};
use crate::plan::check_descriptors;
use crate::plan::enter::{self as plan, Ties};
use crate::spec::oci::{self, check_process};
use crate::spec::resources::list::numbers;
use crate::spec::{ContainerId, Stdin};
use crate::sys::schedule::set_affinity;

/// What is asked of a further program.
#[derive(Debug)]
pub struct Exec {
    /// The container.
    pub id: ContainerId,
    /// What it is.
    pub program: Program,
    /// It has a terminal.
    pub terminal: bool,
    /// It may wait in a container that stands still.
    pub ignore_paused: bool,
    /// It goes on without us.
    pub detach: bool,
    /// Who gets its terminal: a socket that listens there.
    pub console_socket: Option<PathBuf>,
    /// The file that gets its pid.
    pub pid_file: Option<PathBuf>,
    /// How many descriptors from 3 upwards it inherits.
    pub preserve_fds: u32,
}

/// A further program.
#[derive(Debug)]
pub enum Program {
    /// As a file has it, in the form of `process` of a configuration.
    File(PathBuf),
    /// The container's own, but for what differs.
    Like(Box<Changes>),
}

/// What differs from the container's own program.
#[derive(Debug, Default)]
pub struct Changes {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Where it starts.
    pub cwd: Option<PathBuf>,
    /// More variables, each `NAME=VALUE`.
    pub env: Vec<String>,
    /// Who runs it.
    pub user: Option<(u32, Option<u32>)>,
    /// More groups.
    pub groups: Vec<u32>,
    /// More capabilities.
    pub capabilities: Vec<Capability>,
    /// It may not gain privileges.
    pub no_new_privileges: bool,
    /// Its AppArmor profile.
    pub apparmor: Option<String>,
    /// Its SELinux label.
    pub label: Option<String>,
}

impl Changes {
    fn enter(self, process: &mut Process) {
        process.set_args(Some(self.args));
        if let Some(cwd) = self.cwd {
            process.set_cwd(cwd);
        }
        let mut env = process.env().clone().unwrap_or_default();
        for variable in self.env {
            let name = variable.split_once('=').map_or(&*variable, |(name, _)| name);
            env.retain(|old| old.split_once('=').map_or(&**old, |(name, _)| name) != name);
            env.push(variable);
        }
        process.set_env(Some(env));
        let user = process.user_mut();
        if let Some((uid, gid)) = self.user {
            user.set_uid(uid);
            gid.into_iter().for_each(|gid| _ = user.set_gid(gid));
        }
        if !self.groups.is_empty() {
            let mut groups = user.additional_gids().clone().unwrap_or_default();
            groups.extend(self.groups);
            user.set_additional_gids(Some(groups));
        }
        if !self.capabilities.is_empty() {
            let mut sets = process.capabilities().clone().unwrap_or_else(none);
            let with = |set: &Option<HashSet<Capability>>| {
                let old = set.iter().flatten().copied();
                Some(old.chain(self.capabilities.iter().copied()).collect::<HashSet<_>>())
            };
            let (bounding, effective, permitted) =
                (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
            sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
            process.set_capabilities(Some(sets));
        }
        if self.no_new_privileges {
            process.set_no_new_privileges(Some(true));
        }
        if self.apparmor.is_some() {
            process.set_apparmor_profile(self.apparmor);
        }
        if self.label.is_some() {
            process.set_selinux_label(self.label);
        }
    }
}

/// No capabilities: the default of the type has some.
fn none() -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(None).set_effective(None).set_permitted(None);
    sets.set_inheritable(None).set_ambient(None);
    sets
}

impl Runtime {
    /// Runs it: its code, or 0 once it runs without us; `warn` hears what is less
    /// than could be had.
    ///
    /// # Errors
    /// Where the container does not run, and whatever keeps the program from it.
    pub fn exec(&self, exec: Exec, host: &Host, warn: impl Fn(&str)) -> anyhow::Result<u8> {
        // Before anything of ours is open.
        check_descriptors(exec.preserve_fds)?;
        let found = self.find(&exec.id)?;
        let id = &exec.id;
        let payload = match look(&found)? {
            (Status::Running, Some(payload)) => payload,
            (Status::Paused, Some(payload)) if exec.ignore_paused => payload,
            (Status::Paused, _) => {
                return Err(anyhow!("cannot exec in container {id} that is paused"))
                    .hint(format!("sublet-oci resume {id} lets it go on"));
            }
            (status, _) => bail!(
                "cannot exec in container {id} that is {}: only in one that is running",
                status.word()
            ),
        };
        let bundle = &found.bundle;
        let mut config = bundle.config.clone();
        let own = config.process_mut().as_mut().context("its record has no process")?;
        // The container's own terminal is no reason for another.
        own.set_terminal(None);
        match exec.program {
            Program::File(path) => *own = read(&path)?,
            Program::Like(changes) => changes.enter(own),
        }
        let terminal = exec.terminal || own.terminal().unwrap_or(false);
        own.set_terminal(Some(terminal));
        check_process(own)?;
        let size = own.console_size();
        let initial = own.exec_cpu_affinity().as_ref().and_then(|it| it.initial().clone());
        check_console(terminal, exec.detach, exec.console_socket.as_deref())?;
        let spec = oci::made(config, id.clone(), bundle.root.clone(), exec.preserve_fds)?;
        if !terminal {
            streams::check(Stdin::Inherit)?;
        }
        let pid = Pid::from_raw(bundle.payload.pid);
        let ended = || format!("container {id} has just ended");
        let inside = Inside::of(payload, pid)?.with_context(ended)?;
        let entry = plan::plan(&spec, Ties::Attached, bundle.place.as_ref(), &inside, host)?;
        entry.notes.iter().for_each(|note| warn(note));
        if let Some(list) = &initial {
            let processors: Vec<u32> = numbers(list)?.into_iter().collect();
            set_affinity(Pid::this(), &processors)
                .with_context(|| format!("process.execCPUAffinity.initial: run on the CPUs {list}"))
                .hint(
                    "none of them is one that the caller may run on: taskset -p $$ shows those",
                )?;
        }
        let stay = if exec.detach { Stay::UntilItRuns } else { Stay::ToTheEnd };
        let listened = |program: Pid, listener| {
            listener::hand_over(bundle, Status::Running, program, listener)
        };
        let entered = enter_and_listen(entry, inside, stay, None, &listened, host)?;
        if let Some(path) = &exec.console_socket {
            let terminal = entered.terminal.as_ref().context("it has opened no terminal")?;
            console::hand_over(path, terminal.as_fd(), size)?;
        }
        if let Some(path) = &exec.pid_file {
            pidfile::write(path, entered.program.pid, "")?;
        }
        if exec.detach {
            entered.hand_over();
            return Ok(0);
        }
        match accompany(entered, true, None)? {
            Outcome::Ended(code) => Ok(code),
            Outcome::Left => Ok(0),
            Outcome::Lost => bail!(LOST),
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Process> {
    let what = || format!("read the process {path:?}");
    let mut text = Vec::new();
    let file = File::open(path).with_context(what)?;
    file.take(oci::LONGEST + 1).read_to_end(&mut text).with_context(what)?;
    ensure!(text.len() as u64 <= oci::LONGEST, "{path:?} is longer than {} bytes", oci::LONGEST);
    oci::read_process(&text).with_context(what)
}

/// Somebody has to take the terminal of a program that goes on without us, and
/// where we stay with it that is us.
fn check_console(terminal: bool, detach: bool, socket: Option<&Path>) -> anyhow::Result<()> {
    match (terminal, detach, socket) {
        (true, true, None) => Err(anyhow!("a terminal takes a --console-socket"))
            .hint("somebody has to take it, for no process of ours stays"),
        (false, _, Some(_)) => bail!("--console-socket is for a program with a terminal"),
        (true, false, Some(_)) => bail!("--console-socket is for a program with --detach"),
        _ => Ok(()),
    }
}
