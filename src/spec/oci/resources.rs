//! `linux.resources` and `linux.cgroupsPath` of a bundle.

use std::collections::HashMap;

use anyhow::{anyhow, bail, ensure};
use oci_spec::runtime::{Linux, LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxMemory};

use crate::error::Explain;
use crate::spec::resources::control::{Cgroups, Control};

/// Reads both, and leaves in `linux.resources` what limits name.
///
/// # Errors
/// What an ordinary user's control group can't do.
pub fn control(linux: &mut Linux, cgroups: Cgroups) -> anyhow::Result<Control> {
    let asked = linux.cgroups_path().as_ref().filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = asked
        && cgroups != Cgroups::Disabled
    {
        return Err(anyhow!("linux.cgroupsPath {path:?}: control groups are not in sublet-oci yet"))
            .hint("podman run --cgroups=disabled goes without; the global flag --cgroup-manager disabled too");
    }
    let control = Control { cgroups: Cgroups::Disabled, ..Control::default() };
    let Some(resources) = linux.resources_mut() else { return Ok(control) };
    devices(resources.devices().as_deref().unwrap_or_default())?;
    resources.set_devices(None);
    if let Some(memory) = resources.memory() {
        check_memory(memory)?;
    }
    if let Some(io) = resources.block_io() {
        check_io(io)?;
    }
    for (field, is_there) in [
        ("hugepageLimits", resources.hugepage_limits().as_ref().is_some_and(|it| !it.is_empty())),
        ("network", resources.network().is_some()),
        ("rdma", resources.rdma().as_ref().is_some_and(|it| !it.is_empty())),
    ] {
        ensure!(
            !is_there,
            "linux.resources.{field} takes root: an ordinary user has no such controller"
        );
    }
    let files = resources.cpu().as_ref().map(cpu_files).transpose()?.unwrap_or_default();
    if !files.is_empty() {
        let unified = resources.unified_mut().get_or_insert_default();
        // What is given by its file counts.
        files.into_iter().for_each(|(file, value)| _ = unified.entry(file).or_insert(value));
    }
    Ok(control)
}

/// No node can be made in a user namespace, and of those of the host a
/// container has only what is shown to it. So everything is denied that is not
/// given, and a rule that denies more can't be kept.
fn devices(rules: &[LinuxDeviceCgroup]) -> anyhow::Result<()> {
    for rule in rules.iter().filter(|rule| !rule.allow()) {
        let any = |number: Option<i64>| number.is_none_or(|number| number < 0);
        let whole = any(rule.major()) && any(rule.minor());
        if !whole {
            return Err(anyhow!("linux.resources.devices: a single device can't be denied"))
                .hint("leave it out of the mounts, or change the mode of its node on the host");
        }
    }
    Ok(())
}

fn check_memory(memory: &LinuxMemory) -> anyhow::Result<()> {
    let legacy = [
        ("kernel", memory.kernel().is_some()),
        ("kernelTCP", memory.kernel_tcp().is_some()),
        ("swappiness", memory.swappiness().is_some()),
        ("disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ("useHierarchy", memory.use_hierarchy() == Some(false)),
        ("checkBeforeUpdate", memory.check_before_update() == Some(true)),
    ];
    let found = legacy.iter().find(|(_, is_there)| *is_there);
    found.map_or(Ok(()), |(field, _)| {
        bail!("linux.resources.memory.{field}: cgroup v2 has nothing like it")
    })
}

fn check_io(io: &LinuxBlockIo) -> anyhow::Result<()> {
    let leaf = io.leaf_weight().is_some();
    ensure!(!leaf, "linux.resources.blockIO.leafWeight: cgroup v2 has nothing like it");
    let each = io.weight_device().as_ref().is_some_and(|devices| !devices.is_empty());
    ensure!(!each, "linux.resources.blockIO.weightDevice is not in sublet-oci yet");
    Ok(())
}

/// What has a file of its own and no word of ours.
fn cpu_files(cpu: &LinuxCpu) -> anyhow::Result<HashMap<String, String>> {
    let real_time = cpu.realtime_runtime().is_some() || cpu.realtime_period().is_some();
    ensure!(
        !real_time,
        "linux.resources.cpu.realtimeRuntime and realtimePeriod: cgroup v2 has nothing like them"
    );
    let burst = cpu.burst().map(|burst| ("cpu.max.burst".to_owned(), burst.to_string()));
    let idle = cpu.idle().map(|idle| ("cpu.idle".to_owned(), idle.to_string()));
    Ok(burst.into_iter().chain(idle).collect())
}
