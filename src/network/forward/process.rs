//! The process that forwards: its start, and what is said to it afterwards.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use nix::sys::socket::{
    AddressFamily, Shutdown, SockFlag, SockType, setsockopt, shutdown, socketpair, sockopt,
};
use nix::sys::time::TimeVal;

use super::inside::{self, Dialer, Inside, Seen};
use super::listen::{Listener, Listeners};
use super::{order, serve};
use crate::child::companion::Companion;
use crate::sys::fd::Patience;
use crate::sys::{Errno, Result, fd};

/// The process. Dropped, it is gone.
pub struct Process {
    /// Dropped first.
    companion: Companion,
    /// Our end: orders go this way, and the process sees the end of it when we
    /// are gone.
    channel: OwnedFd,
    /// What services see of clients' addresses.
    pub seen: Seen,
    /// When it was ready.
    pub since: Instant,
}

/// How long an order may wait to be taken: the process never waits itself.
const PATIENCE: TimeVal = TimeVal::new(1, 0);

/// What the process says first of all, by its first byte; a text follows.
const KEPT: u8 = b'k';
const MASKED: u8 = b'm';
const FAILED: u8 = b'f';
const GONE: u8 = b'g';

impl Process {
    /// Starts to forward from `listeners` into the network of `target`, the
    /// pidfd of a process of the container, where services are at `inside`.
    /// Returns when clients are let in; `None` where that process has ended.
    /// There must be no other thread.
    ///
    /// # Errors
    /// Why the container's network can't be gone into.
    pub fn start(
        listeners: &mut Listeners,
        target: BorrowedFd<'_>,
        inside: Inside,
    ) -> anyhow::Result<Option<Self>> {
        const TRIED: &str = "start the forwarder of published ports";
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .context(TRIED)?;
        setsockopt(&ours, sockopt::SendTimeout, &PATIENCE).context(TRIED)?;
        let sockets = listeners.iter().map(AsFd::as_fd).chain([target, theirs.as_fd()]);
        let kept: Vec<_> = sockets.map(|socket| socket.as_raw_fd()).collect();
        // Its own from then on, in its copy of our memory.
        let work = || forward(theirs.as_fd(), target, inside, std::mem::take(listeners));
        let companion = Companion::start(kept.into_iter(), work).context(TRIED)?;
        drop(theirs);
        let mut said = [0; 1024];
        let (length, _) = fd::receive(ours.as_fd(), &mut said).context(TRIED)?;
        let text = String::from_utf8_lossy(&said[1.min(length)..length]).into_owned();
        let seen = match said[..length].first() {
            Some(&KEPT) => Seen::Kept,
            Some(&MASKED) => Seen::Masked(text),
            Some(&GONE) => return Ok(None),
            Some(_) => return Err(anyhow!(text)).context(TRIED),
            None => return Err(anyhow!("it has ended")).context(TRIED),
        };
        Ok(Some(Self { companion, channel: ours, seen, since: Instant::now() }))
    }

    /// Ready to be read once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.companion.pidfd()
    }

    /// How long it has been there.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Has it free the ports, our own descriptors of which are closed already, and
    /// go on for those who are there. One that doesn't is ended.
    pub fn close(self) -> Option<Closing> {
        let Self { companion, channel, .. } = self;
        shutdown(channel.as_raw_fd(), Shutdown::Write).ok()?;
        let done = fd::wait_readable([channel.as_fd()], Patience::Nanos(1_000_000_000));
        let until = Instant::now() + serve::LAST + Duration::from_millis(200);
        (done == Ok([true])).then_some(Closing { companion, until })
    }

    /// Has it serve one port more.
    ///
    /// # Errors
    /// Where it doesn't take the order.
    pub fn publish(&self, listener: &Listener) -> Result<()> {
        unless_gone(order::publish(self.channel.as_fd(), listener))
    }

    /// Has it serve one less, of which our own descriptor is closed already.
    /// Done, it closes `until_done`.
    ///
    /// # Errors
    /// Where it doesn't take the order.
    pub fn withdraw(&self, listener: Listener, until_done: BorrowedFd<'_>) -> Result<()> {
        let (bound, protocol) = (listener.bound, listener.protocol);
        drop(listener);
        unless_gone(order::withdraw(self.channel.as_fd(), bound, protocol, until_done))
    }
}

/// A process that lets nobody in any more, and goes on for those who are there.
/// Dropped, it is gone.
pub struct Closing {
    companion: Companion,
    until: Instant,
}

impl Closing {
    /// Ready to be read once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.companion.pidfd()
    }

    /// When it should have.
    pub fn until(&self) -> Instant {
        self.until
    }
}

/// One that has ended needs no orders: the next begins with what is to be.
fn unless_gone(told: Result<()>) -> Result<()> {
    match told {
        Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        told => told,
    }
}

/// What the process does.
fn forward(launcher: BorrowedFd<'_>, target: BorrowedFd<'_>, inside: Inside, listeners: Listeners) {
    let say = |kind: u8, text: &str| {
        let mut packet = vec![kind];
        packet.extend(text.bytes().take(1000));
        // A launcher that is gone needs no word.
        let _ = fd::write_all(launcher, &packet);
    };
    match inside::enter(target) {
        Ok(()) => {}
        Err(Errno::ESRCH) => return say(GONE, ""),
        Err(errno) => {
            return say(FAILED, &format!("go into the container's network: {}", errno.desc()));
        }
    }
    let (dialer, seen) = Dialer::new(inside, &listeners);
    match &seen {
        Seen::Kept => say(KEPT, ""),
        Seen::Masked(why) => say(MASKED, why),
    }
    // It is over when the launcher is, or can't be had at all.
    let _ = serve::serve(launcher, listeners, dialer);
}
