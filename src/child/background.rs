//! The process that stays with a container in the background.
//!
//! It is the launcher, in a copy of the memory of the process that was called,
//! which tells the caller how the start went and then ends.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::companion::{errno_of, has_one_thread};
use crate::sys::process::{self, Made};
use crate::sys::{Errno, Result, confine, fd};

/// Which of the two processes this is, with its end of the line to the other:
/// a socket that keeps packets apart.
pub enum Side {
    /// The one that was called, which is the other's parent.
    Caller(Made, OwnedFd),
    /// The new one: in a session of its own, at the root of the file system,
    /// with the null device as its standard streams. Until it is
    /// [let go](release) it gets SIGTERM if the caller ends.
    Supervisor(OwnedFd),
}

/// Divides this process in two. The new one has of its descriptors the standard
/// ones, as null devices, and the first so many above them: what is handed to
/// the payload or by a service manager.
///
/// # Errors
/// What clone3(2) says; `EDEADLK` where there are other threads, which might
/// hold locks that the copy would wait for.
pub fn divide(handed: u32) -> Result<Side> {
    if !has_one_thread() {
        return Err(Errno::EDEADLK);
    }
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = OwnedFd::from(null.map_err(|error| errno_of(&error))?);
    let caller = nix::unistd::getpid();
    // SAFETY: there is no other thread, so the copy of the heap is whole. Both
    // processes go on from here with a memory of their own, as after fork(2).
    if let Some(made) = unsafe { process::clone_copying(0, None)? } {
        return Ok(Side::Caller(made, ours));
    }
    drop(ours);
    process::new_session()?;
    confine::parent_death_signal(libc::SIGTERM)?;
    if nix::unistd::getppid() != caller {
        // It had ended before that.
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM)?;
    }
    nix::unistd::chdir("/")?;
    for stream in [0, 1, 2] {
        fd::install(null.as_fd(), stream)?;
    }
    let last = 2 + handed as i32;
    let mut kept: Vec<_> = (0..=last).chain([theirs.as_raw_fd()]).collect();
    drop(null);
    // SAFETY: of this process's own descriptors only `theirs` is used from here
    // on; nothing that was open before is dropped, for the values of the
    // caller's side are never reached here.
    unsafe { fd::close_all_but(&mut kept) };
    Ok(Side::Supervisor(theirs))
}

/// Has the supervisor outlive its caller.
///
/// # Errors
/// What prctl(2) says.
pub fn release() -> Result<()> {
    confine::parent_death_signal(0)
}
