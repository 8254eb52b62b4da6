//! Staying with the payload: signals on, terminal through, exit code back.
#![forbid(unsafe_code)]

mod buffer;
mod signals;
mod terminal;

use std::os::fd::AsFd;

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::launch::{Launched, Timing};
use crate::sys::Errno;
use crate::sys::process::Ended;
pub use signals::First;
use signals::{Forwarder, Sent};
use terminal::Terminal;

/// What became of the payload.
#[derive(Debug)]
pub struct Exit {
    /// The exit code, as the field counts: the payload's own, or 128 and the
    /// number of the signal that killed it.
    pub code: u8,
    /// Where the time went.
    pub timing: Timing,
}

/// Which end of the terminal the caller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The caller's standard input goes to the payload.
    Attached,
    /// It does not.
    Detached,
}

/// Stays until the payload ends.
pub fn supervise(launched: Launched, input: Input, first: First) -> anyhow::Result<Exit> {
    let Launched { mut payload, signals, terminal, mut timing, watcher } = launched;
    let mut terminal = terminal.map(|master| Terminal::new(master, input)).transpose()?;
    let mut forwarder = Forwarder::new(payload.pid(), first);
    loop {
        let mut ready = vec![
            PollFd::new(payload.pidfd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(terminal) = &terminal {
            ready.extend(terminal.interests());
        }
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno).context("wait for the payload"),
        }
        let ended = ready[0].any().unwrap_or(true);
        drop(ready);
        if let Some(terminal) = &mut terminal {
            terminal.relay()?;
        }
        if ended {
            break;
        }
        while let Some(info) = signals.read_signal().context("read a signal")? {
            let number = info.ssi_signo as i32;
            if let (nix::libc::SIGWINCH, Some(terminal)) = (number, &terminal) {
                terminal.follow_size();
                continue;
            }
            if forwarder.forward(number, payload.pidfd()) == Sent::Stopped {
                signals::stop_too(payload.pidfd());
            }
        }
    }
    let ended = payload.wait().context("wait for the payload")?;
    timing.ended();
    if let Some(terminal) = terminal {
        terminal.finish();
    }
    drop(watcher);
    let code = match ended {
        Ended::Exited(code) => code,
        Ended::Killed(signal) => 128 + forwarder.cause_of(signal),
    };
    Ok(Exit { code: code as u8, timing })
}
