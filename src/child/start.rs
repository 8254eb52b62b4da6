//! The clone, seen from both sides.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::OnceLock;

use nix::unistd::Pid;

use super::Child;
use super::door::{self, Door, Part, Refused};
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
pub(super) struct Start {
    /// The child's own; the launcher never looks at it again, nor drops it:
    /// the descriptors in it are numbers of the child's table.
    child: UnsafeCell<ManuallyDrop<Child>>,
    /// What it is to do, once that is known.
    orders: OnceLock<Orders>,
}

/// What the child is to do.
pub struct Orders {
    pub(super) steps: Rc<[Step]>,
    /// Room for the descriptors that it keeps: its own, as all of `child`.
    slots: UnsafeCell<ManuallyDrop<Vec<Option<OwnedFd>>>>,
}

impl Orders {
    /// To perform `steps`, with as many places for descriptors.
    pub fn new(steps: &Rc<[Step]>, slots: usize) -> Self {
        let slots = std::iter::repeat_with(|| None).take(slots).collect();
        Self { steps: Rc::clone(steps), slots: UnsafeCell::new(ManuallyDrop::new(slots)) }
    }

    /// To perform `steps` with these descriptors in the first places; only for
    /// a child that has a copy of our memory.
    pub fn holding(steps: &Rc<[Step]>, slots: usize, first: Vec<OwnedFd>) -> Self {
        let mut all: Vec<_> = first.into_iter().map(Some).collect();
        all.resize_with(slots, || None);
        Self { steps: Rc::clone(steps), slots: UnsafeCell::new(ManuallyDrop::new(all)) }
    }

    /// The places for descriptors.
    ///
    /// # Safety
    /// Once, and only in the child.
    pub(super) unsafe fn take_slots(&self) -> Vec<Option<OwnedFd>> {
        // SAFETY: promised by the caller; the launcher does not look into it.
        unsafe { ManuallyDrop::take(&mut *self.slots.get()) }
    }
}

fn refused(errno: crate::sys::Errno) -> Refused {
    Refused { part: Part::Clone, errno }
}

/// Where a child is born.
#[derive(Clone, Copy)]
pub struct Birth<'a> {
    /// Its new namespaces, `CLONE_NEW*`.
    pub namespaces: u64,
    /// The directory of its control group, if the kernel puts it there; only
    /// for one that has a copy of our memory.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Others' namespaces that it is made in; only for one that has a copy of
    /// our memory.
    pub door: Option<Door<'a>>,
    /// A listening socket, for one that waits for its start; only for one that
    /// has a copy of our memory.
    pub doorstep: Option<BorrowedFd<'a>>,
}

impl Process {
    /// Makes the child, to report through a channel of which both ends are
    /// given. What it is to do can be
    /// [given](Self::give) later, if it has our memory.
    ///
    /// # Errors
    /// What clone3(2) says, and what keeps it from getting behind the door.
    pub fn start(
        (parents_end, channel): (BorrowedFd<'_>, OwnedFd),
        Birth { namespaces, cgroup, door, doorstep }: Birth<'_>,
        memory: Memory,
        orders: Option<Orders>,
    ) -> std::result::Result<Self, Refused> {
        // SAFETY: the child has its own table of descriptors, of which it does
        // not close this one.
        let doorstep =
            doorstep.map(|doorstep| unsafe { BorrowedFd::borrow_raw(doorstep.as_raw_fd()) });
        let mut child = Child::new(parents_end, channel);
        child.doorstep = doorstep;
        let orders = orders.map_or_else(OnceLock::new, OnceLock::from);
        if memory == Memory::Copied {
            let made = match door {
                // SAFETY: the launcher has one thread. The child goes into
                // `run`, which takes no heap and ends in an exec or an _exit.
                Some(door) => unsafe { door::clone_behind(door, namespaces, cgroup) },
                // SAFETY: likewise.
                None => unsafe { process::clone_copying(namespaces, cgroup) }.map_err(refused),
            };
            return match made? {
                None => child.run(&orders),
                Some(made) => Ok(Self { made, reaped: false, memory: None }),
            };
        }
        let stack = Stack::new().map_err(refused)?;
        let number = child.channel.as_raw_fd();
        let start = Box::new(Start::of(child, orders));
        let argument = (&raw const *start).cast();
        // SAFETY: stack and start go into what is returned, whose drop waits
        // for the process first. `enter` makes system calls only.
        let made = unsafe { process::clone_sharing(namespaces, &stack, enter, argument) };
        // SAFETY: the child has its own table of descriptors by now; in this
        // one the `OwnedFd` of this number is never used nor dropped.
        unsafe { crate::sys::fd::close(number) };
        Ok(Self { made: made.map_err(refused)?, reaped: false, memory: Some((stack, start)) })
    }

    /// Lays down what the child is to do, for it to find once it is told that
    /// it is there ([`Gate::Planned`](crate::plan::step::Gate)). What it has
    /// already stays.
    pub fn give(&self, orders: Orders) {
        if let Some((_, start)) = &self.memory {
            let _ = start.orders.set(orders);
        }
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

    /// Lets it live on without us.
    pub fn leave(mut self) {
        self.reaped = true;
    }

    /// Waits for its end, and leaves it to be asked about.
    ///
    /// # Errors
    /// What waitid(2) says.
    pub fn ended(&self) -> Result<Ended> {
        process::wait_and_leave(self.pidfd())
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
    // SAFETY: `Process::start` passes a `Start` that outlives this process,
    // which is the only one that begins with it.
    unsafe { (*start.cast::<Start>()).begin() }
}

impl Start {
    pub(super) fn of(child: Child, orders: OnceLock<Orders>) -> Self {
        Self { child: UnsafeCell::new(ManuallyDrop::new(child)), orders }
    }

    /// Performs what is to be done.
    ///
    /// # Safety
    /// Once, and only in the child.
    pub(super) unsafe fn begin(&self) -> ! {
        // SAFETY: promised by the caller: nobody else looks into the cell.
        let child = unsafe { ManuallyDrop::take(&mut *self.child.get()) };
        child.run(&self.orders)
    }
}
