//! What a cgroup uses and has used.
//!
//! The names of the files and of what is in them are the kernel's:
//! Documentation/admin-guide/cgroup-v2, and accounting/psi for pressure. What a
//! kernel doesn't tell, or a controller that is off, is `None`.

mod parse;
mod pressure;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::tree::Directory;
use parse::{Table, count, summed};
pub use pressure::{Pressure, Share, Stall};

/// What a cgroup and all below it use.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Needs the memory controller.
    pub memory: Option<Memory>,
    /// Is counted in every cgroup.
    pub cpu: Option<Cpu>,
    /// Needs the pids controller.
    pub pids: Option<Pids>,
    /// Needs the io controller.
    pub io: Option<Io>,
    /// How long was waited for what is scarce.
    pub pressure: Pressure,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All that is charged, the cache of files too: `memory.current`.
    pub current_bytes: u64,
    /// Without the part of the cache that has not been used for long, which
    /// the kernel drops first: what kubelet and docker call usage.
    pub working_set_bytes: u64,
    /// Of no file: heaps and stacks.
    pub anon_bytes: Option<u64>,
    /// Of files, tmpfs too.
    pub file_bytes: Option<u64>,
    /// The kernel's own, for it. From Linux 5.18.
    pub kernel_bytes: Option<u64>,
    /// Swapped out.
    pub swap_bytes: Option<u64>,
    /// `memory.max`; none where it has no limit.
    pub limit_bytes: Option<u64>,
    /// The most it ever was. From Linux 5.19.
    pub peak_bytes: Option<u64>,
    /// How often the limit was met and nothing could be reclaimed.
    pub ooms: Option<u64>,
    /// How many processes were killed for that. Where all are killed at once, the
    /// kernel counts the first one twice.
    pub oom_kills: Option<u64>,
    /// How often all of them were at once. From Linux 5.17.
    pub oom_group_kills: Option<u64>,
}

/// Processor time, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// All of it.
    pub usage_microseconds: u64,
    /// In programs.
    pub user_microseconds: Option<u64>,
    /// In the kernel, for them.
    pub system_microseconds: Option<u64>,
    /// Periods of `cpu.max` in which there was something to do.
    pub periods: Option<u64>,
    /// Those in which the quota was used up.
    pub throttled_periods: Option<u64>,
    /// How long its threads, taken together, were then kept from running.
    pub throttled_microseconds: Option<u64>,
}

/// Processes and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pids {
    /// As many as there are.
    pub current: u64,
    /// `pids.max`; none where it has no limit.
    pub limit: Option<u64>,
    /// The most there ever were. From Linux 6.1.
    pub peak: Option<u64>,
    /// How often one more was refused: `max` of `pids.events`.
    pub refused: Option<u64>,
}

/// Block devices, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Io {
    /// Read from them.
    pub read_bytes: u64,
    /// Written to them.
    pub written_bytes: u64,
    /// Requests to read.
    pub reads: u64,
    /// Requests to write.
    pub writes: u64,
}

impl Usage {
    /// Reads all there is. One that is removed meanwhile uses nothing.
    pub fn read(directory: &Directory) -> Self {
        Self::of(|file| directory.read(file).ok())
    }

    /// From the texts of the files.
    fn of(text: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            memory: memory(&text),
            cpu: text("cpu.stat").and_then(|text| cpu(&text)),
            pids: pids(&text),
            io: text("io.stat").map(|text| io(&text)),
            pressure: Pressure::of(&text),
        }
    }
}

fn memory(text: &impl Fn(&str) -> Option<String>) -> Option<Memory> {
    let number = |file: &str| count(&text(file)?);
    let table = |file: &str| Table::of(text(file).unwrap_or_default());
    let (stat, events) = (table("memory.stat"), table("memory.events"));
    let current_bytes = number("memory.current")?;
    let unused = stat.get("inactive_file").unwrap_or(0);
    Some(Memory {
        current_bytes,
        working_set_bytes: current_bytes.saturating_sub(unused),
        anon_bytes: stat.get("anon"),
        file_bytes: stat.get("file"),
        kernel_bytes: stat.get("kernel"),
        swap_bytes: number("memory.swap.current"),
        limit_bytes: number("memory.max"),
        peak_bytes: number("memory.peak"),
        ooms: events.get("oom"),
        oom_kills: events.get("oom_kill"),
        oom_group_kills: events.get("oom_group_kill"),
    })
}

fn cpu(text: &str) -> Option<Cpu> {
    let stat = Table::of(text.to_owned());
    Some(Cpu {
        usage_microseconds: stat.get("usage_usec")?,
        user_microseconds: stat.get("user_usec"),
        system_microseconds: stat.get("system_usec"),
        periods: stat.get("nr_periods"),
        throttled_periods: stat.get("nr_throttled"),
        throttled_microseconds: stat.get("throttled_usec"),
    })
}

fn pids(text: &impl Fn(&str) -> Option<String>) -> Option<Pids> {
    let number = |file: &str| count(&text(file)?);
    Some(Pids {
        current: number("pids.current")?,
        limit: number("pids.max"),
        peak: number("pids.peak"),
        refused: text("pids.events").and_then(|text| Table::of(text).get("max")),
    })
}

fn io(text: &str) -> Io {
    Io {
        read_bytes: summed(text, "rbytes"),
        written_bytes: summed(text, "wbytes"),
        reads: summed(text, "rios"),
        writes: summed(text, "wios"),
    }
}
