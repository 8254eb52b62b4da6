//! Puts a further process into the control group of a container that runs.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use anyhow::{Context, anyhow};
use nix::poll::PollFlags;
use nix::unistd::Pid;

use super::Directory;
use super::systemd::{Job, Progress, Systemd};
use crate::error::Explain;
use crate::host::Host;
use crate::plan::enter::Group;
use crate::sys::Errno;

/// A process's way into the group: to be born in [`directory`](Self::directory),
/// else [`begin`](Self::begin) once it is there, and
/// [`proceed`](Self::proceed) until that is [`Done`](Progress::Done).
#[derive(Debug)]
pub struct Joining<'a> {
    group: &'a Group,
    directory: Directory,
    job: Option<Job>,
}

impl<'a> Joining<'a> {
    /// Opens the group.
    ///
    /// # Errors
    /// Where it is not there: the container has ended.
    pub fn prepare(group: &'a Group) -> anyhow::Result<Self> {
        Ok(Self { group, directory: Directory::open(&group.directory)?, job: None })
    }

    /// Where the process is to be born.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Begins to move `process`, which was not born there for the reason
    /// `refused`. From another session or service than the container's only
    /// systemd can: what is above both is root's.
    ///
    /// # Errors
    /// Where nobody can: the container's limits would not hold for it.
    pub fn begin(&mut self, process: Pid, refused: Errno, host: &Host) -> anyhow::Result<Progress> {
        let what = || format!("put it into the container's control group {}", self.group);
        let Some((unit, at)) = &self.group.unit else {
            // A filter may keep a process from being born there, and this not.
            let moved = self.directory.add_process(process.as_raw());
            return moved.map(|()| Progress::Done).with_context(what).hint(
                "the container's group lies in that of the service or session that it was \
                 started in: enter it from there",
            );
        };
        let bus = match host.bus()? {
            Ok(bus) => bus,
            Err(advice) => {
                let told = anyhow!(advice.cause.clone());
                return Err(told).context(refused.desc()).with_context(what).hint(&*advice.hint);
            }
        };
        self.job = Some(Systemd::at(bus).begin_attach(unit, at, &[process]).with_context(what)?);
        self.proceed()
    }

    /// What has to be waited for before it [`proceed`](Self::proceed)s, and
    /// until when.
    pub fn awaited(&self) -> Option<(BorrowedFd<'_>, PollFlags, Instant)> {
        self.job.as_ref().map(|job| (job.as_fd(), job.interest(), job.deadline()))
    }

    /// Goes on as far as it can without waiting for others.
    ///
    /// # Errors
    /// What systemd refuses, or that it has not answered in time.
    pub fn proceed(&mut self) -> anyhow::Result<Progress> {
        let progress = self.job.as_mut().map_or(Ok(Progress::Done), Job::proceed);
        let what = || format!("put it into the container's control group {}", self.group);
        if progress.with_context(what)? == Progress::Waiting {
            return Ok(Progress::Waiting);
        }
        self.job = None;
        Ok(Progress::Done)
    }
}
