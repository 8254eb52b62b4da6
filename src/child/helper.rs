//! What happens between fork and exec of a program that helps a container.
//!
//! Such a program runs as long as the container does, so it must not outlive
//! the launcher, hold what the launcher has open, or hear what the caller's
//! terminal sends.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc;
use nix::unistd::getpid;

use super::confine::become_for_setup;
use crate::sys::{Errno, Result, confine, fd, process};

/// What a helper starts with beside its command line.
#[derive(Debug, Default)]
pub struct Before {
    /// The user namespace that it is in, as that one's root.
    pub enter: Option<OwnedFd>,
    /// The descriptors that it has, under the numbers that they have here,
    /// beside the standard ones.
    pub keep: Vec<OwnedFd>,
}

/// Has `command` leave the caller's session, hear signals as usual, die with
/// this process, and inherit nothing but what `before` says.
pub fn prepare(command: &mut Command, before: Before) {
    let launcher = getpid();
    let perform = move || {
        // The launcher has blocked them, for it reads them from a descriptor.
        process::reset_signals()?;
        process::new_session()?;
        if let Some(namespace) = &before.enter {
            process::join(namespace.as_fd(), libc::CLONE_NEWUSER)?;
            become_for_setup(0, 0)?;
        }
        // After that, because a change of ids takes it away (prctl(2)).
        confine::parent_death_signal(libc::SIGKILL)?;
        if nix::unistd::getppid() != launcher {
            return Err(Errno::ESRCH);
        }
        fd::close_from_on_exec(3)?;
        before.keep.iter().try_for_each(|kept| fd::keep_across_exec(kept.as_fd()))
    };
    let perform = move || -> std::io::Result<()> { Result::map_err(perform(), Into::into) };
    // SAFETY: the closure makes system calls only, and takes no heap.
    unsafe { command.pre_exec(perform) };
}
