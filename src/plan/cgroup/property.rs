//! Files of cgroup v2 as properties of a unit; systemd.resource-control(5).
//!
//! systemd writes the files of its units anew whenever it likes, so what it
//! has a property for is set by that, and seen in `systemctl status`.

use std::fmt;

use super::limit::{Limit, number};
use crate::spec::resources::cpu::PERIOD;
use crate::spec::resources::list;
use crate::spec::size;

/// A property of the scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name on the bus.
    pub name: String,
    /// What it is set to.
    pub value: Value,
}

/// What a property is set to, with the signature that it has on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `t`; the greatest is infinity.
    U64(u64),
    /// `b`.
    Bool(bool),
    /// `s`.
    Text(String),
    /// `ay`: a set of numbers, the lowest in the lowest bit of the first byte.
    Bytes(Vec<u8>),
    /// `a(st)`: devices, and how much of them in a second.
    Rates(Vec<(String, u64)>),
}

/// Whether a property is all that a limit takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// It is.
    Spared,
    /// The file has to be written too.
    Written,
}

/// The properties for a limit; none where systemd has none for it.
pub fn properties(limit: &Limit) -> (Vec<Property>, File) {
    let one = |name: &str, value| vec![Property { name: name.to_owned(), value }];
    let content = limit.content.as_str();
    let found = match limit.file.as_str() {
        "memory.min" => bytes(content).map(|value| one("MemoryMin", value)),
        "memory.low" => bytes(content).map(|value| one("MemoryLow", value)),
        "memory.high" => bytes(content).map(|value| one("MemoryHigh", value)),
        "memory.max" => bytes(content).map(|value| one("MemoryMax", value)),
        "memory.swap.max" => bytes(content).map(|value| one("MemorySwapMax", value)),
        "pids.max" => plain(content).map(|value| one("TasksMax", value)),
        "cpu.weight" => plain(content).map(|value| one("CPUWeight", value)),
        "cpu.max" => quota(content),
        "cpuset.cpus" => set(content).map(|value| one("AllowedCPUs", value)),
        "cpuset.mems" => set(content).map(|value| one("AllowedMemoryNodes", value)),
        "io.weight" => plain(content.strip_prefix("default ").unwrap_or(content))
            .map(|value| one("IOWeight", value)),
        // systemd looks the device up by a name that may be missing here, and
        // then only complains to its log.
        "io.max" => return (rates(content).unwrap_or_default(), File::Written),
        _ => None,
    };
    match found {
        Some(properties) => (properties, File::Spared),
        None => (Vec::new(), File::Written),
    }
}

fn plain(content: &str) -> Option<Value> {
    number(content).ok().map(Value::U64)
}

/// The kernel reads sizes with a letter behind them, too.
fn bytes(content: &str) -> Option<Value> {
    plain(content).or_else(|| size::bytes(content).ok().map(Value::U64))
}

fn set(content: &str) -> Option<Value> {
    let numbers = list::numbers(content).ok()?;
    let mut bytes = vec![0_u8; *numbers.last()? as usize / 8 + 1];
    for number in numbers {
        bytes[number as usize / 8] |= 1 << (number % 8);
    }
    Some(Value::Bytes(bytes))
}

fn quota(content: &str) -> Option<Vec<Property>> {
    let (quota, period) = content
        .split_once(' ')
        .map_or((content, PERIOD), |(quota, period)| (quota, period.parse().unwrap_or(0)));
    let quota = number(quota).ok()?;
    if period == 0 {
        return None;
    }
    let a_second = match quota {
        u64::MAX => u64::MAX,
        quota => u64::try_from((u128::from(quota) * 1_000_000).div_ceil(period.into())).ok()?,
    };
    let property = |name: &str, value| Property { name: name.to_owned(), value: Value::U64(value) };
    let mut properties = vec![property("CPUQuotaPerSecUSec", a_second)];
    if period != PERIOD {
        properties.push(property("CPUQuotaPeriodUSec", period));
    }
    Some(properties)
}

fn rates(content: &str) -> Option<Vec<Property>> {
    let (device, keys) = content.split_once(' ')?;
    let property = |key: &str| {
        let (key, rate) = key.split_once('=')?;
        let name = match key {
            "rbps" => "IOReadBandwidthMax",
            "wbps" => "IOWriteBandwidthMax",
            "riops" => "IOReadIOPSMax",
            "wiops" => "IOWriteIOPSMax",
            _ => return None,
        };
        let value = Value::Rates(vec![(format!("/dev/block/{device}"), number(rate).ok()?)]);
        Some(Property { name: name.to_owned(), value })
    };
    keys.split_whitespace().map(property).collect()
}

/// Adds a property; rates of the same kind are one.
pub fn add(properties: &mut Vec<Property>, property: Property) {
    let same = properties.iter_mut().find(|known| known.name == property.name);
    match (same.map(|known| &mut known.value), property.value) {
        (Some(Value::Rates(known)), Value::Rates(more)) => known.extend(more),
        (Some(known), value) => *known = value,
        (None, value) => properties.push(Property { name: property.name, value }),
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name)?;
        match &self.value {
            Value::U64(u64::MAX) => f.write_str("infinity"),
            Value::U64(number) => write!(f, "{number}"),
            Value::Bool(yes) => f.write_str(if *yes { "yes" } else { "no" }),
            Value::Text(text) => f.write_str(text),
            Value::Bytes(bytes) => {
                let numbers = (0..bytes.len() * 8).filter(|at| bytes[at / 8] & 1 << (at % 8) != 0);
                let numbers: Vec<_> = numbers.map(|number| number.to_string()).collect();
                f.write_str(&numbers.join(","))
            }
            Value::Rates(rates) => {
                let rates: Vec<_> =
                    rates.iter().map(|(path, rate)| format!("{path} {rate}")).collect();
                f.write_str(&rates.join(", "))
            }
        }
    }
}
