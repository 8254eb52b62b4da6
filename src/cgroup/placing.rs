//! Puts the child into the control group that the plan says.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::poll::PollFlags;
use nix::unistd::Pid;

use super::delegated::{Delegated, divide};
use super::split::{Split, split};
use super::systemd::{Job, Line, Progress, StartScope, Systemd};
use super::usage::Usage;
use super::{Deadline, Directory};
use crate::error::causes;
use crate::host::Host;
use crate::plan::cgroup::{Cgroup, Manager, Need};

/// The child's way into its group: [`prepare`](Self::prepare) before there is
/// a child, [`begin`](Self::begin) once it and its watcher are there, and
/// [`proceed`](Self::proceed) until it is [`Done`](Progress::Done). Then the
/// child may go on.
pub struct Placing<'a> {
    plan: &'a Cgroup,
    stage: Stage,
    /// What was not to be had and can be done without.
    notes: Vec<String>,
}

enum Stage {
    /// Connected, where systemd is to be asked.
    Prepared(Option<Line>),
    /// Of the child and its watcher.
    Begun(Pid, Pid, Option<Job>),
    Over(Option<Placed>),
}

impl<'a> Placing<'a> {
    /// Connects to systemd, if it is to be asked: it hears who we are while
    /// the child is made.
    ///
    /// # Errors
    /// Where it can't be reached.
    pub fn prepare(plan: &'a Cgroup) -> anyhow::Result<Self> {
        let mut placing = Self { plan, stage: Stage::Over(None), notes: Vec::new() };
        let line = match &plan.manager {
            Manager::Systemd { bus, .. } => Systemd::at(bus).connect().map(Some),
            Manager::Direct { .. } => Ok(None),
            Manager::None => return Ok(placing),
        };
        if let Some(line) = placing.bear(line)? {
            placing.stage = Stage::Prepared(line);
        }
        Ok(placing)
    }

    /// Begins with `child`, which waits for its gate, and `watcher`, which
    /// keeps the scope.
    ///
    /// # Errors
    /// Where systemd has hung up.
    pub fn begin(&mut self, child: Pid, watcher: Pid) -> anyhow::Result<()> {
        let Stage::Prepared(line) = &mut self.stage else { return Ok(()) };
        let job = match (&self.plan.manager, line.take()) {
            (Manager::Systemd { unit, slice, .. }, Some(line)) => line
                .start_scope(&StartScope {
                    unit,
                    slice: slice.as_deref(),
                    description: "A container of sublet",
                    pids: &[child, watcher],
                    properties: &self.plan.properties,
                })
                .map(Some),
            _ => Ok(None),
        };
        self.stage = match self.bear(job)? {
            Some(job) => Stage::Begun(child, watcher, job),
            None => Stage::Over(None),
        };
        Ok(())
    }

    /// Whether the child has a gate to wait at.
    pub fn has_gate(&self) -> bool {
        self.plan.is_own()
    }

    /// Whether systemd is to move the child, which it does only for the
    /// process's own user.
    pub fn asks_systemd(&self) -> bool {
        matches!(self.stage, Stage::Prepared(Some(_)))
    }

    /// What has to be waited for before it [`proceed`](Self::proceed)s, and
    /// until when; nothing where it needs nobody.
    pub fn awaited(&self) -> Option<(BorrowedFd<'_>, PollFlags, Instant)> {
        match &self.stage {
            Stage::Begun(_, _, Some(job)) => Some((job.as_fd(), job.interest(), job.deadline())),
            _ => None,
        }
    }

    /// Goes on as far as it can without waiting for others.
    ///
    /// # Errors
    /// What systemd or the kernel refuses.
    pub fn proceed(&mut self, host: &Host) -> anyhow::Result<Progress> {
        let Stage::Begun(child, watcher, job) = &mut self.stage else { return Ok(Progress::Done) };
        let asked = job.as_mut().map_or(Ok(Progress::Done), Job::proceed);
        let placed = match asked {
            Ok(Progress::Waiting) => return Ok(Progress::Waiting),
            Ok(Progress::Done) => Placed::put(self.plan, *child, *watcher, host),
            Err(error) => Err(error),
        };
        let placed = self.bear(placed)?;
        self.stage = Stage::Over(placed);
        Ok(Progress::Done)
    }

    /// Where the child is now, and what should be said of it.
    pub fn finish(mut self) -> (Option<Placed>, Vec<String>) {
        let notes = std::mem::take(&mut self.notes);
        match &mut self.stage {
            Stage::Over(placed) => (placed.take(), notes),
            _ => (None, notes),
        }
    }

