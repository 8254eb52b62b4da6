//! Signals for the launcher are signals for the payload.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{Signal, raise};
use nix::unistd::Pid;

use super::wakes::Wakes;
use crate::plan::First;
use crate::sys::process::send_signal;

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The payload has it.
    Forwarded,
    /// The payload is stopped.
    Stopped,
}

/// What a signal does to a process that has no handler for it (signal(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Default {
    Terminate,
    Stop,
    Nothing,
}

/// What a process does with a signal, as /proc tells.
enum Disposition {
    /// The default action, which pid 1 is spared.
    Default,
    /// The same once it is not blocked any more.
    Blocked,
    /// It handles or ignores it.
    Own,
    /// It can't be told.
    Unknown,
}

/// Whether a signal that a process does not handle reaches it nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Yes,
    No,
    /// Those who may not trace it can't tell.
    Unknown,
}

/// How often it is looked whether a signal is still blocked, and how long it is
/// waited in between: 20 ms in all for a payload that takes signals from a
/// descriptor.
const LOOKS: u32 = 11;
const PAUSE: Duration = Duration::from_millis(2);

/// Forwards signals, and does for pid 1 what the kernel does not.
///
/// The kernel drops a signal that pid 1 of a pid namespace has no handler for
/// (pid_namespaces(7)), so `sublet run host sleep 100` would not end on
/// ctrl-C. What the signal would have done to any other process is done here.
pub struct Forwarder {
    pid: Pid,
    spared: Spared,
    killed_for: Option<i32>,
}

/// What the kernel spares the payload, where it has no handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spared {
    /// Every signal: it is pid 1.
    All,
    /// Those that stop a process: it leads a session, in which nobody could
    /// let it go on (setpgid(2), orphaned).
    Stops,
    /// Nothing of what it is sent: a reaper of ours passes it on.
    Nothing,
}

impl Forwarder {
    /// For the payload `pid`, which must not be reaped as long as this is
    /// used.
    pub fn new(pid: Pid, first: First) -> Self {
        let spared = match first {
            First::Payload => Spared::All,
            First::Reaper => Spared::Nothing,
        };
        Self { pid, spared, killed_for: None }
    }

    /// For a program that runs beside the payload.
    pub fn beside(pid: Pid) -> Self {
        Self { pid, spared: Spared::Stops, killed_for: None }
    }

    /// Forwards one signal.
    pub fn forward(&mut self, number: i32, payload: BorrowedFd<'_>) -> Sent {
        if !self.is_dropped(number, payload) {
            return Sent::Forwarded;
        }
        // One that has ended needs none: errors are of no account.
        if default_action(number) == Default::Stop {
            let _ = send_signal(payload, libc::SIGSTOP);
            return Sent::Stopped;
        }
        self.killed_for = Some(number);
        let _ = send_signal(payload, libc::SIGKILL);
        Sent::Forwarded
    }

    /// Sends it, unless it is known that the kernel would drop it; whether it
    /// has dropped it, or would.
    fn is_dropped(&self, number: i32, payload: BorrowedFd<'_>) -> bool {
        let awaited = if self.is_spared(number) && self.is_unhandled(number) {
            self.waits_for_signals()
        } else {
            Awaited::Yes
        };
        let before = (awaited == Awaited::Unknown).then(|| Wakes::of(self.pid));
        if awaited != Awaited::No {
            let _ = send_signal(payload, number);
        }
        match before {
            None => awaited == Awaited::No,
            Some(before) => (0..LOOKS).all(|_| {
                std::thread::sleep(PAUSE);
                !before.until(&Wakes::of(self.pid))
            }),
        }
    }

    /// The signal that the payload's end is for: the one that was asked for,
    /// where SIGKILL stood in for it.
    pub fn cause_of(&self, signal: i32) -> i32 {
        match (signal, self.killed_for) {
            (libc::SIGKILL, Some(asked)) => asked,
            _ => signal,
        }
    }

    fn is_spared(&self, number: i32) -> bool {
        match default_action(number) {
            Default::Terminate => self.spared == Spared::All,
            Default::Stop => self.spared != Spared::Nothing,
            Default::Nothing => false,
        }
    }

    /// Whether the payload neither handles nor ignores nor blocks the signal.
    ///
    /// Blocked counts only where it stays so: fork(3) and posix_spawn(3) block
    /// all signals for a moment, and what comes then is dropped after it.
    fn is_unhandled(&self, number: i32) -> bool {
        for look in 0..LOOKS {
            if look > 0 {
                std::thread::sleep(PAUSE);
            }
            match self.disposition(number) {
                Disposition::Default => return true,
                Disposition::Blocked => {}
                Disposition::Own | Disposition::Unknown => return false,
            }
        }
        false
    }

    fn disposition(&self, number: i32) -> Disposition {
        let path = format!("/proc/{}/status", self.pid);
        let Ok(status) = std::fs::read_to_string(path) else { return Disposition::Unknown };
        let has = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let set = u64::from_str_radix(line.trim(), 16).ok()?;
            Some(set & (1 << (number - 1)) != 0)
        };
        match (has("SigIgn:"), has("SigCgt:"), has("SigBlk:")) {
            (Some(false), Some(false), Some(false)) => Disposition::Default,
            (Some(false), Some(false), Some(true)) => Disposition::Blocked,
            (Some(_), Some(_), Some(_)) => Disposition::Own,
            _ => Disposition::Unknown,
        }
    }

    /// Whether a thread is in sigwait(3): as long as it is, what it waits for
    /// shows as not blocked.
    fn waits_for_signals(&self) -> Awaited {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return Awaited::Unknown;
        };
        let mut awaited = Awaited::No;
        for thread in threads.flatten() {
            // Its first word is the number of the call, or "running"
            // (proc_pid_syscall(5)).
            match std::fs::read_to_string(thread.path().join("syscall")) {
                Ok(call) => {
                    let number = call.split(' ').next().and_then(|word| word.parse().ok());
                    if number == Some(libc::SYS_rt_sigtimedwait) {
                        return Awaited::Yes;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    awaited = Awaited::Unknown;
                }
                // A thread that has gone waits for nothing.
                Err(_) => {}
            }
        }
        awaited
    }
}

fn default_action(number: i32) -> Default {
    match number {
        libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => Default::Stop,
        libc::SIGCHLD | libc::SIGCONT | libc::SIGURG | libc::SIGWINCH => Default::Nothing,
        _ => Default::Terminate,
    }
}

/// Whether the signal ends a program that does not handle it.
pub fn ends(number: i32) -> bool {
    default_action(number) == Default::Terminate
}

/// Stops the launcher as well, so that the caller's shell sees a stopped job,
/// and lets the payload go on when it does.
pub fn stop_too(payload: BorrowedFd<'_>) {
    let _ = raise(Signal::SIGSTOP);
    let _ = send_signal(payload, libc::SIGCONT);
}
