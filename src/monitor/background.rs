//! The output of a payload in the background: to its log, and to those who are
//! attached.
//!
//! Whatever the payload says is read at once, so that it never waits for a
//! disk that is full, and not for long for somebody who does not read.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use anyhow::Context;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};

use super::clients::{Clients, Speech};
use crate::log::{Stream, Writer};
use crate::sys::{Errno, fd, tty};

/// The log, which others of this process write to as well; `None` without one.
pub type Log = Rc<RefCell<Option<Writer>>>;

/// How much is read at once: a line of a log is no longer than that.
const CHUNK: usize = 16 << 10;

/// Our ends of the payload's streams.
#[derive(Debug)]
pub struct Background {
    sources: Vec<Source>,
    log: Log,
    /// The other end of the terminal: as long as somebody has it open there is
    /// no hang-up, so a payload that closes its terminal can open it again.
    peer: Option<OwnedFd>,
    /// The other end of the payload's standard input: as long as it is open
    /// there is no end of it.
    input: Option<OwnedFd>,
}

#[derive(Debug)]
struct Source {
    from: OwnedFd,
    stream: Stream,
}

impl Background {
    /// Reads from the pipes that are given.
    ///
    /// # Errors
    /// What fcntl(2) says.
    pub fn new(
        sources: impl IntoIterator<Item = (OwnedFd, Stream)>,
        input: Option<OwnedFd>,
        log: Log,
    ) -> anyhow::Result<Self> {
        let mut background = Self { sources: Vec::new(), log, peer: None, input };
        for (from, stream) in sources {
            background.take(from, OFlag::O_RDONLY, stream)?;
        }
        Ok(background)
    }

    /// Reads from the payload's terminal.
    ///
    /// # Errors
    /// What ioctl(2) says.
    pub fn take_terminal(&mut self, master: OwnedFd) -> anyhow::Result<()> {
        self.peer = Some(tty::open_peer(master.as_fd()).context("keep the terminal open")?);
        self.take(master, OFlag::O_RDWR, Stream::Out)
    }

    fn take(&mut self, from: OwnedFd, mode: OFlag, stream: Stream) -> anyhow::Result<()> {
        fcntl(&from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | mode)).context("set up the output")?;
        self.sources.push(Source { from, stream });
        Ok(())
    }

    /// What to wait for.
    pub(super) fn interests(&self) -> Vec<PollFd<'_>> {
        let readable = |source| PollFd::new(source, PollFlags::POLLIN);
        self.sources.iter().map(|source| readable(source.from.as_fd())).collect()
    }

    /// How the payload is spoken to.
    pub(super) fn speech(&self) -> Speech<'_> {
        let terminal = self.peer.is_some();
        let input = match terminal {
            true => self.sources.first().map(|source| source.from.as_fd()),
            false => self.input.as_ref().map(AsFd::as_fd),
        };
        Speech { input, terminal }
    }

    /// Takes what there is, once of each: whether there was anything.
    pub(super) fn relay(&mut self, mut clients: Option<&mut Clients>) -> bool {
        let mut buffer = [0; CHUNK];
        let mut any = false;
        let log = &self.log;
        self.sources.retain(|source| match fd::read(source.from.as_fd(), &mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                any = true;
                if let Some(log) = &mut *log.borrow_mut() {
                    log.write(source.stream, &buffer[..length]);
                }
                if let Some(clients) = &mut clients {
                    clients.tell(source.stream, &buffer[..length]);
                }
                true
            }
            // Else nobody is there any more to say something.
            Err(errno) => matches!(errno, Errno::EAGAIN | Errno::EINTR),
        });
        any
    }
}
