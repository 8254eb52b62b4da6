//! Staying with a program that runs in a container beside its payload.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, bail};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};

use super::signals::{Forwarder, Sent, stop_too};
use super::terminal::Terminal;
use crate::child::keeper::Word;
use crate::launch::enter::{Entered, Program};
use crate::launch::patience;
use crate::spec::keys::Keys;
use crate::sys::process::Ended;
use crate::sys::{Errno, fd};

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has ended, with this code as the field counts.
    Ended(u8),
    /// It goes on without us.
    Left,
    /// It has ended, and who knows how was killed.
    Lost,
}

/// What is said of one whose end nobody knows.
pub const LOST: &str = "the process that waited for the program was killed: nobody knows its code";

/// Stays until it ends, or until `keys` are typed; `listening` to what is typed.
///
/// # Errors
/// What the caller's streams say.
pub fn accompany(entered: Entered, listening: bool, keys: Option<Keys>) -> anyhow::Result<Outcome> {
    let Entered { program, signals, terminal, keeper } = entered;
    let mut terminal =
        terminal.map(|master| Terminal::leaving(master, listening, keys)).transpose()?;
    let mut forwarder = Forwarder::beside(program.pid);
    // The keeper may be killed: then the program goes on, and its end is seen.
    let mut kept = true;
    let ended = loop {
        let other = if kept { keeper.as_fd() } else { program.pidfd.as_fd() };
        let mut ready = vec![
            PollFd::new(other, PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        ready.extend(terminal.iter().flat_map(Terminal::interests));
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno).context("wait for the program"),
        }
        let said = ready[0].any().unwrap_or(true);
        drop(ready);
        if let Some(terminal) = &mut terminal {
            terminal.relay()?;
        }
        match said.then(|| if kept { keeper.hear() } else { Ok(None) }) {
            None => {}
            Some(Ok(Some(Word::Ended(ended)))) => break Some(ended),
            Some(Ok(Some(_))) => {}
            Some(_) if kept => kept = false,
            Some(_) => break None,
        }
        if terminal.as_ref().is_some_and(Terminal::is_left) {
            let master = terminal.map(Terminal::give_up);
            program.leave();
            keeper.leave(master.as_ref().map(AsFd::as_fd));
            return Ok(Outcome::Left);
        }
        while let Some(info) = signals.read_signal().context("read a signal")? {
            let number = info.ssi_signo as i32;
            match (number, &mut terminal) {
                (libc::SIGWINCH, Some(terminal)) => {
                    terminal.follow_size();
                    continue;
                }
                (libc::SIGCONT, Some(terminal)) => terminal.resume(),
                _ => {}
            }
            if forwarder.forward(number, program.pidfd.as_fd()) == Sent::Stopped {
                if let Some(terminal) = &terminal {
                    terminal.pause();
                }
                // What lets us go on is a SIGCONT, which comes here too.
                stop_too(program.pidfd.as_fd());
            }
        }
    };
    program.leave();
    if let Some(terminal) = terminal {
        terminal.finish(&signals);
    }
    match ended {
        Some(Ended::Exited(code)) => Ok(Outcome::Ended(code as u8)),
        Some(Ended::Killed(signal)) => Ok(Outcome::Ended((128 + signal) as u8)),
        None => Ok(Outcome::Lost),
    }
}

/// Stays until it ends, but not beyond `until`: then it is killed with its
/// process group. How it has ended, in its time, and the first `most` bytes that
/// come by `output`, which does not block.
///
/// # Errors
/// Where nobody knows how it has ended.
pub fn within(
    entered: Entered,
    output: &OwnedFd,
    most: usize,
    until: Option<Instant>,
) -> anyhow::Result<(Option<u8>, Vec<u8>)> {
    let Entered { program, keeper, .. } = entered;
    let (mut said, mut open) = (Vec::new(), true);
    let ended = loop {
        let mut ready = vec![PollFd::new(keeper.as_fd(), PollFlags::POLLIN)];
        if open {
            ready.push(PollFd::new(output.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut ready, patience(until)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("wait for the program"),
        }
        let news = |at: usize| ready.get(at).and_then(PollFd::any).unwrap_or(false);
        let (told, comes) = (news(0), news(1));
        drop(ready);
        if comes {
            open = take(output, &mut said, most).is_ok();
        }
        match told.then(|| keeper.hear()) {
            None if until.is_some_and(|until| until <= Instant::now()) => break None,
            None => {}
            Some(Ok(Some(Word::Ended(ended)))) => break Some(ended),
            Some(Ok(Some(_))) => {}
            Some(_) => bail!("the process that waited for the program was killed"),
        }
    };
    let code = match ended {
        Some(Ended::Exited(code)) => Some(code as u8),
        Some(Ended::Killed(signal)) => Some((128 + signal) as u8),
        None => {
            kill_group(&program);
            None
        }
    };
    // What it has said before its end. Who else has the pipe may go on.
    while open && take(output, &mut said, most) == Ok(true) {}
    program.leave();
    Ok((code, said))
}

/// Takes some of what it has said, of which `most` bytes are kept; whether there
/// was any.
fn take(output: &OwnedFd, said: &mut Vec<u8>, most: usize) -> crate::sys::Result<bool> {
    let mut some = [0; 4096];
    match fd::read(output.as_fd(), &mut some) {
        Ok(0) => Err(Errno::EPIPE),
        Ok(length) => {
            said.extend_from_slice(&some[..length.min(most - said.len())]);
            Ok(said.len() < most)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Kills it and what it has started, as far as that is in its group, which it
/// leads as it leads its session. As long as it has not ended its id is its own.
fn kill_group(program: &Program) {
    if fd::wait_readable([program.pidfd.as_fd()], fd::Patience::None) == Ok([false]) {
        let _ = killpg(program.pid, Signal::SIGKILL);
    }
}

/// Lets it go on in the background.
pub fn leave(entered: Entered) {
    let Entered { program, terminal, keeper, .. } = entered;
    program.leave();
    keeper.leave(terminal.as_ref().map(AsFd::as_fd));
}
