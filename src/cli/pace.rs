//! Waiting between two readings, and for ctrl-C.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::sys::Errno;

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The time is over.
    Passed,
    /// The user has had enough.
    Interrupted,
}

/// SIGINT, from now on read and no more fatal: a table is not cut in half.
pub struct Pace(SignalFd);

impl Pace {
    pub fn new() -> anyhow::Result<Self> {
        let mut interrupt = SigSet::empty();
        interrupt.add(Signal::SIGINT);
        interrupt.thread_block().context("block SIGINT")?;
        let signals = SignalFd::with_flags(&interrupt, SfdFlags::SFD_CLOEXEC);
        Ok(Self(signals.context("make a descriptor for signals")?))
    }

    pub fn wait(&self, pause: Duration) -> anyhow::Result<Waited> {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // Rounded up, so that it is not called again for less than one.
            let left = left.as_nanos().div_ceil(1_000_000);
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, left) {
                Ok(0) => return Ok(Waited::Passed),
                Ok(_) => return Ok(Waited::Interrupted),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).context("wait for the next reading"),
            }
        }
    }
}
