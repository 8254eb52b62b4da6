//! `sublet attach`: the caller's streams on a container in the background.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, anyhow, bail};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal as Named, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::signal::kill;
use crate::child::guard::Guard;
use crate::control::{Answer, Asked, ENDED, ERR, OUT, Request, ask};
use crate::error::Explain;
use crate::spec::keys::Keys;
use crate::spec::signal::Signal;
use crate::state::{Life, Record, Store};
use crate::sys::fd::{self, standard};
use crate::sys::tty::{RawMode, copy_size, in_background, is_terminal, stop_as_background};
use crate::sys::{Errno, process};

/// How somebody is attached.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// With his standard input.
    pub input: bool,
    /// What he types to leave.
    pub keys: Keys,
    /// Whether signals to us are for the payload.
    pub proxy: bool,
}

/// How it came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The payload has ended, with this code.
    Ended(u8),
    /// It goes on without us.
    Left,
    /// A signal has ended us; it goes on.
    Signalled(i32),
}

/// Attaches the caller until the container ends, or he leaves.
///
/// # Errors
/// A container that does not run in the background; what the caller's streams
/// say.
pub fn attach(store: &Store, record: &Record, wanted: Wanted) -> anyhow::Result<Outcome> {
    let label = record.label();
    let over = || {
        Err(anyhow!("container {label} is not running"))
            .hint(format!("sublet start {label} starts it; sublet logs {label} shows what it said"))
    };
    if !matches!(record.life, Life::Running { .. }) {
        return over();
    }
    if !record.upkeep.background {
        return Err(anyhow!("container {label} runs in the foreground of its caller"))
            .hint("sublet run -d runs one in the background");
    }
    let directory = store.directory(record)?;
    let asked = ask(directory.as_fd(), &Request::Attach);
    let asked = asked.with_context(|| format!("attach to container {label}"))?;
    // It has just ended, and its record is about to say so.
    let Some(Asked { answer, descriptor, socket }) = asked else { return over() };
    match answer {
        Answer::Attached { terminal } => {
            let input = descriptor.filter(|_| wanted.input);
            Attached::begin(socket, input, terminal, wanted)?.stay(store, record)
        }
        _ => bail!("the supervisor of {label} answers something else"),
    }
}

struct Attached {
    socket: OwnedFd,
    /// How the payload is spoken to; no more once our input has ended.
    input: Option<OwnedFd>,
    terminal: bool,
    signals: SignalFd,
    keys: Option<Keys>,
    proxy: bool,
    /// What was typed and not yet taken.
    typed: Vec<u8>,
    raw: Option<(RawMode, Guard)>,
}

impl Attached {
    fn begin(
        socket: OwnedFd,
        input: Option<OwnedFd>,
        terminal: bool,
        wanted: Wanted,
    ) -> anyhow::Result<Self> {
        let forwarded = process::forwarded_signals();
        forwarded.thread_block().context("block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&forwarded, flags).context("hear signals")?;
        let ours = terminal && input.is_some() && is_terminal(standard(0));
        let raw = match ours {
            true => {
                let guard = Guard::start(standard(0)).context("guard the terminal")?;
                let raw = RawMode::enter(standard(0)).context("put the terminal into raw mode")?;
                Some((raw, guard))
            }
            false => None,
        };
        let keys = ours.then_some(wanted.keys);
        let proxy = wanted.proxy && !ours;
        let typed = Vec::new();
        let attached = Self { socket, input, terminal, signals, keys, proxy, typed, raw };
        attached.follow_size();
        Ok(attached)
    }

    /// Gives the payload's terminal the size of ours.
    fn follow_size(&self) {
        if let Some(input) = self.input.as_ref().filter(|_| self.terminal) {
            let _ = (0..=2).find(|number| copy_size(standard(*number), input.as_fd()).is_ok());
        }
    }

    fn stay(mut self, store: &Store, record: &Record) -> anyhow::Result<Outcome> {
        loop {
            let listening = self.input.is_some() && self.typed.is_empty();
            let mut ready = vec![
                PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            if listening {
                ready.push(PollFd::new(standard(0), PollFlags::POLLIN));
            } else if let Some(input) = &self.input {
                ready.push(PollFd::new(input.as_fd(), PollFlags::POLLOUT));
            }
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).context("wait for the container"),
            }
            let news = |at: usize| ready.get(at).and_then(PollFd::any).unwrap_or(false);
            let (said, signalled, input) = (news(0), news(1), news(2));
            drop(ready);
            if said && let Some(outcome) = self.hear()? {
                return Ok(outcome);
            }
            if signalled && let Some(outcome) = self.heed(store, record)? {
                return Ok(outcome);
            }
            if input && listening {
                if self.read()? {
                    return Ok(Outcome::Left);
                }
            } else if input {
                self.write();
            }
        }
    }

