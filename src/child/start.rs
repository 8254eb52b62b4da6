//! The clone, seen from both sides.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::unistd::Pid;

use super::Child;
use crate::plan::Memory;
use crate::plan::step::Step;
use crate::sys::Result;
use crate::sys::process::{self, Ended, Made};
use crate::sys::stack::Stack;

/// The child's process. Dropped before it has been waited for, it is killed
/// and reaped.
pub struct Process {
    made: Made,
    reaped: bool,
    /// What the child runs on and reads: freed once it is gone, and not at all
    /// if this value is forgotten.
    memory: Option<(Stack, Box<Start>)>,
}

/// What the child starts with.
struct Start {
    /// The child's own; the launcher never looks at it again, nor drops it:
    /// the descriptors in it are numbers of the child's table.
    child: UnsafeCell<ManuallyDrop<Child>>,
    steps: Rc<[Step]>,
}

impl Process {
    /// Makes the child in new namespaces, `CLONE_NEW*`, to perform `steps`
    /// with `slots` places for descriptors and a channel to report through, of
    /// which both ends are given.
    ///
    /// # Errors
    /// What clone3(2) says.
    pub fn start(
        (parents_end, channel): (BorrowedFd<'_>, OwnedFd),
        slots: usize,
        namespaces: u64,
        steps: &Rc<[Step]>,
        memory: Memory,
    ) -> Result<Self> {
        let slots = std::iter::repeat_with(|| None).take(slots).collect();
        let parents_end = parents_end.as_raw_fd();
        let child = Child { channel, parents_end, slots, open: 0, network: None };
        if memory == Memory::Copied {
            // SAFETY: the launcher has one thread. The child goes into `run`,
            // which takes no heap and ends in an exec or an _exit.
            return match unsafe { process::clone_copying(namespaces)? } {
                None => child.run(steps),
                Some(made) => Ok(Self { made, reaped: false, memory: None }),
            };
        }
        let stack = Stack::new()?;
        let number = child.channel.as_raw_fd();
        let child = UnsafeCell::new(ManuallyDrop::new(child));
        let start = Box::new(Start { child, steps: Rc::clone(steps) });
        let argument = (&raw const *start).cast();
        // SAFETY: stack and start go into what is returned, whose drop waits
        // for the process first. `enter` makes system calls only.
        let made = unsafe { process::clone_sharing(namespaces, &stack, enter, argument) };
        // SAFETY: the child has its own table of descriptors by now; in this
        // one the `OwnedFd` of this number is never used nor dropped.
        unsafe { crate::sys::fd::close(number) };
        Ok(Self { made: made?, reaped: false, memory: Some((stack, start)) })
    }

    /// Its id, good until it is waited for.
    pub fn pid(&self) -> Pid {
        self.made.pid
    }

    /// Refers to it for good.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.made.pidfd.as_fd()
    }

    /// Frees what the child ran on, now that it has executed the payload.
    pub fn executed(&mut self) {
        self.memory = None;
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What waitid(2) says.
    pub fn wait(&mut self) -> Result<Ended> {
        let ended = process::wait(self.pidfd())?;
        self.reaped = true;
        Ok(ended)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = process::send_signal(self.pidfd(), nix::libc::SIGKILL);
            let _ = process::wait(self.pidfd());
        }
    }
}

extern "C" fn enter(start: *const ()) -> ! {
    // SAFETY: `Process::start` passes a `Start` that outlives this process.
    let start = unsafe { &*start.cast::<Start>() };
    // SAFETY: this process is the only one that looks into the cell, once.
    let child = unsafe { ManuallyDrop::take(&mut *start.child.get()) };
    child.run(&start.steps)
}
