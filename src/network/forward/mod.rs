//! Published ports: what comes to a port of the host goes to one of the
//! container.
//!
//! The host's side is bound by the launcher ([`Listeners::bind`]), before there
//! is a container. What comes there is served by a process of its own
//! ([`start`]): it has gone into the container's network, where it connects
//! with the services, and still has the host's sockets. So nothing that goes
//! through it delays the launcher, and a socket is never handed from process to
//! process.
#![forbid(unsafe_code)]

mod address;
mod handed;
mod holder;
mod inside;
mod listen;
mod pipe;
mod route;
mod serve;
mod slab;
mod tcp;
mod udp;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::child::companion::Companion;
use crate::sys::{Errno, fd};
use inside::Dialer;
pub use inside::{Inside, Seen};
pub use listen::{Listener, Listeners};

/// A forwarder that ends sooner than this is not started again.
const SHORT: Duration = Duration::from_secs(1);

/// The process that forwards. Dropped, it is gone, and the ports are free.
pub struct Forwarder {
    /// Dropped first.
    process: Companion,
    /// What it sees the end of when we are gone.
    _channel: OwnedFd,
    listeners: Listeners,
    target: OwnedFd,
    inside: Inside,
    seen: Seen,
    since: Instant,
}

/// Starts to forward from `listeners` into the network of `target`, the pidfd
/// of a process of the container, where services are at `inside`. Returns when
/// clients are let in; nothing is forwarded where that process has ended. There
/// must be no other thread.
///
/// # Errors
/// Why the container's network can't be gone into.
pub fn start(
    listeners: Listeners,
    target: BorrowedFd<'_>,
    inside: Inside,
) -> anyhow::Result<Option<Forwarder>> {
    let target = target.try_clone_to_owned().context("copy the container's descriptor")?;
    let begun = begin(&listeners, target.as_fd(), inside)?;
    Ok(begun.map(|Begun { process, channel, seen }| {
        let since = Instant::now();
        Forwarder { process, _channel: channel, listeners, target, inside, seen, since }
    }))
}

impl Forwarder {
    /// Ready to be read once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.pidfd()
    }

    /// What services see of clients' addresses.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Starts another in the place of one that has ended. Connections are lost;
    /// clients that come meanwhile wait.
    ///
    /// # Errors
    /// As [`start`]; and if it has ended so soon that the next would too.
    pub fn replace(&mut self) -> anyhow::Result<()> {
        if self.since.elapsed() < SHORT {
            bail!("the forwarder of published ports ends as soon as it is started");
        }
        if let Some(begun) = begin(&self.listeners, self.target.as_fd(), self.inside)? {
            self.process = begun.process;
            self._channel = begun.channel;
            self.seen = begun.seen;
        }
        self.since = Instant::now();
        Ok(())
    }
}

/// What the process says first of all, by its first byte; a text follows.
const KEPT: u8 = b'k';
const MASKED: u8 = b'm';
const FAILED: u8 = b'f';
const GONE: u8 = b'g';

struct Begun {
    process: Companion,
    channel: OwnedFd,
    seen: Seen,
}

fn begin(
    listeners: &Listeners,
    target: BorrowedFd<'_>,
    inside: Inside,
) -> anyhow::Result<Option<Begun>> {
    const TRIED: &str = "start the forwarder of published ports";
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .context(TRIED)?;
    let kept = listeners.iter().map(AsFd::as_fd).chain([target, theirs.as_fd()]);
    let work = || forward(theirs.as_fd(), target, inside, listeners);
    let process = Companion::start(kept, work).context(TRIED)?;
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
    Ok(Some(Begun { process, channel: ours, seen }))
}

/// Forwards from `listeners`, which are in a container, to this machine's
/// loopback, until the launcher at the other end of `launcher` is gone.
///
/// # Errors
/// What epoll(7) says.
pub fn serve_host(launcher: BorrowedFd<'_>, listeners: &Listeners) -> crate::sys::Result<()> {
    serve::serve(launcher, listeners, Dialer::to_loopback())
}

/// What the process does.
fn forward(
    launcher: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    inside: Inside,
    listeners: &Listeners,
) {
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
    let (dialer, seen) = Dialer::new(inside, listeners);
    match &seen {
        Seen::Kept => say(KEPT, ""),
        Seen::Masked(why) => say(MASKED, why),
    }
    // It is over when the launcher is, or can't be had at all.
    let _ = serve::serve(launcher, listeners, dialer);
}
