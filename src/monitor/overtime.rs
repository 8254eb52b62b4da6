//! `--timeout`: how long the payload may run.

use std::time::{Duration, Instant};

use nix::libc;

use crate::spec::background::{STOP_TIMEOUT, Stop};
use crate::spec::signal::Signal;

/// The payload's time.
pub struct Overtime {
    limit: Option<Duration>,
    /// By what it is told to end.
    signal: Signal,
    /// How long it has then.
    grace: Duration,
    stage: Stage,
}

enum Stage {
    /// It runs, perhaps not longer than until then.
    Running(Option<Instant>),
    /// It has been told to end, by then.
    Told(Instant),
    /// It has been killed.
    Killed,
}

impl Overtime {
    /// From `start` on, at most `limit`; then it is stopped as by `sublet stop`.
    pub fn new(limit: Option<Duration>, stop: Stop, start: Instant) -> Self {
        let end = limit.and_then(|limit| start.checked_add(limit));
        let signal = stop.signal.map_or(Signal::TERM, Signal);
        let grace = Duration::from_secs(stop.timeout.unwrap_or(STOP_TIMEOUT).into());
        Self { limit, signal, grace, stage: Stage::Running(end) }
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Instant> {
        match self.stage {
            Stage::Running(end) => end,
            Stage::Told(end) => Some(end),
            Stage::Killed => None,
        }
    }

    /// The signal that is due, once.
    pub fn due(&mut self, now: Instant) -> Option<i32> {
        self.next().filter(|next| *next <= now)?;
        let (stage, signal) = match self.stage {
            Stage::Running(_) => (Stage::Told(now + self.grace), self.signal.0),
            Stage::Told(_) | Stage::Killed => (Stage::Killed, libc::SIGKILL),
        };
        self.stage = stage;
        Some(signal)
    }

    /// Whether the payload was told to end.
    pub fn is_over(&self) -> bool {
        !matches!(self.stage, Stage::Running(_))
    }

    /// What was done, if anything.
    pub fn told(&self) -> Option<String> {
        let limit = self.limit.filter(|_| self.is_over())?;
        let Self { signal, grace, .. } = self;
        let how = match self.stage {
            Stage::Killed => format!("it did not end within {grace:?} of {signal} and was killed"),
            _ => format!("it was ended by {signal}"),
        };
        Some(format!("the container's time of {limit:?} was over: {how}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_then_killed_then_left_alone() {
        let start = Instant::now();
        let limit = Duration::from_secs(3);
        let mut overtime = Overtime::new(Some(limit), Stop::default(), start);
        assert_eq!(overtime.next(), Some(start + limit));
        assert_eq!(overtime.due(start), None);
        assert!(!overtime.is_over() && overtime.told().is_none());

        let late = start + Duration::from_secs(4);
        assert_eq!(overtime.due(late), Some(libc::SIGTERM));
        assert!(overtime.is_over());
        let told = "the container's time of 3s was over: it was ended by SIGTERM";
        assert_eq!(overtime.told().as_deref(), Some(told));
        assert_eq!(overtime.due(late), None);

        assert_eq!(overtime.due(late + Duration::from_secs(10)), Some(libc::SIGKILL));
        assert!(
            overtime.told().unwrap().ends_with("did not end within 10s of SIGTERM and was killed")
        );
        assert_eq!((overtime.next(), overtime.due(late + Duration::from_secs(90))), (None, None));
    }

    #[test]
    fn it_is_stopped_as_it_asks() {
        let start = Instant::now();
        let stop = Stop { signal: Some(libc::SIGINT), timeout: Some(0) };
        let mut overtime = Overtime::new(Some(Duration::ZERO), stop, start);
        assert_eq!(overtime.due(start), Some(libc::SIGINT));
        assert!(overtime.told().unwrap().ends_with("it was ended by SIGINT"));
        assert_eq!(overtime.due(start), Some(libc::SIGKILL));
        assert!(overtime.told().unwrap().ends_with("within 0ns of SIGINT and was killed"));
    }

    #[test]
    fn without_a_limit_nothing_is_ever_due() {
        let start = Instant::now();
        for limit in [None, Some(Duration::MAX)] {
            let mut overtime = Overtime::new(limit, Stop::default(), start);
            assert_eq!((overtime.next(), overtime.due(start)), (None, None), "{limit:?}");
        }
    }
}
