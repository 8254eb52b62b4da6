//! `sublet stats`: what containers use.

use std::time::Instant;

use serde::Serialize;

use crate::cgroup::usage::{Cpu, Usage};
use crate::cgroup::{Directory, PAYLOAD};
use crate::spec::{ContainerId, Name};
use crate::state::{Life, Record, Store};

/// Whose figures are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Of all that run.
    Running,
    /// Of all that are known.
    All,
    /// Of these, in this order.
    These(Vec<ContainerId>),
}

/// Finds out which containers are meant by `words`; without any, all that run
/// or, if `all`, all.
///
/// # Errors
/// A word that means none, or more than one.
pub fn which(store: &Store, words: &[String], all: bool) -> anyhow::Result<Which> {
    if words.is_empty() {
        return Ok(if all { Which::All } else { Which::Running });
    }
    let ids = words.iter().map(|word| store.find(word).map(|record| record.id));
    ids.collect::<anyhow::Result<_>>().map(Which::These)
}

/// What was found at one moment.
#[derive(Debug, Default)]
pub struct Readings {
    /// Each container.
    pub readings: Vec<Reading>,
    /// What can't be said, and why.
    pub problems: Vec<anyhow::Error>,
}

impl Readings {
    /// Whether none of them runs: nothing will change any more.
    pub fn are_final(&self) -> bool {
        !self.readings.iter().any(|reading| runs(&reading.record))
    }
}

/// One container at one moment.
#[derive(Debug)]
pub struct Reading {
    record: Record,
    usage: Usage,
    at: Instant,
}

/// Reads the figures of all that are wanted and there.
///
/// # Errors
/// Where the records can't be read.
pub fn read(store: &Store, which: &Which) -> anyhow::Result<Readings> {
    let listing = store.list()?;
    let mut records = listing.records;
    match which {
        Which::All => {}
        Which::Running => records.retain(runs),
        Which::These(ids) => {
            records.retain(|record| ids.contains(&record.id));
            records.sort_by_key(|record| ids.iter().position(|id| *id == record.id));
        }
    }
    let readings = records.into_iter().map(|record| Reading {
        usage: if runs(&record) { usage(&record) } else { Usage::default() },
        at: Instant::now(),
        record,
    });
    Ok(Readings { readings: readings.collect(), problems: listing.problems })
}

fn runs(record: &Record) -> bool {
    matches!(record.life, Life::Running { .. })
}

/// What is used in the container's control group; nothing where it has none.
fn usage(record: &Record) -> Usage {
    let place = record.place.as_ref();
    let Some(limited) = place.and_then(|place| Directory::open(&place.cgroup).ok()) else {
        return Usage::default();
    };
    let mut usage = Usage::read(&limited);
    // In the group above is also a process of ours, and room for it.
    if let Some(pids) = limited.child(PAYLOAD).ok().and_then(|leaf| Usage::read(&leaf).pids) {
        usage.pids = Some(pids);
    }
    usage
}

/// What is shown of a container: its state, and how much it has used since the
/// reading before. What can't be known is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The whole id.
    pub id: ContainerId,
    /// What a person calls it.
    pub name: Option<Name>,
    /// `created`, `running`, `exited`, `supervisor-lost` or `reboot`.
    pub status: &'static str,
    /// Time of processors, in percent of one.
    pub cpu_percent: Option<f64>,
    /// Of the periods of its quota, those in which that was used up.
    pub throttled_percent: Option<f64>,
    /// The working set, in percent of the limit; none without a limit.
    pub memory_percent: Option<f64>,
    /// All else that the kernel tells.
    #[serde(flatten)]
    pub usage: Usage,
}

impl Figures {
    /// What became of each in `now` since `before`.
    pub fn between(before: &Readings, now: &Readings) -> Vec<Self> {
        let earlier = |reading: &Reading| {
            before.readings.iter().find(|earlier| earlier.record.id == reading.record.id)
        };
        now.readings.iter().map(|reading| Self::of(earlier(reading), reading)).collect()
    }

    fn of(before: Option<&Reading>, now: &Reading) -> Self {
        let used = before.and_then(|before| {
            let elapsed = now.at.checked_duration_since(before.at)?.as_micros();
            Some((before.usage.cpu.as_ref()?, now.usage.cpu.as_ref()?, elapsed as u64))
        });
        let memory = now.usage.memory.as_ref();
        Self {
            id: now.record.id.clone(),
            name: now.record.name.clone(),
            status: now.record.life.status(),
            cpu_percent: used.and_then(|(before, now, elapsed)| {
                let used = now.usage_microseconds.saturating_sub(before.usage_microseconds);
                percent(used, elapsed)
            }),
            throttled_percent: used.and_then(|(before, now, _)| throttled(before, now)),
            memory_percent: memory
                .and_then(|memory| percent(memory.working_set_bytes, memory.limit_bytes?)),
            usage: now.usage.clone(),
        }
    }
}

