//! What a bundle may ask for and is not to be had: refused by its name.

use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, anyhow, bail, ensure};
use oci_spec::runtime::{
    Linux, LinuxNamespaceType, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process, Spec as Oci,
};

use crate::error::Explain;
use crate::spec::resources::list::numbers;

/// Looks through all that is not read elsewhere.
///
/// # Errors
/// The first field that can't be honoured.
pub fn check(oci: &Oci) -> anyhow::Result<()> {
    let others = [
        ("solaris", oci.solaris().is_some()),
        ("windows", oci.windows().is_some()),
        ("vm", oci.vm().is_some()),
        ("zos", oci.zos().is_some()),
    ];
    for (platform, is_there) in others {
        ensure!(!is_there, "{platform}: this runtime makes Linux containers");
    }
    // The specification has them below linux alone.
    let misplaced = oci.uid_mappings().is_some() || oci.gid_mappings().is_some();
    ensure!(!misplaced, "uidMappings and gidMappings belong below linux");
    check_hooks(oci)?;
    let process = oci.process().as_ref().context("process is missing")?;
    check_process(process)?;
    let linux = oci.linux().as_ref().context("linux is missing")?;
    check_linux(linux)?;
    let has = |kind| linux.namespaces().iter().flatten().any(|one| one.typ() == kind);
    for (field, value) in [("hostname", oci.hostname()), ("domainname", oci.domainname())] {
        let given = value.as_ref().is_some_and(|value| !value.is_empty());
        if given && !has(LinuxNamespaceType::Uts) {
            return Err(anyhow!("{field} would be that of the caller's machine"))
                .hint("add a uts namespace to linux.namespaces");
        }
    }
    Ok(())
}

fn check_hooks(oci: &Oci) -> anyhow::Result<()> {
    let Some(hooks) = oci.hooks() else { return Ok(()) };
    #[allow(deprecated)]
    let all = [
        ("prestart", hooks.prestart()),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ];
    for (field, hooks) in all {
        for (at, hook) in hooks.iter().flatten().enumerate() {
            let name = || format!("hooks.{field}[{at}]");
            let (path, timeout) = (hook.path(), hook.timeout());
            ensure!(path.is_absolute(), "{}.path {path:?} is not absolute", name());
            ensure!(
                timeout.is_none_or(|seconds| seconds > 0),
                "{}.timeout is not a number of seconds above 0",
                name()
            );
        }
    }
    Ok(())
}

/// Looks through what is said of a program.
///
/// # Errors
/// The first field that can't be honoured.
pub fn check_process(process: &Process) -> anyhow::Result<()> {
    let args = process.args().as_deref().unwrap_or_default();
    ensure!(args.first().is_some_and(|word| !word.is_empty()), "process.args names no program");
    let cwd = process.cwd();
    ensure!(cwd.is_absolute(), "process.cwd {cwd:?} is not absolute");
    ensure!(process.command_line().is_none(), "process.commandLine is for Windows");
    ensure!(process.user().username().is_none(), "process.user.username is for Windows");
    let limits = process.rlimits().as_deref().unwrap_or_default();
    for (at, limit) in limits.iter().enumerate() {
        let (kind, soft, hard) = (limit.typ(), limit.soft(), limit.hard());
        ensure!(soft <= hard, "process.rlimits: the soft limit of {kind} is above the hard one");
        let twice = limits[..at].iter().any(|earlier| earlier.typ() == kind);
        ensure!(!twice, "process.rlimits has {kind} twice");
    }
    if let Some(score) = process.oom_score_adj() {
        let known = (-1000..=1000).contains(&score);
        ensure!(known, "process.oomScoreAdj {score} is not a number from -1000 to 1000");
    }
    if let Some(profile) = given(process.apparmor_profile())
        && profile != "unconfined"
    {
        return Err(anyhow!("process.apparmorProfile {profile:?} can't be had")).hint(
            "sublet-oci changes no profile: what confines the caller confines the container",
        );
    }
    if let Some(label) = given(process.selinux_label()) {
        return no_label("process.selinuxLabel", label);
    }
    if let Some(affinity) = process.exec_cpu_affinity() {
        for (field, list) in
            [("initial", affinity.initial()), ("final", affinity.cpu_affinity_final())]
        {
            let list = list.as_deref().map(numbers).transpose();
            list.with_context(|| format!("process.execCPUAffinity.{field}"))?;
        }
    }
    check_schedule(process)
}

