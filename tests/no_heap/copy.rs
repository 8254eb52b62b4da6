//! Copies of this process, made as the launcher makes them.

use std::os::fd::AsFd;

use nix::libc;
use sublet::sys::process::{Cloned, Ended, clone, exit_now, wait};

/// Runs `work` in a copy of this process in new `namespaces` (`CLONE_NEW*`),
/// which ends with the code that it returns.
pub fn in_copy(namespaces: i32, work: impl FnOnce() -> i32) -> nix::Result<Ended> {
    // SAFETY: this process has one thread. The copy does not return from here,
    // and what `work` may be is the test: one that uses the heap is ended by
    // the allocator, or has the memory of a process with one thread.
    match unsafe { clone(namespaces as u64)? } {
        Cloned::Child => exit_now(work()),
        Cloned::Parent { pidfd, .. } => wait(pidfd.as_fd()),
    }
}

/// Why no user namespace can be made, or can be used: some systems take all
/// rights from one.
pub fn user_namespace() -> Result<(), String> {
    let mount = || match sublet::sys::mount::set_root_propagation(libc::MS_PRIVATE) {
        Ok(()) => 0,
        Err(errno) => errno as i32,
    };
    match in_copy(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, mount) {
        Ok(Ended::Exited(0)) => Ok(()),
        Ok(Ended::Exited(errno)) => {
            Err(format!("a user namespace has no rights here: {}", nix::Error::from_raw(errno)))
        }
        Ok(Ended::Killed(signal)) => Err(format!("signal {signal} kills a user namespace")),
        Err(errno) => Err(format!("this user may not make a user namespace: {errno}")),
    }
}
