//! `sublet exec`: a further program in a container that runs.
//!
//! Done by this process alone: neither the container's launcher nor anything
//! else in it is asked.

use std::os::fd::AsFd;

use anyhow::{Context, anyhow, bail};
use nix::unistd::Pid;

use super::pause::is_paused;
use crate::child::keeper::Stay;
use crate::error::{Explain, exit_code};
use crate::host::Host;
use crate::host::inside::{self, Inside};
use crate::launch::enter::enter;
use crate::monitor::beside::{Outcome, accompany, leave};
use crate::plan::Streams;
use crate::plan::enter::{self as plan, Entry, Ties};
use crate::spec::keys::Keys;
use crate::spec::{ContainerId, Spec, Stdin};
use crate::state::happening::Told;
use crate::state::{Identity, Life, Record, Store};
use crate::sys::random;

/// A container that runs.
#[derive(Debug)]
pub struct Target {
    record: Record,
    launcher: Identity,
    payload: Identity,
}

impl Target {
    /// The container that `word` means.
    ///
    /// # Errors
    /// Where it is not there, does not run or stands still.
    pub fn find(store: &Store, word: &str) -> anyhow::Result<Self> {
        let target = Self::running(store.find(word)?)?;
        let label = target.record.label();
        if is_paused(&target.record) {
            return Err(anyhow!("container {label} is paused"))
                .hint(format!("sublet unpause {label} lets it go on"));
        }
        Ok(target)
    }

    /// The container of a record, which may stand still.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn running(record: Record) -> anyhow::Result<Self> {
        let label = record.label().to_owned();
        let (launcher, payload) = match &record.life {
            Life::Running { launcher, payload, .. } => (launcher.clone(), payload.clone()),
            Life::Created { .. } => bail!("container {label} is not running yet"),
            Life::Restarting { .. } => {
                return Err(anyhow!("container {label} is being started again"))
                    .hint("wait until it runs: sublet ps shows how it is");
            }
            Life::Exited(_) => {
                return Err(anyhow!("container {label} is not running"))
                    .hint(format!("sublet inspect {label} shows how it ended"));
            }
        };
        Ok(Self { record, launcher, payload })
    }

    /// Makes sure that nothing in the container can write to this program's
    /// file, now or later; may start the program over.
    ///
    /// # Errors
    /// Where it can't be made sure.
    pub fn protect_program(&self) -> anyhow::Result<()> {
        super::program::protect_beside(&self.launcher)
    }

    /// What was asked for when it was started, for the program to be put in the
    /// payload's place.
    ///
    /// # Errors
    /// What was not written down, or is damaged.
    pub fn spec(&self, store: &Store) -> anyhow::Result<Spec> {
        store.spec(&self.record)
    }

    /// What the container is like inside.
    ///
    /// # Errors
    /// Where it has ended, or may not be looked at.
    pub fn inside(&self, spec: &Spec) -> anyhow::Result<Inside> {
        let label = self.record.label();
        let ended = || format!("container {label} has just ended");
        let mut pid = Pid::from_raw(self.payload.pid);
        let mut process = self.payload.open()?.with_context(ended)?;
        if spec.beside.init {
            (process, pid) = inside::behind(process.as_fd(), pid)?.with_context(ended)?;
        }
        Inside::of(process, pid)?.with_context(ended)
    }

    /// Decides what an entry will do, and does nothing.
    ///
    /// # Errors
    /// What is asked for and can't be had.
    pub fn plan(&self, spec: &Spec, ties: Ties, host: &Host) -> anyhow::Result<(Entry, Inside)> {
        let inside = self.inside(spec)?;
        let place = self.record.place.as_ref();
        let entry = plan::plan(spec, ties, place, &inside, host)?;
        Ok((entry, inside))
    }

    /// Runs the program that `spec` has in the payload's place: what became of
    /// it. Calls `warn` with what is less than could be had.
    ///
    /// # Errors
    /// Whatever kept it from running, with what would help.
    pub fn exec(
        &self,
        store: &Store,
        spec: &Spec,
        ties: Ties,
        keys: Option<Keys>,
        host: &Host,
        warn: impl Fn(&str),
    ) -> anyhow::Result<Outcome> {
        let (entry, inside) = self.plan(spec, ties, host)?;
        let stdin = spec.beside.stdin;
        if entry.streams == Streams::Inherited && ties == Ties::Attached {
            super::streams::check(stdin)?;
        }
        entry.notes.iter().for_each(|note| warn(note));
        let told = self.tell(store, spec);
        let last_words = told.as_ref().and_then(|told| told.last_words().ok());
        let entered = enter(entry, inside, Stay::ToTheEnd, last_words, host);
        let entered = entered.inspect_err(|error| {
            told.iter().for_each(|told| told.died(Some(exit_code(error))));
        })?;
        match ties {
            Ties::Attached => {
                let outcome = accompany(entered, stdin == Stdin::Inherit, keys)?;
                told.iter().for_each(|told| match outcome {
                    Outcome::Ended(_) => {}
                    Outcome::Left => told.left(),
                    Outcome::Lost => told.died(None),
                });
                Ok(outcome)
            }
            Ties::Detached => {
                leave(entered);
                Ok(Outcome::Left)
            }
        }
    }

    /// Tells those who look on that a program is about to enter it.
    fn tell(&self, store: &Store, spec: &Spec) -> Option<Told> {
        let mut random = [0; 32];
        random::fill(&mut random).ok()?;
        let process = spec.oci.process().as_ref()?;
        let exec = ContainerId::from_random(random).to_string();
        let command = process.args().as_deref().unwrap_or_default();
        Some(Told::begin(store.directory(&self.record).ok()?, exec, command))
    }
}