    /// Passes on what the payload has said.
    fn hear(&mut self) -> anyhow::Result<Option<Outcome>> {
        let mut packet = [0; 32 << 10];
        let length = match fd::receive(self.socket.as_fd(), &mut packet) {
            Ok((length, _)) => length,
            Err(Errno::EINTR | Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno).context("hear the supervisor"),
        };
        let to = match packet[..length] {
            [OUT, ..] => 1,
            [ERR, ..] => 2,
            [ENDED, code, ..] => return Ok(Some(Outcome::Ended(code))),
            _ => bail!("the container's supervisor has ended without a word"),
        };
        match fd::write_all(standard(to), &packet[1..length]) {
            // Nobody reads any more: then there is nobody to be attached.
            Err(Errno::EPIPE | Errno::EIO) => Ok(Some(Outcome::Left)),
            written => written.map(|()| None).context("write what it has said"),
        }
    }

    /// Reads what was typed; true if the caller leaves.
    fn read(&mut self) -> anyhow::Result<bool> {
        if self.raw.is_some() && in_background(standard(0)) {
            // What is typed is for the foreground job.
            stop_as_background();
            if in_background(standard(0)) {
                self.input = None;
            }
            return Ok(false);
        }
        let mut typed = [0; 4096];
        match fd::read(standard(0), &mut typed) {
            // In a terminal this is the key that ends input.
            Ok(0) if self.terminal => {
                self.typed = vec![4];
                self.write();
                self.input = None;
                Ok(false)
            }
            Ok(0) => {
                self.input = None;
                Ok(false)
            }
            Ok(length) => {
                let (passed, leaves) = match &mut self.keys {
                    Some(keys) => keys.take(&typed[..length]),
                    None => (typed[..length].to_vec(), false),
                };
                self.typed = passed;
                self.write();
                Ok(leaves)
            }
            Err(Errno::EINTR | Errno::EAGAIN) => Ok(false),
            Err(_) => {
                self.input = None;
                Ok(false)
            }
        }
    }

    /// Gives the payload what was typed, as far as it takes it now.
    fn write(&mut self) {
        let Some(input) = &self.input else { return self.typed.clear() };
        match fd::write(input.as_fd(), &self.typed) {
            Ok(taken) => _ = self.typed.drain(..taken),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => {
                self.typed.clear();
                self.input = None;
            }
        }
    }

    /// Does what signals want.
    fn heed(&mut self, store: &Store, record: &Record) -> anyhow::Result<Option<Outcome>> {
        while let Some(info) = self.signals.read_signal().context("read a signal")? {
            let number = info.ssi_signo as i32;
            match number {
                libc::SIGWINCH => self.follow_size(),
                libc::SIGCONT => {
                    self.raw.iter().for_each(|(raw, _)| raw.again());
                    self.follow_size();
                }
                libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
                    self.raw.iter().for_each(|(raw, _)| raw.leave());
                    let _ = raise(Named::SIGSTOP);
                }
                libc::SIGPIPE | libc::SIGURG => {}
                _ if self.proxy => _ = kill(store, record, Signal(number)),
                _ => return Ok(Some(Outcome::Signalled(number))),
            }
        }
        Ok(None)
    }
}