    /// `None` for what failed and can be done without.
    fn bear<T>(&mut self, done: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        match (done, self.plan.need) {
            (Err(error), Need::Wanted) => {
                self.notes.push(format!("no control group of its own: {}", causes(&error)));
                Ok(None)
            }
            (done, _) => done.map(Some),
        }
    }
}

impl Drop for Placing<'_> {
    /// The start is given up: what was asked for is called off.
    fn drop(&mut self) {
        if let Stage::Begun(_, _, job) = &mut self.stage
            && let Some(job) = job.take()
        {
            job.call_off();
        }
    }
}

/// A container in its group. Dropped, whatever is left in it is killed, and a
/// group that we have made is removed.
#[derive(Debug)]
pub struct Placed(Kind);

#[derive(Debug)]
enum Kind {
    Ours(Split),
    Scope(Delegated),
}

/// How long what is left is killed.
const PATIENCE: Duration = Duration::from_secs(2);

impl Placed {
    /// Does what is ours to do: all, or what systemd has left to us.
    fn put(plan: &Cgroup, child: Pid, watcher: Pid, host: &Host) -> anyhow::Result<Self> {
        let (child, watcher) = (child.as_raw(), watcher.as_raw());
        let kind = match &plan.manager {
            Manager::Direct { parent, name } => {
                let split = split(parent, name, plan)?;
                let moved = split.payload().add_process(child);
                moved.context("move the container to its cgroup")?;
                Kind::Ours(split)
            }
            Manager::Systemd { unit, .. } => {
                let scope = host.cgroups()?.of_process(child)?;
                let place = scope.display();
                ensure!(scope.ends_with(unit), "systemd made {unit}, but the child is in {place}");
                Kind::Scope(divide(&scope, plan, child, Some(watcher))?)
            }
            Manager::None => anyhow::bail!("there is no control group to be made"),
        };
        Ok(Self(kind))
    }

    /// What the container uses and has used.
    pub fn usage(&self) -> Usage {
        Usage::read(match &self.0 {
            Kind::Ours(split) => split.limited(),
            Kind::Scope(scope) => scope.limited(),
        })
    }

    fn payload(&self) -> &Directory {
        match &self.0 {
            Kind::Ours(split) => split.payload(),
            Kind::Scope(scope) => scope.payload(),
        }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        // A scope is gone with the last process that was in it.
        let _ = self.payload().kill(Deadline::after(PATIENCE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::bus::{Bus, Kind as BusKind};
    use crate::host::made_up;

    /// Asks a systemd that isn't there.
    fn unreachable(need: Need) -> Cgroup {
        let bus = Bus { path: "/nonexistent/socket".into(), kind: BusKind::Private };
        let manager = Manager::Systemd { bus, unit: "sublet-x.scope".to_owned(), slice: None };
        Cgroup { manager, need, ..Cgroup::default() }
    }

    /// Is in a directory that isn't there.
    fn missing(need: Need) -> Cgroup {
        let (parent, name) = ("/nonexistent/cgroup".into(), "sublet-x".to_owned());
        Cgroup { manager: Manager::Direct { parent, name }, need, ..Cgroup::default() }
    }

    fn place(plan: &Cgroup) -> anyhow::Result<(Option<Placed>, Vec<String>)> {
        let host = Host::from(made_up::facts());
        let mut placing = Placing::prepare(plan)?;
        placing.begin(Pid::this(), Pid::this())?;
        assert!(placing.awaited().is_none());
        assert_eq!(placing.proceed(&host)?, Progress::Done);
        assert_eq!(placing.proceed(&host)?, Progress::Done, "once more");
        Ok(placing.finish())
    }

    #[test]
    fn what_is_needed_and_not_to_be_had_is_an_error() {
        let error = place(&unreachable(Need::Required)).unwrap_err();
        assert!(causes(&error).contains("/nonexistent/socket"), "{}", causes(&error));
        let error = place(&missing(Need::Required)).unwrap_err();
        assert!(causes(&error).contains("/nonexistent/cgroup"), "{}", causes(&error));
    }

    #[test]
    fn what_is_only_wanted_is_said_and_done_without() {
        for (plan, word) in
            [(unreachable(Need::Wanted), "socket"), (missing(Need::Wanted), "cgroup")]
        {
            let (placed, notes) = place(&plan).unwrap();
            assert!(placed.is_none());
            let told = "no control group of its own: ";
            assert_eq!(notes.len(), 1);
            assert!(notes[0].starts_with(told) && notes[0].contains(word), "{notes:?}");
        }
    }

    #[test]
    fn nothing_planned_is_nothing_done() {
        let plan = Cgroup::default();
        assert!(!Placing::prepare(&plan).unwrap().has_gate());
        let (placed, notes) = place(&plan).unwrap();
        assert!(placed.is_none() && notes.is_empty());
    }
}
