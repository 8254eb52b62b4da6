//! Where the payload's output goes and its input comes from.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::PollFd;
use nix::sys::signalfd::SignalFd;

use super::background::Background;
use super::clients::{Clients, Speech};
use super::terminal::Terminal;

/// How long what was said before the payload's end is read: longer than a pipe
/// full of it takes, and no more if somebody has the payload's end of it who is
/// not in the container, and goes on.
const DRAIN: Duration = Duration::from_secs(5);

/// Which end of the payload's streams we have.
#[derive(Debug)]
pub enum Front {
    /// The caller is there. Of his streams the payload has the very same, but
    /// for a terminal of its own, of which his input goes to the payload.
    Attached,
    /// The same, but for the input.
    Listening,
    /// Nobody may be there.
    Background(Background),
}

/// What is done for it.
pub(super) enum Relay {
    /// Nothing: the streams are the caller's own.
    Nothing,
    /// To and from the caller's terminal.
    Terminal(Box<Terminal>),
    /// To whoever is there.
    Background(Background),
}

impl Relay {
    /// Begins, with our end of the payload's terminal, if it has one.
    pub fn begin(front: Front, master: Option<OwnedFd>) -> anyhow::Result<Self> {
        Ok(match (front, master) {
            (Front::Background(mut background), master) => {
                if let Some(master) = master {
                    background.take_terminal(master)?;
                }
                Self::Background(background)
            }
            (_, None) => Self::Nothing,
            (front, Some(master)) => {
                Self::Terminal(Box::new(Terminal::new(master, matches!(front, Front::Attached))?))
            }
        })
    }

    /// What to wait for.
    pub fn interests(&self) -> Vec<PollFd<'_>> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Terminal(terminal) => terminal.interests(),
            Self::Background(background) => background.interests(),
        }
    }

    /// How others speak to the payload, if they may.
    pub fn speech(&self) -> Option<Speech<'_>> {
        match self {
            Self::Nothing | Self::Terminal(_) => None,
            Self::Background(background) => Some(background.speech()),
        }
    }

    /// Moves what can be moved now; what is in the background, to `clients` as
    /// well.
    pub fn relay(&mut self, clients: Option<&mut Clients>) -> anyhow::Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Terminal(terminal) => terminal.relay(),
            Self::Background(background) => {
                background.relay(clients);
                Ok(())
            }
        }
    }

    /// Whether a signal is meant for us and not for the payload.
    pub fn takes(&mut self, signal: i32) -> bool {
        match (self, signal) {
            (Self::Terminal(terminal), libc::SIGWINCH) => {
                terminal.follow_size();
                true
            }
            (Self::Terminal(terminal), libc::SIGCONT) => {
                terminal.resume();
                false
            }
            _ => false,
        }
    }

    /// Whether we stop with the payload, so that the caller's shell sees it;
    /// then the terminal is his again.
    pub fn stops(&self) -> bool {
        if let Self::Terminal(terminal) = self {
            terminal.pause();
        }
        !matches!(self, Self::Background(_))
    }

    /// Brings what was said before the payload's end where it belongs.
    pub fn finish(self, signals: &SignalFd, mut clients: Option<&mut Clients>) {
        match self {
            Self::Nothing => {}
            Self::Terminal(terminal) => terminal.finish(signals),
            Self::Background(mut background) => {
                // Nobody is waited for here: those who are attached take what is
                // said last once the record says how it has ended.
                let until = Instant::now() + DRAIN;
                while background.relay(clients.as_deref_mut()) && Instant::now() < until {}
            }
        }
    }
}
