//! How the payload is scheduled, and as what kind of machine it sees this one.
//!
//! Reads `process.scheduler`, `process.ioPriority` and `linux.personality`, which
//! only bundles have.

use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxPersonalityDomain, LinuxSchedulerPolicy, Process,
};

use super::step::Step;

/// The steps for what is asked: early, for a filter need not allow them later.
pub fn steps(process: &Process, linux: &Linux) -> Vec<Step> {
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
        steps.push(Step::Schedule { policy, name, nice, priority: priority as u32 });
    }
    if let Some(asked) = process.io_priority() {
        let (class, name) = match asked.class() {
            IOPriorityClass::IoprioClassRt => (1, "real-time"),
            IOPriorityClass::IoprioClassBe => (2, "best-effort"),
            IOPriorityClass::IoprioClassIdle => (3, "idle"),
        };
        steps.push(Step::DiskPriority { class, name, level: asked.priority() as u16 });
    }
    steps
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
