//! `--init`: a pid 1 that reaps orphans and passes signals on.
//!
//! The kernel gives pid 1 the orphans of its namespace to reap, and drops
//! signals to it for which it has no handler. Programs that were not written
//! for that leave zombies and ignore ctrl-C.

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

use crate::sys::process::{self, Cloned, Ended, exit_now};
use crate::sys::{Errno, Result, confine, fd};

/// Stays as pid 1; returns only in the new process, which goes on.
pub fn stay_behind() -> Result<()> {
    // SAFETY: this process has one thread; the child goes on with the steps,
    // which take no heap.
    match unsafe { process::clone(0)? } {
        Cloned::Child => Ok(()),
        Cloned::Parent { pid, .. } => reap_until(pid),
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
    let all = SigSet::all();
    if all.thread_set_mask().is_err() {
        exit_now(125);
    }
    loop {
        match process::next_signal(&all) {
            Ok(number) if number == Signal::SIGCHLD as i32 => {
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
