//! Asking a container again and again whether it is well.
//!
//! A check is a process of its own, for what it takes to go into a container may
//! wait for others; so nothing of it is ever waited for here.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::{Deserialize, Serialize};

use crate::child::companion::Companion;
use crate::error::{causes, exit_code};
use crate::spec::health::{Health, OnFailure};
use crate::state::{Checked, Moment, Wellness};
use crate::sys::fd;

/// How long a check has beyond its time, in which it ends what it has started.
const GRACE: Duration = Duration::from_secs(5);

/// As much as one can say, however it is written.
const LONGEST: usize = 32 << 10;

/// One check, which goes on. Dropped, it is killed.
pub struct Check {
    _process: Companion,
    line: OwnedFd,
    start: Moment,
    /// Until when it has said something.
    until: Option<Instant>,
}

/// What the process of a check says at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// The command has ended so, or not in time.
    Done {
        /// Its exit code, -1 where it was killed for its time.
        code: i32,
        /// The beginning of what it said.
        output: String,
    },
    /// The container stands still.
    Paused,
}

impl Check {
    /// Begins one, which may take `timeout`: `work` does it, in a copy of this
    /// process, and sends what it [`Said`] as JSON.
    ///
    /// # Errors
    /// What clone3(2) and socketpair(2) say.
    pub fn begin(timeout: Duration, work: impl FnOnce(BorrowedFd<'_>)) -> anyhow::Result<Self> {
        let (family, flags) = (AddressFamily::Unix, SockFlag::SOCK_CLOEXEC);
        let (line, theirs) = socketpair(family, SockType::SeqPacket, None, flags)
            .context("make a line to the check")?;
        let kept = [theirs.as_fd()].into_iter();
        let process = Companion::start_alike(kept, || work(theirs.as_fd()));
        let process = process.context("make a process for the check")?;
        let until = Instant::now().checked_add(timeout.saturating_add(GRACE));
        Ok(Self { _process: process, line, start: Moment::now(), until })
    }

    /// Ready to be read once it has ended.
    pub fn line(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }

    /// What it has said by now; `None` where the container stands still.
    pub fn end(self) -> Option<Checked> {
        let lost = |why: &str| Said::Done { code: -1, output: why.to_owned() };
        let mut packet = vec![0; LONGEST];
        let said = match fd::wait_readable([self.line()], fd::Patience::None) {
            Ok([true]) => match fd::receive(self.line(), &mut packet) {
                Ok((length, _)) => serde_json::from_slice(&packet[..length])
                    .unwrap_or_else(|_| lost("the process that asked was killed")),
                Err(errno) => lost(errno.desc()),
            },
            _ => lost("the process that asked did not come to an end"),
        };
        match said {
            Said::Done { code, output } => {
                Some(Checked { start: self.start, end: Moment::now(), code, output })
            }
            Said::Paused => None,
        }
    }
}

/// All of them, one after the other.
pub struct Checks<'a> {
    health: Health,
    begin: &'a dyn Fn() -> anyhow::Result<Check>,
    note: &'a dyn Fn(Checked, bool) -> Option<Wellness>,
    since: Instant,
    next: Option<Instant>,
    current: Option<Check>,
    well: Wellness,
}

impl<'a> Checks<'a> {
    /// Of a container that runs since now. `begin` begins one; `note` takes down
    /// what it has said, and hears whether it is one that may fail: how the
    /// container is by then, if that is known.
    pub fn new(
        health: Health,
        begin: &'a dyn Fn() -> anyhow::Result<Check>,
        note: &'a dyn Fn(Checked, bool) -> Option<Wellness>,
    ) -> Self {
        let (since, well) = (Instant::now(), Wellness::Starting);
        let mut checks = Self { health, begin, note, since, next: None, current: None, well };
        checks.plan(since);
        checks
    }

    /// What to wait for.
    pub(super) fn news(&self) -> Option<PollFd<'_>> {
        self.current.as_ref().map(|check| PollFd::new(check.line(), PollFlags::POLLIN))
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.current.as_ref().map_or(self.next, |check| check.until)
    }

    /// Does what is due by `now`: what is to be done with a container that is
    /// not well, once.
    pub(super) fn attend(&mut self, now: Instant) -> Option<OnFailure> {
        let late = self.next().is_some_and(|next| next <= now);
        let checked = match self.current.take() {
            None if !late => return None,
            None => match (self.begin)() {
                Ok(check) => {
                    self.current = Some(check);
                    return None;
                }
                Err(error) => {
                    let (start, end) = (Moment::now(), Moment::now());
                    let (code, output) = (i32::from(exit_code(&error)), causes(&error));
                    Some(Checked { start, end, code, output })
                }
            },
            Some(check) => {
                let ended = fd::wait_readable([check.line()], fd::Patience::None) != Ok([false]);
                if !ended && !late {
                    self.current = Some(check);
                    return None;
                }
                check.end()
            }
        };
        if let Some(checked) = checked {
            let may_fail = self.may_fail(now);
            self.well = (self.note)(checked, may_fail).unwrap_or(self.well);
        }
        self.plan(now);
        let action = self.health.on_failure;
        let acts = self.well == Wellness::Unhealthy && action != OnFailure::None;
        acts.then(|| {
            self.next = None;
            action
        })
    }

    /// Whether the last of them has left it well.
    pub(super) fn is_well(&self) -> bool {
        self.well == Wellness::Healthy
    }

    /// Whether it has just been started, and need not be well.
    fn may_fail(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < self.health.start_period
    }

    /// When the next one is due.
    fn plan(&mut self, now: Instant) {
        let starts = self.may_fail(now) && self.well == Wellness::Starting;
        let Health { interval, start_interval, .. } = self.health;
        let pause = if starts { start_interval.min(interval) } else { interval };
        self.next = now.checked_add(pause);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_is_due_after_the_other() {
        let mut health = Health::new(vec!["true".to_owned()]);
        health.start_period = 60 * SECOND;
        health.on_failure = OnFailure::Kill;
        let noted = RefCell::new(Vec::new());
        let well = RefCell::new(Wellness::Starting);
        let begin = || anyhow::bail!("none can be begun");
        let note = |checked: Checked, may_fail| {
            noted.borrow_mut().push((checked.code, checked.output, may_fail));
            Some(*well.borrow())
        };
        let mut checks = Checks::new(health, &begin, &note);
        let start = checks.since;
        assert_eq!(checks.next(), Some(start + 5 * SECOND));
        assert_eq!(checks.attend(start + 4 * SECOND), None);
        assert!(noted.borrow().is_empty());
        assert_eq!(checks.attend(start + 5 * SECOND), None);
        assert_eq!(*noted.borrow(), [(125, "none can be begun".to_owned(), true)]);
        assert_eq!(checks.next(), Some(start + 10 * SECOND));
        // Once it is well, or the time of the start is over.
        *well.borrow_mut() = Wellness::Healthy;
        assert_eq!(checks.attend(start + 10 * SECOND), None);
        assert_eq!(checks.next(), Some(start + 40 * SECOND));
        *well.borrow_mut() = Wellness::Unhealthy;
        assert_eq!(checks.attend(start + 90 * SECOND), Some(OnFailure::Kill));
        assert!(!noted.borrow()[2].2, "the time of the start is over");
        assert_eq!(checks.next(), None, "what is to be done is done");
    }
}