/// None was throttled where no period has passed in which it had to do.
fn throttled(before: &Cpu, now: &Cpu) -> Option<f64> {
    let periods = now.periods?.saturating_sub(before.periods?);
    let throttled = now.throttled_periods?.saturating_sub(before.throttled_periods?);
    Some(percent(throttled, periods).unwrap_or(0.0))
}

/// To two places; none of nothing.
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 * 10_000.0 / whole as f64).round() / 100.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cgroup::usage::Memory;
    use crate::state::{Asked, Identity, Moment};

    fn record(id: u8, name: Option<&str>) -> Record {
        let asked =
            Asked { root: "host".to_owned(), command: Vec::new(), labels: [].into(), limits: None };
        let name = name.map(|name| name.parse().unwrap());
        let mut record = Record::new(ContainerId::from_random([id; 32]), name, asked, None);
        let someone = Identity { boot: String::new(), pid: 1, start: 1 };
        let (launcher, payload) = (someone.clone(), someone);
        record.life = Life::Running { launcher, payload, started: Moment(0) };
        record
    }

    /// A container that had used `cpu` microseconds after `seconds`.
    fn reading(from: Instant, seconds: f64, cpu: Cpu) -> Reading {
        let usage = Usage { cpu: Some(cpu), ..Usage::default() };
        Reading {
            record: record(1, Some("web")),
            usage,
            at: from + Duration::from_secs_f64(seconds),
        }
    }

    /// One of which nothing is known but its name.
    pub(crate) fn nothing() -> Figures {
        let (record, usage) = (record(0xab, Some("web")), Usage::default());
        Figures::of(None, &Reading { record, usage, at: Instant::now() })
    }

    fn cpu(usage: u64, periods: u64, throttled: u64) -> Cpu {
        Cpu {
            usage_microseconds: usage,
            periods: Some(periods),
            throttled_periods: Some(throttled),
            ..Cpu::default()
        }
    }

    #[test]
    fn a_rate_is_between_two_readings() {
        let start = Instant::now();
        let before = reading(start, 0.0, cpu(1_000_000, 10, 5));
        let now = reading(start, 0.5, cpu(1_100_000, 15, 9));
        let figures = Figures::of(Some(&before), &now);
        assert_eq!((figures.cpu_percent, figures.throttled_percent), (Some(20.0), Some(80.0)));
        let alone = Figures::of(None, &now);
        assert_eq!((alone.cpu_percent, alone.throttled_percent), (None, None));
    }

    #[test]
    fn more_than_one_processor_is_more_than_a_hundred() {
        let start = Instant::now();
        let before = reading(start, 0.0, cpu(0, 0, 0));
        let now = reading(start, 2.0, cpu(5_000_000, 0, 0));
        let figures = Figures::of(Some(&before), &now);
        assert_eq!((figures.cpu_percent, figures.throttled_percent), (Some(250.0), Some(0.0)));
    }

    #[test]
    fn counters_that_start_anew_are_nothing() {
        let start = Instant::now();
        let (before, now) = (reading(start, 0.0, cpu(9, 9, 9)), reading(start, 1.0, cpu(1, 1, 1)));
        let figures = Figures::of(Some(&before), &now);
        assert_eq!((figures.cpu_percent, figures.throttled_percent), (Some(0.0), Some(0.0)));
        // At the same moment, by a coarse clock.
        assert_eq!(Figures::of(Some(&before), &before).cpu_percent, None);
    }

    #[test]
    fn each_container_is_compared_with_itself() {
        let start = Instant::now();
        let other = |seconds, used| Reading {
            record: record(2, None),
            ..reading(start, seconds, cpu(used, 0, 0))
        };
        let of = |readings| Readings { readings, problems: Vec::new() };
        let before = of(vec![reading(start, 0.0, cpu(0, 0, 0)), other(0.0, 0)]);
        let now = of(vec![other(1.0, 500_000), reading(start, 1.0, cpu(100_000, 0, 0))]);
        let percents: Vec<_> =
            Figures::between(&before, &now).iter().map(|one| one.cpu_percent).collect();
        assert_eq!(percents, [Some(50.0), Some(10.0)]);
    }

    #[test]
    fn the_working_set_is_measured_by_the_limit() {
        let share = |limit| {
            let memory = Memory { working_set_bytes: 16, limit_bytes: limit, ..Memory::default() };
            let usage = Usage { memory: Some(memory), ..Usage::default() };
            let now = Reading { record: record(1, None), usage, at: Instant::now() };
            Figures::of(None, &now).memory_percent
        };
        assert_eq!((share(Some(64)), share(Some(0)), share(None)), (Some(25.0), None, None));
    }

    #[test]
    fn a_container_is_one_flat_object() {
        let json = serde_json::to_value(nothing()).unwrap();
        assert_eq!((&json["name"], &json["status"]), (&"web".into(), &"running".into()));
        assert_eq!(json["id"].as_str().map(str::len), Some(64));
        for key in ["cpu_percent", "throttled_percent", "memory_percent", "memory", "cpu", "pids"] {
            assert_eq!(json.get(key), Some(&serde_json::Value::Null), "{key}");
        }
    }
}
