//! `sublet attach`: the caller's streams on a container in the background; and
//! those of who has started it and stays.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, anyhow, bail};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal as Named, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::signal::kill;
use crate::child::guard::Guard;
use crate::control::{Answer, Asked, ENDED, ERR, NOTE, OUT, Request, STOPPED, ask};
use crate::error::Explain;
use crate::monitor::sender;
use crate::spec::keys::Keys;
use crate::spec::signal::Signal;
use crate::state::happening::{What, note};
use crate::state::{Life, Record, Sender, Sent, Store};
use crate::sys::fd::{self, Patience, standard};
use crate::sys::tty::{RawMode, copy_size, in_background, is_terminal, stop_as_background};
use crate::sys::{Errno, process};

/// How somebody is attached.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// With his standard input.
    pub input: bool,
    /// What he types to leave, if anything.
    pub keys: Option<Keys>,
    /// Whether signals to us are for the payload.
    pub proxy: bool,
}

/// How somebody stays with the container that he starts.
#[derive(Clone, Debug)]
pub struct Foreground {
    /// With his standard input.
    pub input: bool,
    /// What he types to leave, where that can be.
    pub keys: Option<Keys>,
    /// Whether the container ends with his process, unless he leaves it.
    pub ends: bool,
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
            let signals = if wanted.proxy { To::Record(store, record) } else { To::Nobody };
            let tell = |_: &str| ();
            let speech = Speech { socket, input, terminal };
            let attached = Attached::begin(speech, wanted.keys, signals, &tell)?;
            // What can't be written down is not told.
            let _ = note(directory.as_fd(), What::Attach);
            let outcome = attached.stay()?;
            if outcome == Outcome::Left {
                let _ = note(directory.as_fd(), What::Detach);
            }
            Ok(outcome)
        }
        _ => bail!("the supervisor of {label} answers something else"),
    }
}

/// Stays with a container that was started behind a supervisor, by the `line`
/// to that. Calls `tell` with what the caller is to hear.
///
/// # Errors
/// A supervisor that has been killed; what the caller's streams say.
pub(super) fn stay(
    line: OwnedFd,
    foreground: Foreground,
    tell: &dyn Fn(&str),
) -> anyhow::Result<Outcome> {
    let mut packet = [0; 1024];
    let (length, descriptor) = loop {
        match fd::receive(line.as_fd(), &mut packet) {
            Err(Errno::EINTR) => {}
            received => break received.context("hear the supervisor")?,
        }
    };
    let answer = serde_json::from_slice(&packet[..length]);
    let Ok(Answer::Attached { terminal }) = answer else {
        bail!("the container's supervisor has ended without a word");
    };
    let Foreground { input, keys, ends, proxy } = foreground;
    let input = descriptor.filter(|_| input);
    let speech = Speech { socket: line, input, terminal };
    let to = if proxy { To::Line { ends } } else { To::Nobody };
    Attached::begin(speech, keys, to, tell)?.stay()
}

/// What connects us with the payload.
struct Speech {
    socket: OwnedFd,
    /// How it is spoken to; no more once our input has ended.
    input: Option<OwnedFd>,
    /// Whether that is a terminal.
    terminal: bool,
}

/// For whom signals are that come to us.
#[derive(Clone, Copy)]
enum To<'a> {
    /// For us, who end.
    Nobody,
    /// For the payload of that container, unless the caller's terminal is its.
    Record(&'a Store, &'a Record),
    /// For the payload, by the supervisor; the same where it goes on without us.
    Line {
        /// It ends with us.
        ends: bool,
    },
}

struct Attached<'a> {
    socket: OwnedFd,
    input: Option<OwnedFd>,
    terminal: bool,
    signals: SignalFd,
    keys: Option<Keys>,
    to: To<'a>,
    tell: &'a dyn Fn(&str),
    /// What was typed and not yet taken.
    typed: Vec<u8>,
    /// What was said and not yet written, and to which stream.
    said: (i32, Vec<u8>),
    /// Whether somebody still reads it.
    speaking: bool,
    raw: Option<(RawMode, Guard)>,
}

/// What a pipe or a terminal takes at once after poll(2) has said that it can
/// be written (`PIPE_BUF`, pipe(7)).
const AT_ONCE: usize = 4096;

impl<'a> Attached<'a> {
    fn begin(
        speech: Speech,
        keys: Option<Keys>,
        to: To<'a>,
        tell: &'a dyn Fn(&str),
    ) -> anyhow::Result<Self> {
        let Speech { socket, input, terminal } = speech;
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
        let keys = keys.filter(|_| ours);
        let to = match to {
            To::Record(..) | To::Line { ends: false } if ours => To::Nobody,
            to => to,
        };
        let (typed, said, speaking) = (Vec::new(), (1, Vec::new()), true);
        let attached =
            Self { socket, input, terminal, signals, keys, to, tell, typed, said, speaking, raw };
        attached.follow_size();
        Ok(attached)
    }

    /// Gives the payload's terminal the size of ours.
    fn follow_size(&self) {
        if let Some(input) = self.input.as_ref().filter(|_| self.terminal) {
            let _ = (0..=2).find(|number| copy_size(standard(*number), input.as_fd()).is_ok());
        }
    }

