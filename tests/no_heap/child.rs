//! Children of this process, made as the launcher makes them.

use std::os::fd::AsFd;

use nix::libc;
use sublet::plan::Memory;
use sublet::sys::process::{Ended, clone_copying, clone_sharing, exit_now, wait};
use sublet::sys::stack::Stack;

/// What a child does; it ends with the code that this returns.
pub type Work<'a> = &'a dyn Fn() -> i32;

/// Runs `work` in a child in new `namespaces`, `CLONE_NEW*`.
pub fn child(memory: Memory, namespaces: i32, work: Work<'_>) -> nix::Result<Ended> {
    let stack = Stack::new()?;
    let namespaces = namespaces as u64;
    let made = match memory {
        // SAFETY: this process has one thread. The child does not return from
        // here; one that uses the heap is ended by the allocator.
        Memory::Copied => match unsafe { clone_copying(namespaces, None)? } {
            None => exit_now(work()),
            Some(made) => made,
        },
        // SAFETY: the stack and `work` are there until the child has been
        // waited for, below.
        Memory::Shared => unsafe {
            clone_sharing(namespaces, &stack, enter, (&raw const work).cast())?
        },
    };
    wait(made.pidfd.as_fd())
}

extern "C" fn enter(work: *const ()) -> ! {
    // SAFETY: `child` passes the address of a `Work` that outlives this
    // process.
    let work = unsafe { *work.cast::<Work<'_>>() };
    exit_now(work())
}

/// Why no user namespace can be made, or can be used: some systems take all
/// rights from one.
pub fn user_namespace() -> Result<(), String> {
    let mount = || match sublet::sys::mount::set_root_propagation(libc::MS_PRIVATE) {
        Ok(()) => 0,
        Err(errno) => errno as i32,
    };
    match child(Memory::Copied, libc::CLONE_NEWUSER | libc::CLONE_NEWNS, &mount) {
        Ok(Ended::Exited(0)) => Ok(()),
        Ok(Ended::Exited(errno)) => {
            Err(format!("a user namespace has no rights here: {}", nix::Error::from_raw(errno)))
        }
        Ok(Ended::Killed(signal)) => Err(format!("signal {signal} ends a user namespace")),
        Err(errno) => Err(format!("this user may not make a user namespace: {errno}")),
    }
}
