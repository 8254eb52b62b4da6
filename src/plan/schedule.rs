//! How the payload is scheduled, and as what kind of machine it sees this one.
//!
//! Reads `process.scheduler`, `process.ioPriority`, `process.execCPUAffinity`,
//! `linux.personality` and `linux.memoryPolicy`, which only bundles have.

use anyhow::Context;
use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxMemoryPolicy, LinuxPersonalityDomain, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, MemoryPolicyFlagType as Flag, MemoryPolicyModeType as Mode, Process,
};

use super::step::Step;
use crate::spec::resources::list::numbers;

/// The steps for what is asked: early, for a filter need not allow them later.
///
/// # Errors
/// A list that is none.
pub fn steps(process: &Process, linux: &Linux) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    if let Some(personality) = linux.personality() {
        let (domain, name) = match personality.domain() {
            LinuxPersonalityDomain::PerLinux => (0, "LINUX"),
            LinuxPersonalityDomain::PerLinux32 => (8, "LINUX32"),
        };
        steps.push(Step::Personality { domain, name });
    }
    if let Some(asked) = process.scheduler() {
        let (policy, name) = policy(*asked.policy());
        let (nice, priority) = (asked.nice().unwrap_or(0), asked.priority().unwrap_or(0));
        let flags = asked.flags().iter().flatten().fold(0, |all, one| all | flag(*one));
        steps.push(Step::Schedule { policy, name, nice, priority: priority as u32, flags });
    }
    if let Some(asked) = process.io_priority() {
        let (class, name) = match asked.class() {
            IOPriorityClass::IoprioClassRt => (1, "real-time"),
            IOPriorityClass::IoprioClassBe => (2, "best-effort"),
            IOPriorityClass::IoprioClassIdle => (3, "idle"),
        };
        steps.push(Step::DiskPriority { class, name, level: asked.priority() as u16 });
    }
    steps.extend(linux.memory_policy().as_ref().map(memory).transpose()?);
    Ok(steps)
}

/// The step that a further program takes beside, once it is in the container's
/// control group, whose processors are all that it may have.
///
/// # Errors
/// As [`steps`].
pub fn further(process: &Process) -> anyhow::Result<Option<Step>> {
    let asked =
        process.exec_cpu_affinity().as_ref().and_then(|it| it.cpu_affinity_final().as_ref());
    let list = asked.map(|list| numbers(list).context("process.execCPUAffinity.final"));
    Ok(list.transpose()?.map(|list| Step::RunOn(list.into_iter().collect())))
}

/// The number of a memory policy is that of linux/mempolicy.h.
fn memory(asked: &LinuxMemoryPolicy) -> anyhow::Result<Step> {
    let mode = match asked.mode() {
        Mode::MpolDefault => 0,
        Mode::MpolPreferred => 1,
        Mode::MpolBind => 2,
        Mode::MpolInterleave => 3,
        Mode::MpolLocal => 4,
        Mode::MpolPreferredMany => 5,
        Mode::MpolWeightedInterleave => 6,
    };
    let bit = |flag: &Flag| match flag {
        Flag::MpolFNumaBalancing => 1 << 13,
        Flag::MpolFRelativeNodes => 1 << 14,
        Flag::MpolFStaticNodes => 1 << 15,
    };
    let flags = asked.flags().iter().flatten().map(bit).fold(0, |all, flag| all | flag);
    let nodes = asked.nodes().as_deref().filter(|list| !list.is_empty());
    let nodes = nodes.map(numbers).transpose().context("linux.memoryPolicy.nodes")?;
    let nodes = nodes.into_iter().flatten().collect();
    Ok(Step::MemoryPolicy { mode: mode | flags, name: asked.mode().to_string(), nodes })
}

/// The bit of a flag; linux/sched.h.
fn flag(flag: LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}

/// The number and the name of a policy; sched(7).
fn policy(policy: LinuxSchedulerPolicy) -> (u32, &'static str) {
    match policy {
        LinuxSchedulerPolicy::SchedOther => (0, "SCHED_OTHER"),
        LinuxSchedulerPolicy::SchedFifo => (1, "SCHED_FIFO"),
        LinuxSchedulerPolicy::SchedRr => (2, "SCHED_RR"),
        LinuxSchedulerPolicy::SchedBatch => (3, "SCHED_BATCH"),
        LinuxSchedulerPolicy::SchedIso => (4, "SCHED_ISO"),
        LinuxSchedulerPolicy::SchedIdle => (5, "SCHED_IDLE"),
        LinuxSchedulerPolicy::SchedDeadline => (6, "SCHED_DEADLINE"),
    }
}
