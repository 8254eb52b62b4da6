//! What the child waits for is done here, and its gates opened.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, anyhow};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;

use super::Launched;
use super::explain;
use super::spawn::Spawned;
use crate::child::report::Report;
use crate::error::Explain;
use crate::host::Host;
use crate::idmap;
use crate::plan::idmap::Idmap;
use crate::plan::step::Gate;
use crate::sys::{Errno, process};

/// Opens every gate as soon as that may be, and waits for the exec.
pub fn serve(mut spawned: Spawned, idmap: &Idmap, host: &Host) -> anyhow::Result<Launched> {
    // Signals that are for the payload, which does not run yet.
    let mut early = Vec::new();
    let mapped = idmap::begin(idmap, spawned.payload.pid(), host).and_then(|pending| {
        for helper in pending.helpers() {
            wait_for(helper, &spawned.signals, &mut early)?;
        }
        pending.finish()
    });
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
        wait_for(spawned.channel.as_fd(), &spawned.signals, &mut early)?;
        match spawned.channel.next()? {
            Some((Report::Mark(phase, at), _)) => spawned.timing.mark(phase, at),
            // The kernel leaves a descriptor out for which there is no room.
            Some((Report::Terminal, None)) => {
                return Err(anyhow!("no descriptor is left for the terminal"))
                    .hint("raise the limit: ulimit -n 1024");
            }
            Some((Report::Terminal, descriptor)) => terminal = descriptor,
            Some((Report::Stopped { at, part, errno }, _)) => {
                return Err(explain::stopped(&spawned.steps, at, part, errno, host));
            }
            None => break,
        }
    }
    spawned.timing.executed();
    // All are blocked, so they come out of the descriptor once more.
    early.into_iter().for_each(|number| process::kill(Pid::this(), number));
    let Spawned { payload, signals, timing, watcher, .. } = spawned;
    Ok(Launched { payload, signals, terminal, timing, watcher })
}

fn poll_now(spawned: &Spawned) -> bool {
    let mut channel = [PollFd::new(spawned.channel.as_fd(), PollFlags::POLLIN)];
    poll(&mut channel, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Waits until there is something to read, unless the user gives up first: a
/// source on a dead network file system, or a helper that asks a server which
/// does not answer, must not make ctrl-C useless.
fn wait_for(fd: BorrowedFd<'_>, signals: &SignalFd, early: &mut Vec<i32>) -> anyhow::Result<()> {
    loop {
        let mut ready =
            [PollFd::new(fd, PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno).context("wait for the child"),
        }
        if ready[0].any().unwrap_or(true) {
            return Ok(());
        }
        while let Some(info) = signals.read_signal().context("read a signal")? {
            let number = info.ssi_signo as i32;
            let gives_up = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
            if let Some(signal) = gives_up.iter().find(|signal| **signal as i32 == number) {
                return Err(anyhow!("stopped by {signal} before the payload ran"))
                    .exits_with(128 + number as u8);
            }
            early.push(number);
        }
    }
}
