//! How long something is waited for.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// A moment after which nobody waits any more.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The milliseconds that are left, rounded up; 0 when it is over.
    pub(super) fn milliseconds(self) -> u64 {
        let left = self.0.saturating_duration_since(Instant::now());
        u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
    }

    /// Sleeps a moment for what nothing tells the end of; false when it is
    /// over.
    pub(super) fn pause(self) -> bool {
        let go_on = self.milliseconds() > 0;
        if go_on {
            sleep(Duration::from_millis(1));
        }
        go_on
    }
}
