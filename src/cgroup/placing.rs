//! Puts the child into the control group that the plan says.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use nix::poll::PollFlags;
use nix::unistd::Pid;

use super::delegated::{Delegated, divide};
use super::split::{Split, split};
use super::systemd::{Job, Line, Progress, StartScope, Systemd};
use super::usage::Usage;
use super::{Directory, HELPER, Refused};
use crate::error::causes;
use crate::host::Host;
use crate::plan::cgroup::{Cgroup, Manager, Need};

/// The child's way into its group: [`prepare`](Self::prepare) before there is
/// a child, to be born in [`group`](Self::group), [`begin`](Self::begin) once
/// it and its watcher are there, and [`proceed`](Self::proceed) until it is
/// [`Done`](Progress::Done). Then the child may go on.
pub struct Placing<'a> {
    plan: &'a Cgroup,
    stage: Stage,
    /// What was not to be had and can be done without.
    notes: Vec<String>,
}

enum Stage {
    /// Our own group is there.
    Made(Placed),
    /// Connected to systemd.
    Connected(Line),
    /// The child is there, in our own group if the kernel has put it there.
    Born(Placed, Pid),
    /// Asked for a scope for the child and its watcher.
    Asked(Job, Pid, Option<Pid>),
    Over(Option<Placed>),
}

impl<'a> Placing<'a> {
    /// Makes the group, or connects to systemd, which hears who we are while
    /// the child is made.
    ///
    /// # Errors
    /// What is refused, and where systemd can't be reached.
    pub fn prepare(plan: &'a Cgroup) -> anyhow::Result<Self> {
        let mut placing = Self { plan, stage: Stage::Over(None), notes: Vec::new() };
        let stage = match &plan.manager {
            Manager::Systemd { bus, .. } => Systemd::at(bus).connect().map(Stage::Connected),
            Manager::Direct { parent, name } => {
                split(parent, name, plan).map(|split| Stage::Made(Placed(Kind::Ours(split))))
            }
            Manager::None => return Ok(placing),
        };
        if let Some(stage) = placing.bear(stage)? {
            placing.stage = stage;
        }
        Ok(placing)
    }

    /// The group that the child is to be born in. To move it there takes
    /// longer than all else in a start, some ticks of the kernel's clock: for
    /// a move the kernel waits until each processor has noticed that no
    /// process may be made meanwhile (`cgroup_threadgroup_rwsem`).
    pub fn group(&self) -> Option<BorrowedFd<'_>> {
        match &self.stage {
            Stage::Made(placed) => Some(placed.payload().as_fd()),
            _ => None,
        }
    }

    /// Begins with `child`, which waits for its gate, and `watcher`, which
    /// keeps the scope.
    ///
    /// # Errors
    /// Where systemd has hung up.
    pub fn begin(&mut self, child: Pid, watcher: Option<Pid>) -> anyhow::Result<()> {
        let begun = match self.take() {
            Stage::Made(placed) => Ok(Stage::Born(placed, child)),
            Stage::Connected(line) => self.ask(line, child, watcher),
            other => Ok(other),
        };
        self.stage = self.bear(begun)?.unwrap_or(Stage::Over(None));
        Ok(())
    }

    fn ask(&self, line: Line, child: Pid, watcher: Option<Pid>) -> anyhow::Result<Stage> {
        let Manager::Systemd { unit, slice, .. } = &self.plan.manager else {
            bail!("systemd is not to be asked");
        };
        let job = line.start_scope(&StartScope {
            unit,
            slice: slice.as_deref(),
            description: "A container of sublet",
            pids: &[child].into_iter().chain(watcher).collect::<Vec<_>>(),
            delegate: true,
            properties: &self.plan.properties,
        })?;
        Ok(Stage::Asked(job, child, watcher))
    }

    /// Whether the child has a gate to wait at.
    pub fn has_gate(&self) -> bool {
        self.plan.is_own()
    }

    /// Whether systemd is to move the child, which it does only for the
    /// process's own user.
    pub fn asks_systemd(&self) -> bool {
        matches!(self.stage, Stage::Connected(_))
    }

    /// What has to be waited for before it [`proceed`](Self::proceed)s, and
    /// until when; nothing where it needs nobody.
    pub fn awaited(&self) -> Option<(BorrowedFd<'_>, PollFlags, Instant)> {
        match &self.stage {
            Stage::Asked(job, ..) => Some((job.as_fd(), job.interest(), job.deadline())),
            _ => None,
        }
    }

    /// Goes on as far as it can without waiting for others.
    ///
    /// # Errors
    /// What systemd or the kernel refuses.
    pub fn proceed(&mut self, host: &Host) -> anyhow::Result<Progress> {
        let placed = match self.take() {
            Stage::Born(placed, child) => placed.take_in(child),
            Stage::Asked(mut job, child, watcher) => match job.proceed() {
                Ok(Progress::Waiting) => {
                    self.stage = Stage::Asked(job, child, watcher);
                    return Ok(Progress::Waiting);
                }
                Ok(Progress::Done) => self.complete(child, watcher, host),
                Err(error) => {
                    job.call_off();
                    Err(error)
                }
            },
            other => {
                self.stage = other;
                return Ok(Progress::Done);
            }
        };
        self.stage = Stage::Over(self.bear(placed)?);
        Ok(Progress::Done)
    }

    /// Does in the scope what systemd has left to us.
    fn complete(&self, child: Pid, watcher: Option<Pid>, host: &Host) -> anyhow::Result<Placed> {
        let (child, watcher) = (child.as_raw(), watcher.map(Pid::as_raw));
        let scope = host.cgroups()?.of_process(child)?;
        if let Manager::Systemd { unit, .. } = &self.plan.manager {
            let place = scope.display();
            ensure!(scope.ends_with(unit), "systemd made {unit}, but the child is in {place}");
        }
        Ok(Placed(Kind::Scope(divide(&scope, self.plan, child, watcher)?)))
    }

    fn take(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Over(None))
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
        if let Stage::Asked(job, ..) = self.take() {
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

impl Placed {
    /// Moves `child` here, if it was not born here.
    fn take_in(self, child: Pid) -> anyhow::Result<Self> {
        let child = child.as_raw();
        if !self.payload().processes()?.contains(&child) {
            self.payload().add_process(child).context("move the container to its cgroup")?;
        }
        Ok(self)
    }

    /// What the container uses and has used.
    pub fn usage(&self) -> Usage {
        Usage::read(match &self.0 {
            Kind::Ours(split) => split.limited(),
            Kind::Scope(scope) => scope.limited(),
        })
    }

    /// Moves a helper of the container to a leaf beside it, whatever it uses
    /// being the container's.
    ///
    /// # Errors
    /// Where it may not be moved: from a login session into a scope, because
    /// the nearest cgroup above both is root's.
    pub fn take_helper(&self, helper: Pid) -> Result<(), Refused> {
        let limited = match &self.0 {
            Kind::Ours(split) => split.limited(),
            Kind::Scope(scope) => scope.limited(),
        };
        limited.make_or_open(HELPER)?.add_process(helper.as_raw())
    }

    /// Lets it live on without us.
    pub fn leave(self) {
        // Its drop would end it. What it holds of ours the kernel takes back.
        std::mem::forget(self);
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
        let _ = self.payload().kill();
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
        placing.begin(Pid::this(), Some(Pid::this()))?;
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
