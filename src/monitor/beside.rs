//! Staying with a program that runs in a container beside its payload.

use std::os::fd::AsFd;

use anyhow::{Context, bail};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::signals::{Forwarder, Sent, stop_too};
use super::terminal::Terminal;
use crate::child::keeper::Word;
use crate::launch::enter::Entered;
use crate::spec::keys::Keys;
use crate::sys::Errno;
use crate::sys::process::Ended;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has ended, with this code as the field counts.
    Ended(u8),
    /// It goes on without us.
    Left,
}

/// Stays until it ends, or until `keys` are typed; `listening` to what is typed.
///
/// # Errors
/// Where nobody knows how it has ended.
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
        None => bail!("the process that waited for the program was killed: nobody knows its code"),
    }
}

/// Lets it go on in the background.
pub fn leave(entered: Entered) {
    let Entered { program, terminal, keeper, .. } = entered;
    program.leave();
    keeper.leave(terminal.as_ref().map(AsFd::as_fd));
}
