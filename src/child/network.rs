//! The network namespace, made by a process of its own.
//!
//! It takes the kernel as long as all the mounts of a container together, and
//! none of those but sysfs depends on it; so it is made on another processor
//! meanwhile. The process that makes it joins the child's user namespace, which
//! then owns what it makes, hands it to the child, and ends.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::libc;

use crate::plan::step::Gate;
use crate::sys::process::{self, Ended, Made, exit_now};
use crate::sys::stack::Stack;
use crate::sys::{Result, fd, link};

/// The process that makes the namespace. Dropped, it is killed and reaped.
pub struct Maker {
    process: Made,
    /// What it runs on and what it reads: the launcher's memory.
    _memory: (Stack, Box<Numbers>),
}

/// Descriptors of which it has a copy.
struct Numbers {
    /// The child's pidfd.
    child: RawFd,
    /// The launcher's end of the channel to the child.
    channel: RawFd,
}

impl Maker {
    /// Starts it, for a child that has its user namespace and waits for
    /// [`Gate::Network`] at the other end of `channel`. All signals that can
    /// be caught must be blocked.
    ///
    /// Where it ends without success, or is killed, the child can still make
    /// the namespace itself: it does so if no descriptor comes with the word.
    ///
    /// # Errors
    /// What clone3(2) says.
    pub fn start(child: BorrowedFd<'_>, channel: BorrowedFd<'_>) -> Result<Self> {
        let numbers = Numbers { child: child.as_raw_fd(), channel: channel.as_raw_fd() };
        let numbers = Box::new(numbers);
        let stack = Stack::new()?;
        let argument = (&raw const *numbers).cast();
        // SAFETY: both go into what is returned, whose drop waits for the
        // process first. `make` makes system calls only.
        let process = unsafe { process::clone_sharing(0, &stack, make, argument)? };
        Ok(Self { process, _memory: (stack, numbers) })
    }

    /// Ready to be read once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.pidfd.as_fd()
    }

    /// Waits for its end: whether it has sent the namespace to the child.
    pub fn finish(self) -> bool {
        process::wait(self.pidfd()) == Ok(Ended::Exited(0))
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        // The kernel makes one at a time, and may be busy with others.
        let _ = process::send_signal(self.pidfd(), libc::SIGKILL);
        let _ = process::wait(self.pidfd());
    }
}

extern "C" fn make(numbers: *const ()) -> ! {
    // SAFETY: `start` passes `Numbers` that outlive this process and that
    // nobody changes.
    let Numbers { child, channel } = unsafe { &*numbers.cast::<Numbers>() };
    // SAFETY: this process has a copy of all descriptors, and closes none.
    let (child, channel) =
        unsafe { (BorrowedFd::borrow_raw(*child), BorrowedFd::borrow_raw(*channel)) };
    let made = process::join(child, libc::CLONE_NEWUSER)
        .and_then(|()| new_namespace())
        .and_then(|made| fd::send_with_descriptor(channel, &[Gate::Network as u8], made.as_fd()));
    exit_now(made.is_err().into())
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
