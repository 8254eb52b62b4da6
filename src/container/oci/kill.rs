//! `kill`: a signal for a container.

use std::os::fd::AsFd;

use anyhow::{Context, bail};

use super::Runtime;
use super::status::{Status, look};
use crate::spec::ContainerId;
use crate::spec::signal::Signal;
use crate::sys::{Errno, process};

impl Runtime {
    /// Sends the signal to the container's first process.
    ///
    /// # Errors
    /// Where the container is over, or there is none of that id.
    pub fn kill(&self, id: &ContainerId, signal: Signal) -> anyhow::Result<()> {
        let found = self.find(id)?;
        let (Status::Created | Status::Running | Status::Paused, Some(payload)) = look(&found)?
        else {
            bail!("container not running: {id} is stopped");
        };
        match process::send_signal(payload.as_fd(), signal.0) {
            // It has ended meanwhile.
            Err(Errno::ESRCH) => bail!("container not running: {id} is stopped"),
            sent => sent.with_context(|| format!("send signal {} to container {id}", signal.0)),
        }
    }
}
