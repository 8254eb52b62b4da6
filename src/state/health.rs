//! How a container has been found by its health checks.

use serde::{Deserialize, Serialize};

use super::moment::Moment;

/// What its checks have said since it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// In a word.
    pub status: Wellness,
    /// How many have failed in a row.
    pub streak: u32,
    /// The last of them, the newest last.
    pub log: Vec<Checked>,
}

/// Whether it is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wellness {
    /// Nobody knows yet.
    #[default]
    Starting,
    /// It is.
    Healthy,
    /// It is not.
    Unhealthy,
}

impl Wellness {
    /// docker's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What one check has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// When it began.
    pub start: Moment,
    /// When it ended.
    pub end: Moment,
    /// Its exit code; -1 where it has taken too long.
    pub code: i32,
    /// The beginning of what it said.
    pub output: String,
}

impl Health {
    /// How many are kept.
    const KEPT: usize = 5;

    /// Takes one more, of a container that is not well after `retries` have
    /// failed in a row. Those that fail do not count while it `may_fail`, as
    /// after its start, unless one has succeeded already.
    pub fn note(&mut self, checked: Checked, retries: u32, may_fail: bool) {
        let excused = may_fail && self.status == Wellness::Starting;
        match checked.code {
            0 => (self.status, self.streak) = (Wellness::Healthy, 0),
            _ if excused => {}
            _ => {
                self.streak = self.streak.saturating_add(1);
                if self.streak >= retries {
                    self.status = Wellness::Unhealthy;
                }
            }
        }
        self.log.push(checked);
        let over = self.log.len().saturating_sub(Self::KEPT);
        self.log.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_failures_counts_and_one_success_ends_it() {
        let mut health = Health::default();
        let mut after = |code, may_fail| {
            let (start, end, output) = (Moment(1), Moment(2), String::new());
            health.note(Checked { start, end, code, output }, 2, may_fail);
            assert!(health.log.len() <= 5);
            (health.status.name(), health.streak)
        };
        assert_eq!(after(1, true), ("starting", 0));
        assert_eq!(after(1, false), ("starting", 1));
        assert_eq!(after(-1, false), ("unhealthy", 2));
        assert_eq!(after(7, true), ("unhealthy", 3), "it is not excused any more");
        assert_eq!(after(0, false), ("healthy", 0));
        assert_eq!(after(1, true), ("healthy", 1));
        assert_eq!(after(1, false), ("unhealthy", 2));
        assert_eq!(health.log.last().unwrap().code, 1);
    }
}
