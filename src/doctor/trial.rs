//! Trials in a user namespace of their own, and how they went.

use std::ffi::CStr;
use std::time::Instant;

use nix::libc;

use super::Bench;
use crate::child::trial::{Gate, Trial};
use crate::error::causes;
use crate::host::advice;
use crate::plan::idmap;
use crate::spec::Userns;
use crate::sys::{Errno, mount};

/// What a trial says of itself.
pub type Outcome = Result<String, Stop>;

/// Where a trial stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// What was tried last.
    pub tried: String,
    /// What the kernel said; 0 where it was not the kernel.
    pub errno: i32,
}

impl Stop {
    /// For people.
    pub fn told(&self) -> String {
        match self.errno {
            0 => self.tried.clone(),
            errno => format!("{}: {}", self.tried, Errno::from_raw(errno).desc()),
        }
    }

    /// The kernel's word.
    pub fn errno(&self) -> Errno {
        Errno::from_raw(self.errno)
    }
}

/// Names what is tried.
pub fn tried<T>(what: &str, result: crate::sys::Result<T>) -> Result<T, Stop> {
    result.map_err(|errno| Stop { tried: what.to_owned(), errno: errno as i32 })
}

/// Does `work` in a user namespace with one id, as its root, and in the other
/// new namespaces of `kinds`; the mounts there are nobody else's.
///
/// # Errors
/// Where the namespaces or the map are refused, which is another probe's
/// matter, and where there is no time left: in words.
pub fn inside(
    bench: &Bench<'_>,
    kinds: i32,
    work: impl FnOnce() -> Outcome,
) -> Result<Outcome, String> {
    let refused = |error: &anyhow::Error| format!("not tried: {}", causes(error));
    let map = idmap::compile(&bench.spec(Userns::Single), bench.host);
    let map = map.map_err(|error| refused(&error))?;
    let kinds = (kinds | libc::CLONE_NEWUSER | libc::CLONE_NEWNS) as u64;
    let prepared = |gate: &Gate| {
        gate.pass();
        let private = tried("make all mounts private", set_private());
        to_bytes(&private.and_then(|()| work()))
    };
    let started = Trial::start(kinds, None, prepared);
    let mut trial = started
        .map_err(|errno| format!("not tried: {}", advice::for_clone(errno, bench.host).cause))?;
    let mapped = crate::idmap::begin(&map, trial.pid(), bench.host).and_then(|maps| maps.finish());
    mapped.map_err(|error| refused(&error))?;
    trial.go();
    let outcome = finish(trial, bench);
    match Instant::now() < bench.deadline {
        true => Ok(outcome),
        // A slow machine lacks nothing.
        false => outcome.map(Ok).map_err(|stop| format!("not known: {}", stop.told())),
    }
}

fn set_private() -> crate::sys::Result<()> {
    mount::set_root_propagation(libc::MS_PRIVATE)
}

/// What a trial says, or that it says nothing.
pub fn finish(trial: Trial, bench: &Bench<'_>) -> Outcome {
    let silent = |why: &str| Err(Stop { tried: why.to_owned(), errno: 0 });
    match trial.finish(bench.deadline) {
        None => silent("it was not done in time"),
        Some(bytes) => of_bytes(&bytes).unwrap_or_else(|| silent("it ended without a word")),
    }
}

/// A word, a number and a text, as a trial sends it.
pub fn to_bytes(outcome: &Outcome) -> Vec<u8> {
    match outcome {
        Ok(text) => format!("ok 0 {text}"),
        Err(stop) => format!("no {} {}", stop.errno, stop.tried),
    }
    .into_bytes()
}

fn of_bytes(bytes: &[u8]) -> Option<Outcome> {
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.splitn(3, ' ');
    let (word, errno, rest) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    match word {
        "ok" => Some(Ok(rest.to_owned())),
        "no" => Some(Err(Stop { tried: rest.to_owned(), errno })),
        _ => None,
    }
}

/// Makes a new instance of a file system, attached nowhere.
pub fn filesystem(
    kind: &CStr,
    options: &[(&CStr, Option<&CStr>)],
) -> Result<std::os::fd::OwnedFd, Stop> {
    let made = mount::new_filesystem(kind, options.iter().copied(), 0);
    tried(&format!("make a new {}", kind.to_string_lossy()), made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_pass_a_pipe() {
        let stop = Stop { tried: "mount x y".to_owned(), errno: 1 };
        for outcome in [Ok(String::new()), Ok("a b  c".to_owned()), Err(stop.clone())] {
            assert_eq!(of_bytes(&to_bytes(&outcome)), Some(outcome));
        }
        assert_eq!(of_bytes(b""), None);
        assert_eq!(of_bytes(b"no x y"), None);
        assert!(stop.told().starts_with("mount x y: "));
    }
}
