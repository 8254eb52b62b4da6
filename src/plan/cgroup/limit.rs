//! `linux.resources` as files of cgroup v2.

use anyhow::{Context, ensure};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use super::weight;
use crate::host::cgroup::Controller;
use crate::spec::resources::cpu::PERIOD;

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The flag that asked for it.
    pub asked: &'static str,
    /// The file that holds it.
    pub file: String,
    /// What is written there.
    pub content: String,
    /// Another file for the same, and what is written there.
    pub or: Option<(&'static str, String)>,
    /// Nobody asked for it: it goes with something that was asked for.
    pub implied: bool,
}

impl Limit {
    fn new(asked: &'static str, file: &str, content: impl ToString) -> Self {
        Self {
            asked,
            file: file.to_owned(),
            content: content.to_string(),
            or: None,
            implied: false,
        }
    }

    /// A number of processes that nobody asked for.
    pub fn pids(number: u64) -> Self {
        Self { implied: true, ..Self::new("--pids-limit", "pids.max", number) }
    }

    /// Who enforces it: nobody in particular for a file of the core.
    pub fn controller(&self) -> Option<Controller> {
        Controller::of_file(&self.file)
    }
}

/// All that is asked for. What was given by its file stands in the place of
/// what the other fields say of that file.
pub fn limits(resources: &LinuxResources) -> anyhow::Result<Vec<Limit>> {
    let mut limits = Vec::new();
    if let Some(memory) = resources.memory() {
        memory_limits(memory, &mut limits);
    }
    if let Some(cpu) = resources.cpu() {
        cpu_limits(cpu, &mut limits);
    }
    if let Some(pids) = resources.pids() {
        limits.push(Limit::new("--pids-limit", "pids.max", or_max(pids.limit())));
    }
    if let Some(io) = resources.block_io() {
        io_limits(io, &mut limits);
    }
    let mut files: Vec<_> = resources.unified().iter().flatten().collect();
    files.sort();
    limits.retain(|limit| files.iter().all(|(file, _)| **file != limit.file));
    for (file, content) in files {
        let limit = Limit::new("--cgroup-conf", file, content);
        ensure!(
            limit.controller().is_some() || file.starts_with("cgroup."),
            "--cgroup-conf {file}: an ordinary user has no such controller"
        );
        limits.push(limit);
    }
    Ok(limits)
}

fn or_max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

fn memory_limits(memory: &LinuxMemory, limits: &mut Vec<Limit>) {
    if let Some(limit) = memory.limit() {
        limits.push(Limit::new("--memory", "memory.max", or_max(limit)));
    }
    if let Some(reservation) = memory.reservation() {
        limits.push(Limit::new("--memory-reservation", "memory.low", or_max(reservation)));
    }
    // cgroup v2 counts swap by itself.
    match (memory.swap(), memory.limit()) {
        (Some(swap), Some(limit)) if swap >= 0 && limit >= 0 => {
            let content = swap.saturating_sub(limit).max(0);
            let told = Limit::new("--memory-swap", "memory.swap.max", content);
            // What is meant where nothing is said.
            let implied = swap == limit.saturating_mul(2);
            limits.push(Limit { implied, ..told });
        }
        (Some(swap), _) => {
            limits.push(Limit::new("--memory-swap", "memory.swap.max", or_max(swap)));
        }
        (None, _) => {}
    }
}

fn cpu_limits(cpu: &LinuxCpu, limits: &mut Vec<Limit>) {
    if let Some(shares) = cpu.shares() {
        limits.push(Limit::new("--cpu-shares", "cpu.weight", weight::of_shares(shares)));
    }
    if cpu.quota().is_some() || cpu.period().is_some() {
        let quota = or_max(cpu.quota().unwrap_or(-1));
        let content = format!("{quota} {}", cpu.period().unwrap_or(PERIOD));
        limits.push(Limit::new("--cpus", "cpu.max", content));
    }
    if let Some(cpus) = cpu.cpus() {
        limits.push(Limit::new("--cpuset-cpus", "cpuset.cpus", cpus));
    }
    if let Some(mems) = cpu.mems() {
        limits.push(Limit::new("--cpuset-mems", "cpuset.mems", mems));
    }
}

fn io_limits(io: &LinuxBlockIo, limits: &mut Vec<Limit>) {
    if let Some(weight) = io.weight() {
        let content = format!("default {}", weight::of_blkio(weight));
        let limit = Limit::new("--blkio-weight", "io.weight", content);
        // The weight as it was meant once, where the scheduler is BFQ.
        limits.push(Limit { or: Some(("io.bfq.weight", weight.to_string())), ..limit });
    }
    let mut rates = |asked, key, devices: &Option<Vec<LinuxThrottleDevice>>| {
        for device in devices.iter().flatten() {
            let content = format!("{}:{} {key}={}", device.major(), device.minor(), device.rate());
            limits.push(Limit::new(asked, "io.max", content));
        }
    };
    rates("--device-read-bps", "rbps", io.throttle_read_bps_device());
    rates("--device-write-bps", "wbps", io.throttle_write_bps_device());
    rates("--device-read-iops", "riops", io.throttle_read_iops_device());
    rates("--device-write-iops", "wiops", io.throttle_write_iops_device());
}

/// The number in a file, or the greatest where it says max.
pub fn number(content: &str) -> anyhow::Result<u64> {
    if content == "max" {
        return Ok(u64::MAX);
    }
    content.parse().with_context(|| format!("{content:?} is not a number"))
}