fn check_schedule(process: &Process) -> anyhow::Result<()> {
    if let Some(priority) = process.io_priority() {
        let level = priority.priority();
        ensure!((0..=7).contains(&level), "process.ioPriority.priority {level} is not from 0 to 7");
    }
    let Some(scheduler) = process.scheduler() else { return Ok(()) };
    let policy = *scheduler.policy();
    let known =
        !matches!(policy, LinuxSchedulerPolicy::SchedIso | LinuxSchedulerPolicy::SchedDeadline);
    ensure!(known, "process.scheduler.policy {policy}: no ordinary user gets it of the kernel");
    for flag in scheduler.flags().iter().flatten() {
        let name = || format!("process.scheduler.flags: {flag}");
        match flag {
            LinuxSchedulerFlag::SchedResetOnFork
            | LinuxSchedulerFlag::SchedFlagKeepPolicy
            | LinuxSchedulerFlag::SchedFlagKeepParams => {}
            LinuxSchedulerFlag::SchedFlagReclaim | LinuxSchedulerFlag::SchedFlagDLOverrun => {
                bail!("{} goes with SCHED_DEADLINE", name())
            }
            LinuxSchedulerFlag::SchedFlagUtilClampMin
            | LinuxSchedulerFlag::SchedFlagUtilClampMax => {
                bail!("{}: the configuration has no field for its value", name())
            }
        }
    }
    let deadline = [scheduler.runtime(), scheduler.deadline(), scheduler.period()];
    let deadline = deadline.iter().any(|time| time.is_some_and(|time| time != 0));
    ensure!(!deadline, "process.scheduler: runtime, deadline and period go with SCHED_DEADLINE");
    let (nice, priority) = (scheduler.nice().unwrap_or(0), scheduler.priority().unwrap_or(0));
    ensure!((-20..=19).contains(&nice), "process.scheduler.nice {nice} is not from -20 to 19");
    ensure!(
        (0..=99).contains(&priority),
        "process.scheduler.priority {priority} is not from 0 to 99"
    );
    Ok(())
}

fn check_linux(linux: &Linux) -> anyhow::Result<()> {
    if let Some(label) = given(linux.mount_label()) {
        return no_label("linux.mountLabel", label);
    }
    if let Some(seccomp) = linux.seccomp() {
        let path = seccomp.listener_path().as_deref().filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = path {
            let what = || format!("linux.seccomp.listenerPath {path:?}");
            ensure!(path.is_absolute(), "{} is not absolute", what());
            let bytes = path.as_os_str().as_bytes();
            // unix(7).
            ensure!(bytes.len() < 108, "{} is longer than a socket's path can be", what());
            ensure!(!bytes.contains(&0), "{} has a NUL", what());
        }
        ensure!(
            path.is_some() || given(seccomp.listener_metadata()).is_none(),
            "linux.seccomp.listenerMetadata goes with listenerPath"
        );
    }
    if linux.intel_rdt().is_some() {
        return Err(anyhow!("linux.intelRdt takes root"))
            .hint("only root may write to /sys/fs/resctrl: leave it out");
    }
    let personality_flags = linux.personality().as_ref().is_some_and(|personality| {
        personality.flags().as_ref().is_some_and(|flags| !flags.is_empty())
    });
    if linux.net_devices().as_ref().is_some_and(|map| !map.is_empty()) {
        return Err(anyhow!("linux.netDevices takes root"))
            .hint("only root of the network that a device is in may move it out: leave it out");
    }
    if let Some(policy) = linux.memory_policy() {
        let list = policy.nodes().as_deref().filter(|list| !list.is_empty());
        list.map(numbers).transpose().context("linux.memoryPolicy.nodes")?;
    }
    for (clock, offset) in linux.time_offsets().iter().flatten() {
        let known = matches!(clock.as_str(), "monotonic" | "boottime");
        ensure!(known, "linux.timeOffsets.{clock}: the clocks are monotonic and boottime");
        let nanos = offset.nanosecs().unwrap_or(0);
        ensure!(
            nanos < 1_000_000_000,
            "linux.timeOffsets.{clock}.nanosecs {nanos} is a second and more"
        );
    }
    ensure!(!personality_flags, "linux.personality.flags: the specification knows none");
    Ok(())
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn no_label(field: &str, label: &str) -> anyhow::Result<()> {
    Err(anyhow!("{field} {label:?} can't be had"))
        .hint("sublet-oci sets no SELinux labels: podman run --security-opt label=disable")
}
