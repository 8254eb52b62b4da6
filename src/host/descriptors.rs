//! How many files a process may have open at once: getrlimit(2),
//! RLIMIT_NOFILE.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

static RAISED: AtomicBool = AtomicBool::new(false);

/// The limit of this process: its descriptors are numbers below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// What counts.
    pub soft: u64,
    /// What that may be raised to.
    pub hard: u64,
}

impl Descriptors {
    /// As it came from the caller, whatever we have made of it since.
    ///
    /// # Errors
    /// What getrlimit(2) says.
    pub fn of_the_caller() -> anyhow::Result<Self> {
        static FOUND: OnceLock<Descriptors> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return Ok(*found);
        }
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)
            .context("ask how many files may be open (RLIMIT_NOFILE)")?;
        Ok(*FOUND.get_or_init(|| Self { soft, hard }))
    }

    /// Has this process, and who is made from now on, take all that there may
    /// be. Where that is refused (a hard limit above fs.nr_open, a filter) they
    /// have to do with what they have.
    pub fn raise(self) {
        if setrlimit(Resource::RLIMIT_NOFILE, self.hard, self.hard).is_ok() {
            RAISED.store(true, Ordering::Relaxed);
        }
    }

    /// Whether this process has taken more than came from the caller.
    pub fn are_raised() -> bool {
        RAISED.load(Ordering::Relaxed)
    }
}
