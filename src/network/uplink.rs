//! A helper that runs, and what is done when it ends.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use anyhow::Context;
use nix::poll::PollFlags;
use nix::unistd::Pid;

use super::recipe::{Namespaces, Recipe};
use super::running::Running;
use super::{Progress, pasta, slirp4netns};
use crate::error::causes;
use crate::plan::network::{Driver, Helper};
use crate::sys::link;

/// The helper of one container. Dropped, it is gone.
pub struct Uplink {
    helper: Helper,
    namespaces: Namespaces,
    /// Until it has ended for good.
    running: Option<Running>,
    restarts: u32,
}

/// How often it is started again.
const RESTARTS: u32 = 1;

impl Uplink {
    /// Starts the helper for a network namespace.
    pub(super) fn start(helper: &Helper, network: OwnedFd) -> anyhow::Result<Self> {
        use std::os::fd::AsFd;
        let user = link::owner(network.as_fd()).context("look who owns the network namespace")?;
        let mut uplink = Self {
            helper: helper.clone(),
            namespaces: Namespaces { network, user },
            running: None,
            restarts: 0,
        };
        uplink.run()?;
        Ok(uplink)
    }

    fn run(&mut self) -> anyhow::Result<()> {
        self.running = None;
        self.running = Some(Running::start(&self.helper, self.recipe()?)?);
        Ok(())
    }

    fn recipe(&self) -> anyhow::Result<Recipe> {
        let (helper, namespaces) = (&self.helper, &self.namespaces);
        match &helper.driver {
            Driver::Slirp4netns { mtu, cidr, outbound, outbound6 } => {
                let outbound = [outbound.as_deref(), outbound6.as_deref()];
                slirp4netns::recipe(helper, *mtu, *cidr, outbound, namespaces)
            }
            Driver::Pasta { arguments, called_by_root } => {
                pasta::recipe(helper, arguments, *called_by_root, namespaces)
            }
        }
    }

    pub(super) fn awaited(&self) -> Option<(BorrowedFd<'_>, PollFlags, Instant)> {
        self.running.as_ref()?.awaited()
    }

    pub(super) fn proceed(&mut self) -> anyhow::Result<Progress> {
        match &mut self.running {
            Some(running) => running.proceed(&self.helper),
            None => Ok(Progress::Done),
        }
    }

    /// What has news once it has ended, says something or is ready again; nothing
    /// any more once it has ended for good.
    pub fn news(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let running = self.running.iter();
        running.flat_map(|running| {
            let ready = running.awaited().map(|(fd, ..)| fd);
            std::iter::once(running.pidfd()).chain(running.words()).chain(ready)
        })
    }

    /// Until when it has to be ready again, where it was started again.
    pub fn until(&self) -> Option<Instant> {
        self.awaited().map(|(.., until)| until)
    }

    /// The helper that runs now, good until it is [attended](Self::attend) to.
    pub fn pid(&self) -> Option<Pid> {
        self.running.as_ref().map(Running::pid)
    }

    /// Whether it has ended for good.
    pub fn is_down(&self) -> bool {
        self.running.is_none()
    }

    /// Looks after it when there is news: started again once where it has
    /// ended. What the user should hear.
    pub fn attend(&mut self) -> Option<String> {
        let running = self.running.as_mut()?;
        if !super::running::has_news(running.pidfd()) {
            if running.is_ready() {
                running.listen();
                return None;
            }
            let why = causes(&running.proceed(&self.helper).err()?);
            if !super::running::has_news(running.pidfd()) {
                self.running = None;
                return Some(format!("the container has no network any more: {why}"));
            }
        }
        let (name, said) = (self.helper.driver.name(), running.ended());
        if self.restarts < RESTARTS {
            self.restarts += 1;
            return Some(match self.run() {
                Ok(()) => format!("{name} has ended ({said}) and is started again"),
                Err(error) => {
                    let why = causes(&error);
                    format!("{name} has ended ({said}): the container has no network ({why})")
                }
            });
        }
        self.running = None;
        Some(format!("{name} has ended again ({said}): the container has no network any more"))
    }
}
