//! Going into a container that runs.
//!
//! The process that does so has a copy of the launcher's memory, and what the
//! launcher has open. Both are out of the container's reach before it is in the
//! container's pid namespace, where everybody sees it: its memory is not
//! dumpable and belongs to the host's user namespace, so that no right inside
//! reaches it (ptrace(2)); and of descriptors it has the payload's own, and the
//! channel. CVE-2016-9962 is about who did that later.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::libc;

use super::Child;
use super::report::{Part, Report};
use crate::plan::step::Step;
use crate::sys::fd;
use crate::sys::process::{self, exit_now};
use crate::sys::stack::Stack;

/// Closes every descriptor from `first` upwards but the channel and what is
/// kept.
pub fn let_go(child: &Child, first: u32) {
    // As many as a plan that joins has slots, and the channel.
    let mut kept: [RawFd; 8] = [child.channel.as_raw_fd(); 8];
    for (place, slot) in kept[1..].iter_mut().zip(child.slots.iter().flatten()) {
        *place = slot.as_raw_fd();
    }
    // SAFETY: in this table of descriptors, of which no other process has a
    // part, those that are closed stand for nothing that is used from here on.
    unsafe { fd::close_all_from(first, &mut kept) };
}

/// What the new process goes on with.
struct Rest<'a> {
    child: UnsafeCell<ManuallyDrop<Child>>,
    steps: &'a [Step],
    next: usize,
}

/// Goes on with the step after `at` as a new process, a child of this one's
/// parent; this one ends. The new one has this memory to itself then.
///
/// What was kept until now is the host's, and is closed: to somebody inside who
/// has CAP_SYS_PTRACE a process shows its descriptors for a moment of its exec,
/// when it has its new memory and still all that is closed by the exec.
pub fn be_born(mut child: Child, steps: &[Step], at: usize) -> ! {
    child.slots.iter_mut().for_each(|slot| *slot = None);
    let channel = child.channel.as_raw_fd();
    let stack = match Stack::new() {
        // Never unmapped: the other process runs on it.
        Ok(stack) => ManuallyDrop::new(stack),
        Err(errno) => child.stop(at, errno.into()),
    };
    let child = UnsafeCell::new(ManuallyDrop::new(child));
    let rest = Rest { child, steps, next: at + 1 };
    let (sibling, argument) = (libc::CLONE_PARENT as u64, (&raw const rest).cast());
    // SAFETY: this process does not leave this function, in which `rest` lives,
    // and frees nothing by ending. `go_on` makes system calls only.
    match unsafe { process::clone_sharing(sibling, &stack, go_on, argument) } {
        Ok(made) => {
            // SAFETY: open in this process's own table of descriptors.
            let channel = unsafe { BorrowedFd::borrow_raw(channel) };
            let report = Report::Born(made.pid).to_bytes();
            if let Err(errno) = fd::send_with_descriptor(channel, &report, made.pidfd.as_fd()) {
                // Nobody would let it go on.
                let _ = process::send_signal(made.pidfd.as_fd(), libc::SIGKILL);
                let stopped = Report::stopped(at, Part::Whole, errno).to_bytes();
                let _ = fd::write_all(channel, &stopped);
                exit_now(127)
            }
            exit_now(0)
        }
        // SAFETY: there is no other process that would look into the cell.
        Err(errno) => unsafe { ManuallyDrop::take(&mut *rest.child.get()) }.stop(at, errno.into()),
    }
}

extern "C" fn go_on(rest: *const ()) -> ! {
    // SAFETY: `be_born` passes a `Rest` that is there as long as this process.
    let rest = unsafe { &*rest.cast::<Rest<'_>>() };
    // SAFETY: only this process looks into the cell, once.
    let child = unsafe { ManuallyDrop::take(&mut *rest.child.get()) };
    child.go_on(rest.steps, rest.next)
}
