//! The payload's terminal and the caller's, end to end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use super::buffer::{Buffer, Filled};
use crate::spec::keys::Keys;
use crate::sys::Errno;
use crate::sys::fd::standard;
use crate::sys::tty::{
    RawMode, copy_size, in_background, is_terminal, open_peer, stop_as_background,
};

/// The end-of-file character (termios(3), `VEOF`).
const CTRL_D: u8 = 4;

/// Relays between the master of the payload's pty and our standard streams.
pub struct Terminal {
    master: OwnedFd,
    /// The other end: as long as somebody has it open there is no hang-up, so
    /// a payload that closes its terminal can open it again.
    _peer: OwnedFd,
    /// The caller's terminal is raw as long as this lives.
    raw: Option<RawMode>,
    input: Buffer,
    output: Buffer,
    /// What leaves the terminal when it is typed, and whether it was.
    keys: Option<Keys>,
    left: bool,
    /// Whether more input can come.
    listening: bool,
    /// Whether the caller still takes output.
    speaking: bool,
    /// Whether the payload may still say something.
    open: bool,
}

impl Terminal {
    /// Takes the caller's terminal, if it has one; `listening` to what is typed
    /// there.
    pub fn new(master: OwnedFd, listening: bool) -> anyhow::Result<Self> {
        Self::leaving(master, listening, None)
    }

    /// The same, until `keys` are typed.
    pub fn leaving(master: OwnedFd, listening: bool, keys: Option<Keys>) -> anyhow::Result<Self> {
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_RDWR))
            .context("set up the terminal")?;
        let peer = open_peer(master.as_fd()).context("keep the terminal open")?;
        let raw = (listening && is_terminal(standard(0)))
            .then(|| RawMode::enter(standard(0)).context("put the terminal into raw mode"))
            .transpose()?;
        let terminal = Self {
            master,
            _peer: peer,
            raw,
            input: Buffer::new(),
            output: Buffer::new(),
            keys,
            left: false,
            listening,
            speaking: true,
            open: true,
        };
        terminal.follow_size();
        Ok(terminal)
    }

    /// Whether the keys were typed that leave it.
    pub fn is_left(&self) -> bool {
        self.left && self.input.is_empty()
    }

    /// Gives the caller its terminal back; the other end is somebody else's.
    pub fn give_up(self) -> OwnedFd {
        let Self { master, raw, .. } = self;
        drop(raw);
        master
    }

    /// Gives the caller its terminal back as it was, for as long as we are
    /// stopped.
    pub fn pause(&self) {
        if let Some(raw) = &self.raw {
            raw.leave();
        }
    }

    /// Takes the caller's terminal again: whoever had it in the meantime may
    /// have changed it, and its size.
    pub fn resume(&mut self) {
        if let Some(raw) = &self.raw {
            raw.again();
            self.listening = true;
        }
        self.follow_size();
    }

    /// Gives the payload's terminal the size of the caller's.
    pub fn follow_size(&self) {
        // Without a terminal there is no size to follow.
        let _ = (0..=2).find(|number| copy_size(standard(*number), self.master.as_fd()).is_ok());
    }

    /// What to wait for. A descriptor with nothing to wait for is not named:
    /// poll(2) would report its hang-up again and again.
    pub fn interests(&self) -> Vec<PollFd<'_>> {
        let mut interests = Vec::with_capacity(3);
        let mut master = PollFlags::empty();
        if self.output.is_empty() {
            master |= PollFlags::POLLIN;
        } else {
            interests.push(PollFd::new(standard(1), PollFlags::POLLOUT));
        }
        if !self.input.is_empty() {
            master |= PollFlags::POLLOUT;
        } else if self.listening {
            interests.push(PollFd::new(standard(0), PollFlags::POLLIN));
        }
        if self.open && !master.is_empty() {
            interests.push(PollFd::new(self.master.as_fd(), master));
        }
        interests
    }

    /// Moves what can be moved now.
    pub fn relay(&mut self) -> anyhow::Result<()> {
        self.relay_output().context("relay the terminal's output")?;
        self.relay_input().context("relay the terminal's input")
    }

    fn relay_output(&mut self) -> crate::sys::Result<()> {
        if self.open
            && self.output.is_empty()
            && ready(self.master.as_fd(), PollFlags::POLLIN)
            && self.output.fill(self.master.as_fd())? == Filled::End
        {
            self.open = false;
        }
        if !self.speaking {
            // Nobody reads: what the payload says is dropped, so that it does
            // not wait for ever.
            self.output = Buffer::new();
        }
        if !self.output.is_empty() && ready(standard(1), PollFlags::POLLOUT) {
            self.speaking = self.output.drain(standard(1)).is_ok();
        }
        Ok(())
    }

    fn relay_input(&mut self) -> crate::sys::Result<()> {
        let comes =
            self.listening && self.input.is_empty() && ready(standard(0), PollFlags::POLLIN);
        if comes && self.raw.is_some() && in_background(standard(0)) {
            // What is typed is for the foreground job. As the kernel does to
            // any other program that reads here, we stop; where nobody could
            // let us go on, there is no more input.
            stop_as_background();
            self.listening = !in_background(standard(0));
        } else if comes && self.read_input().unwrap_or(Filled::End) == Filled::End {
            self.listening = false;
            self.input.put(CTRL_D);
        }
        if !self.input.is_empty() && ready(self.master.as_fd(), PollFlags::POLLOUT) {
            self.input.drain(self.master.as_fd())?;
        }
        Ok(())
    }

    fn read_input(&mut self) -> crate::sys::Result<Filled> {
        let Some(keys) = &mut self.keys else { return self.input.fill(standard(0)) };
        let (filled, left) = self.input.fill_through(standard(0), keys)?;
        self.left |= left;
        // What is typed from now on is somebody else's.
        self.listening &= !left;
        Ok(filled)
    }

    /// Brings what the payload has said before its end to the caller, however
    /// slowly that reads, unless a signal ends the wait; then gives the caller
    /// its terminal back.
    pub fn finish(mut self, signals: &SignalFd) {
        while self.relay_output().is_ok() && self.speaking {
            if !self.output.is_empty() {
                let mut either = [
                    PollFd::new(standard(1), PollFlags::POLLOUT),
                    PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                ];
                let waited = poll(&mut either, PollTimeout::NONE);
                let signalled = either[1].any().unwrap_or(true) && is_told_to_end(signals);
                if signalled || !matches!(waited, Ok(_) | Err(Errno::EINTR)) {
                    break;
                }
            } else if !self.open || !ready(self.master.as_fd(), PollFlags::POLLIN) {
                break;
            }
        }
        drop(self.raw.take());
    }
}

/// Whether a signal has come that ends a program.
fn is_told_to_end(signals: &SignalFd) -> bool {
    std::iter::from_fn(|| signals.read_signal().ok().flatten())
        .any(|info| super::signals::ends(info.ssi_signo as i32))
}

fn ready(fd: BorrowedFd<'_>, what: PollFlags) -> bool {
    let mut one = [PollFd::new(fd, what)];
    poll(&mut one, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}
