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
    // SAFETY: the child goes on with the steps, which take no heap.
    match unsafe { process::clone_copying(0)? } {
        None => Ok(()),
        Some(payload) => reap_until(payload.pid),
    }
}

/// Reaps and forwards until `payload` ends, then ends as it did.
fn reap_until(payload: Pid) -> ! {
    // This process has the launcher's memory, and with it the caller's
    // environment: nothing in the container may look into it (ptrace(2),
    // PTRACE_MODE).
    #[cfg(feature = "weaken")]
    let hide = !super::weak::REAPER.load(std::sync::atomic::Ordering::Relaxed);
    #[cfg(not(feature = "weaken"))]
    let hide = true;
    if hide {
        let _ = confine::hide_memory();
    }
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
        match process::next_signal() {
            Ok(number) if number == nix::libc::SIGCHLD => {
                while let Ok(Some((pid, ended))) = process::reap_any() {
                    if pid == payload {
                        exit_now(match ended {
                            Ended::Exited(code) => code,
                            Ended::Killed(signal) => 128 + signal,
                        });
                    }
                }
            }
            // The payload can't be reaped but here, so its id is still its own.
            Ok(number) => process::kill(payload, number),
            Err(Errno::EINTR) => {}
            Err(_) => exit_now(125),
        }
    }
}
