//! Whether a signal has woken a process, told by how often its threads slept.
//!
//! The threads of a process of other ids can't be asked what they wait for: their
//! `syscall` is for those who may trace them (proc_pid_syscall(5)). What anybody
//! may read is whether they sleep, and how often they went to sleep.

use std::collections::BTreeMap;

use nix::unistd::Pid;

/// The threads of a process at one moment, by their number.
#[derive(Debug)]
pub struct Wakes(BTreeMap<String, Thread>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Thread {
    asleep: bool,
    /// `voluntary_ctxt_switches` of proc_pid_status(5).
    sleeps: u64,
}

impl Wakes {
    /// As they are now; none of a process that has ended.
    pub fn of(pid: Pid) -> Self {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
        let thread = |entry: std::fs::DirEntry| {
            let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
            Some((entry.file_name().into_string().ok()?, Thread::of(&status)?))
        };
        Self(threads.flatten().filter_map(thread).collect())
    }

    /// Whether a thread that slept then has been awake by the time of `later`.
    pub fn until(&self, later: &Self) -> bool {
        let woken = |(number, then): (&String, &Thread)| {
            let now = later.0.get(number);
            then.asleep && now.is_some_and(|now| !now.asleep || now.sleeps != then.sleeps)
        };
        self.0.iter().any(woken)
    }
}

impl Thread {
    fn of(status: &str) -> Option<Self> {
        let has = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let asleep = has("State:")?.trim_start().starts_with(['S', 'D']);
        Some(Self { asleep, sleeps: has("voluntary_ctxt_switches:")?.trim().parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(threads: &[(&str, &str, u64)]) -> Wakes {
        let thread = |&(number, state, sleeps): &(&str, &str, u64)| {
            let status = format!(
                "Name:\tx\nState:\t{state}\nvoluntary_ctxt_switches:\t{sleeps}\n\
                 nonvoluntary_ctxt_switches:\t9\n"
            );
            (number.to_owned(), Thread::of(&status).expect("a status"))
        };
        Wakes(threads.iter().map(thread).collect())
    }

    #[test]
    fn who_slept_and_did_something_was_woken() {
        let then = at(&[("1", "S (sleeping)", 4), ("2", "R (running)", 7)]);
        assert!(!then.until(&then));
        assert!(then.until(&at(&[("1", "S (sleeping)", 5), ("2", "R (running)", 7)])));
        assert!(then.until(&at(&[("1", "R (running)", 4)])));
        // Who ran waited for no signal, whatever it did since; who has gone, too.
        assert!(!then.until(&at(&[("1", "S (sleeping)", 4), ("2", "S (sleeping)", 8)])));
        assert!(!then.until(&at(&[("2", "R (running)", 7), ("3", "S (sleeping)", 1)])));
    }

    #[test]
    fn what_is_no_status_is_no_thread() {
        for text in ["", "State:\tS (sleeping)\n", "State:\tS\nvoluntary_ctxt_switches:\tmany\n"] {
            assert_eq!(Thread::of(text), None, "{text:?}");
        }
    }

    #[test]
    fn our_own_threads_are_seen() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || stopped.recv());
        let then = Wakes::of(Pid::this());
        assert!(then.0.len() >= 2, "{then:?}");
        drop(stop);
        _ = sleeper.join();
    }
}
