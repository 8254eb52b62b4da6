//! The network namespace, made by a process of its own.
//!
//! It takes the kernel as long as all the mounts of a container together, and
//! none of those but sysfs depends on it; so it is made on another processor
//! meanwhile. The process that makes it joins the child's user namespace, which
//! then owns what it makes, hands it to the child, and ends.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::libc;

use crate::plan::network::closed::Requests;
use crate::plan::network::service::ADDRESS;
use crate::plan::step::Gate;
use crate::sys::process::{self, Ended, Made, exit_now};
use crate::sys::stack::Stack;
use crate::sys::{Result, fd, link, path, socket};

/// The process that makes the namespace. Dropped, it is killed and reaped.
pub struct Maker {
    process: Made,
    reaped: bool,
    /// What it runs on and what it reads: the launcher's memory. Kept while the
    /// child has that memory too: to take a page from it, the kernel interrupts
    /// the processor that the child is on.
    memory: (Stack, Box<Numbers>),
}

/// Descriptors of which it has a copy, and what it does beside.
struct Numbers {
    /// The child's user namespace, or its pidfd, if it is not our own.
    user: Option<RawFd>,
    /// The launcher's end of the channel to the child.
    channel: RawFd,
    outward: Option<Outward>,
    /// The text for [`PING`].
    ping: Vec<u8>,
}

/// What makes a namespace ready for what comes from outside of it.
pub struct Outward {
    /// The socket through which the namespace is sent too.
    pub to: OwnedFd,
    /// The first and the last group that may ping, as numbered inside.
    pub ping: (u32, u32),
    /// What the kernel is asked for before anybody else has the namespace.
    pub closed: Requests,
    /// The ports at which services of the host are asked for. Their sockets are
    /// sent first, in this order.
    pub services: Vec<u16>,
}

/// Which groups may send an ICMP echo without a capability: icmp(7). In a new
/// namespace none may.
const PING: &CStr = c"/proc/sys/net/ipv4/ping_group_range";

/// How many may wait to be let in to a service of the host.
const BACKLOG: i32 = 4096;

impl Maker {
    /// Starts it, for a child that is in the user namespace `user` and waits for
    /// [`Gate::Network`] at the other end of `channel`. All signals that can be
    /// caught must be blocked.
    ///
    /// `user` may also be the child's pidfd. With that the kernel looks whether
    /// we may look into the child, which we may not once it has become another
    /// user of ours.
    ///
    /// Without one the child is in ours.
    ///
    /// Where it ends without success, or is killed, the child can still make
    /// the namespace itself: it does so if no descriptor comes with the word.
    ///
    /// # Errors
    /// What clone3(2) says.
    pub fn start(
        user: Option<BorrowedFd<'_>>,
        channel: BorrowedFd<'_>,
        outward: Option<Outward>,
    ) -> Result<Self> {
        let (user, channel) = (user.map(|user| user.as_raw_fd()), channel.as_raw_fd());
        let range =
            outward.as_ref().map(|outward| format!("{} {}", outward.ping.0, outward.ping.1));
        let ping = range.unwrap_or_default().into_bytes();
        let numbers = Box::new(Numbers { user, channel, outward, ping });
        let stack = Stack::new()?;
        let argument = (&raw const *numbers).cast();
        // SAFETY: both go into what is returned, whose drop waits for the
        // process first. `make` makes system calls only.
        let process = unsafe { process::clone_sharing(0, &stack, make, argument)? };
        Ok(Self { process, reaped: false, memory: (stack, numbers) })
    }

    /// Ready to be read once it has ended; nothing after [`finish`](Self::finish).
    pub fn awaited(&self) -> Option<BorrowedFd<'_>> {
        Some(self.process.pidfd.as_fd()).filter(|_| !self.reaped)
    }

    /// Waits for its end: whether it has sent the namespace to the child.
    pub fn finish(&mut self) -> bool {
        let ended = process::wait(self.process.pidfd.as_fd());
        self.reaped = true;
        // Whoever waits for what it was to send hears that nothing more comes.
        self.memory.1.outward = None;
        ended == Ok(Ended::Exited(0))
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        if let Some(process) = self.awaited() {
            // The kernel makes one at a time, and may be busy with others.
            let _ = process::send_signal(process, libc::SIGKILL);
            let _ = process::wait(process);
        }
    }
}

extern "C" fn make(numbers: *const ()) -> ! {
    // SAFETY: `start` passes `Numbers` that outlive this process and that
    // nobody changes.
    let Numbers { user, channel, outward, ping } = unsafe { &*numbers.cast::<Numbers>() };
    // SAFETY: this process has a copy of all descriptors, and closes none.
    let (user, channel) = unsafe {
        (user.map(|user| BorrowedFd::borrow_raw(user)), BorrowedFd::borrow_raw(*channel))
    };
    let word = [Gate::Network as u8];
    let joined = user.map_or(Ok(()), |user| process::join(user, libc::CLONE_NEWUSER));
    let made = joined.and_then(|()| new_namespace());
    let sent = made.and_then(|made| {
        // To the child first: a helper that connects this one while the child
        // makes another for itself would not be missed.
        if let Some(outward) = outward {
            link::request(&outward.closed.bytes, outward.closed.count)?;
        }
        fd::send_with_descriptor(channel, &word, made.as_fd())?;
        if let Some(outward) = outward {
            for port in &outward.services {
                let listener = socket::listening(ADDRESS.octets(), *port, BACKLOG)?;
                fd::send_with_descriptor(outward.to.as_fd(), &word, listener.as_fd())?;
            }
            fd::send_with_descriptor(outward.to.as_fd(), &word, made.as_fd())?;
        }
        Ok(())
    });
    if sent.is_ok() && outward.is_some() {
        // Where it can't be had nothing else fails.
        let _ = let_ping(ping);
    }
    exit_now(sent.is_err().into())
}

fn let_ping(range: &[u8]) -> Result<()> {
    let file = path::open_typed(PING, libc::O_WRONLY)?;
    fd::write_all(file.as_fd(), range)
}

/// Joins the namespace that has been made, or makes it where none has.
pub fn join(made: Option<OwnedFd>) -> Result<()> {
    match made {
        Some(made) => process::join(made.as_fd(), libc::CLONE_NEWNET),
        None => new_namespace().map(drop),
    }
}

/// Goes into a new namespace with its loopback interface up.
fn new_namespace() -> Result<OwnedFd> {
    process::unshare(libc::CLONE_NEWNET)?;
    link::loopback_up()
}
