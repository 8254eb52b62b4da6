//! What the child waits for is done here, and its gates opened.

use std::os::fd::AsFd;

use anyhow::{Context, anyhow};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::Launched;
use super::explain;
use super::spawn::Spawned;
use crate::child::report::Report;
use crate::error::Explain;
use crate::host::Host;
use crate::idmap;
use crate::plan::idmap::Idmap;
use crate::plan::step::Gate;
use crate::sys::Errno;

/// Opens every gate as soon as that may be, and waits for the exec.
pub fn serve(mut spawned: Spawned, idmap: &Idmap, host: &Host) -> anyhow::Result<Launched> {
    let mapped = idmap::begin(idmap, spawned.payload.pid(), host).and_then(idmap::Pending::finish);
    match mapped {
        Ok(()) => spawned.channel.open(Gate::Mapped),
        // The child may have stopped first, and then its story is the cause.
        Err(error) => {
            let heard = poll_now(&spawned).then(|| spawned.channel.next()).transpose()?.flatten();
            return Err(match heard {
                Some((Report::Stopped { at, part, errno }, _)) => {
                    explain::stopped(&spawned.steps, at, part, errno, host)
                }
                _ => error,
            });
        }
    }
    spawned.timing.mapped();
    let mut terminal = None;
    loop {
        wait_for_report(&spawned)?;
        match spawned.channel.next()? {
            Some((Report::Mark(phase, at), _)) => spawned.timing.mark(phase, at),
            Some((Report::Terminal, descriptor)) => terminal = descriptor,
            Some((Report::Stopped { at, part, errno }, _)) => {
                return Err(explain::stopped(&spawned.steps, at, part, errno, host));
            }
            None => break,
        }
    }
    spawned.timing.executed();
    let Spawned { payload, signals, timing, watcher, .. } = spawned;
    Ok(Launched { payload, signals, terminal, timing, watcher })
}

fn poll_now(spawned: &Spawned) -> bool {
    let mut channel = [PollFd::new(spawned.channel.as_fd(), PollFlags::POLLIN)];
    poll(&mut channel, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Waits for the child to say something, unless the user gives up first: a
/// source on a dead network file system must not make ctrl-C useless.
fn wait_for_report(spawned: &Spawned) -> anyhow::Result<()> {
    let mut signals_too = true;
    loop {
        let mut ready = [
            PollFd::new(spawned.channel.as_fd(), PollFlags::POLLIN),
            PollFd::new(spawned.signals.as_fd(), PollFlags::POLLIN),
        ];
        let count = if signals_too { 2 } else { 1 };
        match poll(&mut ready[..count], PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno).context("wait for the child"),
        }
        if ready[0].any().unwrap_or(true) {
            return Ok(());
        }
        // Another one, a window size say, waits for the payload to run.
        signals_too = false;
        if let Some(info) = spawned.signals.read_signal().context("read a signal")? {
            let number = info.ssi_signo as i32;
            let gives_up = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
            if let Some(signal) = gives_up.iter().find(|signal| **signal as i32 == number) {
                return Err(anyhow!("stopped by {signal} before the payload ran"))
                    .exits_with(128 + number as u8);
            }
        }
    }
}