    fn stay(mut self) -> anyhow::Result<Outcome> {
        loop {
            let listening = self.input.is_some() && self.typed.is_empty();
            let hearing = self.said.1.is_empty();
            let first = match hearing {
                true => PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
                false => PollFd::new(standard(self.said.0), PollFlags::POLLOUT),
            };
            let mut ready = vec![first, PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
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
            if said && hearing {
                if let Some(outcome) = self.hear()? {
                    return Ok(outcome);
                }
            } else if said && let Some(outcome) = self.pass_on()? {
                return Ok(outcome);
            }
            if signalled && let Some(outcome) = self.heed()? {
                return Ok(outcome);
            }
            if input && listening {
                if self.read()? {
                    return Ok(self.leave());
                }
            } else if input {
                self.write();
            }
        }
    }

    /// Gives the caller his terminal back, and lets the container go on.
    fn leave(self) -> Outcome {
        let Self { socket, to, raw, .. } = self;
        // First of all: whatever ends us from here on, he has left.
        let said = matches!(to, To::Line { .. }) && say(socket.as_fd(), &Request::Leave).is_ok();
        drop(raw);
        if said {
            // Until that is written down.
            let mut rest = [0; 1024];
            while fd::wait_readable([socket.as_fd()], Patience::Seconds) == Ok([true])
                && fd::receive(socket.as_fd(), &mut rest).is_ok_and(|(length, _)| length > 0)
            {
            }
        }
        Outcome::Left
    }

    /// Hears what the payload has said, or the supervisor.
    fn hear(&mut self) -> anyhow::Result<Option<Outcome>> {
        let mut packet = [0; 32 << 10];
        let length = match fd::receive(self.socket.as_fd(), &mut packet) {
            Ok((length, _)) => length,
            // ECONNRESET: it has ended without reading all that we have said. The
            // kernel tells that once, and before what is still to be heard.
            Err(Errno::EINTR | Errno::EAGAIN | Errno::ECONNRESET) => return Ok(None),
            Err(errno) => return Err(errno).context("hear the supervisor"),
        };
        let to = match packet[..length] {
            [OUT, ..] => 1,
            [ERR, ..] => 2,
            [ENDED, code, ..] => return Ok(Some(Outcome::Ended(code))),
            [NOTE, ..] => {
                self.raw.iter().for_each(|(raw, _)| raw.leave());
                (self.tell)(&String::from_utf8_lossy(&packet[1..length]));
                self.raw.iter().for_each(|(raw, _)| raw.again());
                return Ok(None);
            }
            [STOPPED] => {
                self.stop();
                return Ok(None);
            }
            _ => bail!("the container's supervisor has ended without a word"),
        };
        if self.speaking {
            self.said = (to, packet[1..length].to_vec());
        }
        Ok(None)
    }

    /// Writes what was said, as far as that is taken now.
    fn pass_on(&mut self) -> anyhow::Result<Option<Outcome>> {
        let (to, said) = &mut self.said;
        match fd::write(standard(*to), &said[..said.len().min(AT_ONCE)]) {
            Ok(length) => {
                said.drain(..length);
                Ok(None)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            // Nobody reads any more. It goes on all the same where it is to end
            // with us, and a signal says that; else there is nobody to be
            // attached.
            Err(Errno::EPIPE | Errno::EIO) => {
                said.clear();
                self.speaking = false;
                Ok((!matches!(self.to, To::Line { ends: true })).then_some(Outcome::Left))
            }
            Err(errno) => Err(errno).context("write what it has said"),
        }
    }

    /// Stops with the payload, so that the caller's shell sees a stopped job;
    /// then the terminal is his again.
    fn stop(&self) {
        self.raw.iter().for_each(|(raw, _)| raw.leave());
        // What lets us go on is a SIGCONT, which comes by the descriptor too.
        let _ = raise(Named::SIGSTOP);
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
            Err(Errno::EINTR | Errno::EAGAIN) => Ok(false),
            Ok(0) | Err(_) => {
                if self.terminal {
                    // The key that ends input there.
                    self.typed = vec![4];
                    self.write();
                }
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
    fn heed(&mut self) -> anyhow::Result<Option<Outcome>> {
        while let Some(info) = self.signals.read_signal().context("read a signal")? {
            let number = info.ssi_signo as i32;
            if number == libc::SIGCONT {
                self.raw.iter().for_each(|(raw, _)| raw.again());
            }
            match (number, self.to) {
                (libc::SIGWINCH, _) => self.follow_size(),
                (libc::SIGPIPE | libc::SIGURG, _) => {}
                (_, To::Line { .. }) => {
                    self.follow_size();
                    let sent = sender::sent(&info);
                    let sent = sent.unwrap_or(Sent { signal: number, by: Sender::Kernel });
                    // One that is gone is heard of.
                    let _ = say(self.socket.as_fd(), &Request::Signal(sent));
                }
                (libc::SIGCONT, _) => self.follow_size(),
                (libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU, _) => self.stop(),
                (_, To::Record(store, record)) => _ = kill(store, record, Signal(number)),
                (_, To::Nobody) => return Ok(Some(Outcome::Signalled(number))),
            }
        }
        Ok(None)
    }
}

fn say(line: BorrowedFd<'_>, request: &Request) -> anyhow::Result<()> {
    Ok(fd::write_all(line, &serde_json::to_vec(request)?)?)
}
