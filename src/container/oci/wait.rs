//! `run` in the foreground: staying with a container that we have made.

use std::os::fd::AsFd;

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::sys::Errno;
use crate::sys::process::{self, Ended};

/// Passes signals on to `payload`, a child of ours, until it ends: its code, or
/// 128 and the number of the signal that killed it.
///
/// # Errors
/// Where it can't be waited for.
pub fn stay(payload: Pid) -> anyhow::Result<u8> {
    let pidfd = process::open_pidfd(payload).context("wait for the container")?;
    // Blocked since it was made, so that none is lost.
    let signals = SignalFd::with_flags(
        &process::forwarded_signals(),
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )
    .context("make a descriptor for signals")?;
    loop {
        let mut polled =
            [&pidfd.as_fd(), &signals.as_fd()].map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno).context("wait for the container"),
        }
        if polled[0].any().unwrap_or(true) {
            let ended = process::wait(pidfd.as_fd()).context("wait for the container")?;
            return Ok(match ended {
                Ended::Exited(code) => code as u8,
                Ended::Killed(signal) => 128_u8.wrapping_add(signal as u8),
            });
        }
        while let Some(info) = signals.read_signal().context("read a signal")? {
            // One that has ended hears nothing any more.
            let _ = process::send_signal(pidfd.as_fd(), info.ssi_signo as i32);
        }
    }
}
