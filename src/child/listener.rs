//! A filter that has somebody outside decide about some calls.
//!
//! From the moment that it is loaded any call of this process may wait for that
//! decision: also the one that would send the listener to who decides. So a
//! thread sends it that was there before. A filter binds who loads it and what
//! that one makes afterwards, and no other thread (seccomp(2)).

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::libc::sock_filter;

use super::report::{Part, Report};
use super::{Child, Outcome};
use crate::plan::step::Gate;
use crate::security::seccomp::bpf::Flags;
use crate::sys::process::{self, end_thread, exit_now, give_way};
use crate::sys::stack::Stack;
use crate::sys::{confine, fd};

/// What both threads see.
struct Handing {
    /// The other thread's alone until `done`.
    child: *mut Child,
    /// The descriptor, or one of the two below.
    listener: AtomicI32,
    done: AtomicBool,
}

/// The filter is not loaded.
const NOT_YET: i32 = -1;
/// Nor will it be.
const NONE: i32 = -2;

/// Loads a filter. Where it has a listener, returns once the launcher says that
/// this is handed over.
pub fn load(child: &mut Child, filter: &[sock_filter], flags: u32) -> Outcome {
    if !Flags::from_bits(flags).contains(Flags::NEW_LISTENER) {
        return Ok(confine::load_filter(filter, flags)?);
    }
    let stack = Stack::new().map_err(|errno| Part::Thread.failed(errno))?;
    let (listener, done) = (AtomicI32::new(NOT_YET), AtomicBool::new(false));
    let handing = Handing { child, listener, done };
    // SAFETY: `hand_over` makes system calls only. It uses `handing`, which
    // outlives that, until `done`, and the stack a moment longer: that is never
    // given back.
    let made = unsafe { process::make_thread(&stack, hand_over, (&raw const handing).cast()) };
    made.map_err(|errno| Part::Thread.failed(errno))?;
    let loaded = confine::load_filter_and_listen(filter, flags);
    let number = loaded.as_ref().map_or(NONE, AsRawFd::as_raw_fd);
    handing.listener.store(number, Ordering::Release);
    // Without a call, which might be one that nobody decides about yet.
    while !handing.done.load(Ordering::Acquire) {
        std::hint::spin_loop();
    }
    // The exec does away with it.
    std::mem::forget(stack);
    // The other thread has closed it.
    loaded.map(std::mem::forget)?;
    Ok(())
}

extern "C" fn hand_over(handing: *const ()) -> ! {
    // SAFETY: `load` passes a `Handing`, and goes on when it is done.
    let handing = unsafe { &*handing.cast::<Handing>() };
    let number = loop {
        match handing.listener.load(Ordering::Acquire) {
            NOT_YET => give_way(),
            number => break number,
        }
    };
    if number != NONE {
        // SAFETY: the descriptor is open, and `load` leaves it, and the child,
        // to this thread until it is done.
        let (child, listener) = unsafe { (&mut *handing.child, OwnedFd::from_raw_fd(number)) };
        let packet = Report::Listener.to_bytes();
        let sent = fd::send_with_descriptor(child.channel.as_fd(), &packet, listener.as_fd());
        drop(listener);
        // The process ends by this thread: the other one might not be able to.
        if sent.is_err() || child.pass(Gate::Listened).is_err() {
            exit_now(1);
        }
    }
    handing.done.store(true, Ordering::Release);
    end_thread()
}
