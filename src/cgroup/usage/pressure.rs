//! Pressure stall information: how much time was lost waiting.

use serde::Serialize;

use super::parse::count;

/// Of each thing that can be scarce; none where the kernel counts no pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// Processors.
    pub cpu: Option<Stall>,
    /// Memory: reclaim, swapping in, thrashing.
    pub memory: Option<Stall>,
    /// Block devices.
    pub io: Option<Stall>,
}

/// How much was waited for one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stall {
    /// While at least one task waited.
    pub some: Share,
    /// While all of them did. For processors from Linux 5.13.
    pub full: Option<Share>,
}

/// A share of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// Of the last 10 seconds, in percent.
    pub avg10_percent: f64,
    /// Of the last minute.
    pub avg60_percent: f64,
    /// Of the last five minutes.
    pub avg300_percent: f64,
    /// In all.
    pub total_microseconds: u64,
}

impl Pressure {
    /// From the texts of the files.
    pub(super) fn of(text: &impl Fn(&str) -> Option<String>) -> Self {
        let stall = |file| text(file).and_then(|text| stall(&text));
        Self {
            cpu: stall("cpu.pressure"),
            memory: stall("memory.pressure"),
            io: stall("io.pressure"),
        }
    }
}

/// Lines such as `some avg10=0.00 avg60=1.20 avg300=0.02 total=1234`.
fn stall(text: &str) -> Option<Stall> {
    let line = |kind: &str| {
        text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' ')).and_then(share)
    };
    Some(Stall { some: line("some")?, full: line("full") })
}

fn share(line: &str) -> Option<Share> {
    let value = |key: &str| {
        line.split_ascii_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    };
    Some(Share {
        avg10_percent: percent(value("avg10")?)?,
        avg60_percent: percent(value("avg60")?)?,
        avg300_percent: percent(value("avg300")?)?,
        total_microseconds: count(value("total")?)?,
    })
}

/// Digits, a point, digits: no sign, no exponent, no `nan`.
fn percent(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.')?;
    count(whole).and(count(fraction))?;
    text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))
}
