//! `kill`: a signal for a container.

use std::os::fd::AsFd;

use anyhow::{Context, bail};
use nix::libc;

use super::status::{Status, look};
use super::{Runtime, group};
use crate::spec::ContainerId;
use crate::spec::signal::Signal;
use crate::sys::{Errno, process};

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The container's first process.
    First,
    /// KILL is for all that is left of the container too.
    All,
}

impl Runtime {
    /// Sends the signal to the container's first process.
    ///
    /// # Errors
    /// Where there is none of that id; where the container is over, unless all
    /// were meant.
    pub fn kill(&self, id: &ContainerId, signal: Signal, whom: Whom) -> anyhow::Result<()> {
        let found = self.find(id)?;
        if whom == Whom::All {
            if signal.0 == libc::SIGKILL {
                group::kill(&found.bundle)?;
            }
            if look(&found)?.0 == Status::Stopped {
                return Ok(());
            }
        }
        let (Status::Created | Status::Running | Status::Paused, Some(payload)) = look(&found)?
        else {
            bail!("container not running: {id} is stopped");
        };
        match process::send_signal(payload.as_fd(), signal.0) {
            // It has ended meanwhile.
            Err(Errno::ESRCH) if whom == Whom::All => Ok(()),
            Err(Errno::ESRCH) => bail!("container not running: {id} is stopped"),
            sent => sent.with_context(|| format!("send signal {} to container {id}", signal.0)),
        }
    }
}
