//! `--init`: a pid 1 that reaps orphans and passes signals on.
//!
//! The kernel gives pid 1 the orphans of its namespace to reap, and drops
//! signals to it for which it has no handler. Programs that were not written
//! for that leave zombies and ignore ctrl-C.

use nix::unistd::Pid;

use crate::sys::process::{self, Ended, exit_now};
use crate::sys::{Errno, Result, confine, fd};

/// Stays as pid 1; returns only in the new process, which goes on.
pub fn stay_behind() -> Result<()> {
    // This process has a copy of the launcher's memory, and with it the caller's
    // environment: nothing in the container may look into it, nor take hold of
    // the launcher's program through /proc/1/exe (ptrace(2), PTRACE_MODE). By
    // the time there is a payload this has to hold; its own exec undoes it for
    // the payload.
    #[cfg(feature = "weaken")]
    let hide = !super::weak::REAPER.load(std::sync::atomic::Ordering::Relaxed);
    #[cfg(not(feature = "weaken"))]
    let hide = true;
    if hide {
        confine::hide_memory()?;
    }
    // SAFETY: the child goes on with the steps, which take no heap.
    match unsafe { process::fork()? } {
        None => Ok(()),
        Some(payload) => reap_until(payload),
    }
}

/// Reaps and forwards until `payload` ends, then ends as it did.
fn reap_until(payload: Pid) -> ! {
    // The launcher may be gone already; then its death sent no signal, but the
    // watcher kills this process.
    let _ = confine::parent_death_signal(nix::libc::SIGKILL);
    // SAFETY: of the descriptors of this process nothing is used from here on.
    // Standard streams too: a pipe must see its end when the payload closes
    // it, and the channel must when the payload executes.
    let _ = unsafe { fd::close_all(0, u32::MAX) };
    if process::block_all_signals().is_err() {
        exit_now(125);
    }
    loop {
        // Before the first wait too: a payload may have ended before signals
        // were blocked, and then the kernel has dropped its SIGCHLD.
        while let Ok(Some((pid, ended))) = process::reap_any() {
            if pid == payload {
                exit_now(match ended {
                    Ended::Exited(code) => code,
                    Ended::Killed(signal) => 128 + signal,
                });
            }
        }
        match process::next_signal() {
            Ok(nix::libc::SIGCHLD) => {}
            // The payload can't be reaped but here, so its id is still its own.
            Ok(number) => process::kill(payload, number),
            Err(Errno::EINTR) => {}
            Err(_) => exit_now(125),
        }
    }
}
