//! `--timing`: where the time of a start went.

use std::fmt;

use crate::plan::step::Phase;
use crate::sys::process::monotonic_nanos;

/// Moments of one launch, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub struct Timing {
    start: u64,
    mapped: Option<u64>,
    connected: Option<u64>,
    marks: Vec<(Phase, u64)>,
    executed: Option<u64>,
    ended: Option<u64>,
}

impl Timing {
    /// The clock starts now.
    pub fn start() -> Self {
        let start = monotonic_nanos();
        Self {
            start,
            mapped: None,
            connected: None,
            marks: Vec::new(),
            executed: None,
            ended: None,
        }
    }

    /// The maps are written.
    pub fn mapped(&mut self) {
        self.mapped = Some(monotonic_nanos());
    }

    /// The network reaches out.
    pub fn connected(&mut self) {
        self.connected = Some(monotonic_nanos());
    }

    /// The child has come to the end of a phase.
    pub fn mark(&mut self, phase: Phase, at: u64) {
        self.marks.push((phase, at));
    }

    /// The payload has been executed.
    pub fn executed(&mut self) {
        self.executed = Some(monotonic_nanos());
    }

    /// The payload has ended.
    pub fn ended(&mut self) {
        self.ended = Some(monotonic_nanos());
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |what: &str, from: u64, to: u64| {
            writeln!(f, "{:>10.3} ms  {what}", to.saturating_sub(from) as f64 / 1e6)
        };
        let mut before = self.start;
        for (phase, at) in &self.marks {
            let what = match phase {
                Phase::Trees => "clone, and open the host's trees".to_owned(),
                other => other.to_string(),
            };
            line(&what, before, *at)?;
            before = *at;
        }
        if let Some(executed) = self.executed {
            line("execute", before, executed)?;
            line("start, in all", self.start, executed)?;
            if let Some(connected) = self.connected {
                line("of it since the network reached out", connected, executed)?;
            }
            if let Some(ended) = self.ended {
                line("the payload itself", executed, ended)?;
            }
        }
        if let Some(mapped) = self.mapped {
            line("of it until the id maps were written (in parallel)", self.start, mapped)?;
        }
        Ok(())
    }
}
