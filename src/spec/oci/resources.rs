//! `linux.resources` and `linux.cgroupsPath` of a bundle.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use oci_spec::runtime::{
    Linux, LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxMemory, LinuxResources,
};
use serde_json::{Value, json};

use super::fields::all_known;
use crate::error::Explain;
use crate::spec::resources::control::{Cgroups, Control, Parent, conf};

/// Reads both, and leaves in `linux.resources` what limits name.
///
/// # Errors
/// What an ordinary user's control group can't do.
pub fn control(linux: &mut Linux, cgroups: Cgroups) -> anyhow::Result<Control> {
    let asked = linux.cgroups_path().as_ref().filter(|path| !path.as_os_str().is_empty());
    let control = match asked {
        Some(path) if cgroups != Cgroups::Disabled => {
            place(path, cgroups).with_context(|| format!("linux.cgroupsPath {path:?}"))?
        }
        _ => Control { cgroups: Cgroups::Disabled, ..Control::default() },
    };
    if let Some(resources) = linux.resources_mut() {
        check(resources)?;
        leave_out_unlimited(resources);
    }
    Ok(control)
}

/// Reads the `text` of a file with what `resources` is in a configuration.
///
/// # Errors
/// What is none, and the first field that can't be honoured.
pub fn read(text: &[u8]) -> anyhow::Result<LinuxResources> {
    let written: Value = serde_json::from_slice(text).context("it is not JSON")?;
    let mut resources: LinuxResources =
        serde_json::from_value(written.clone()).context("it is not as the specification has it")?;
    let known = serde_json::to_value(&resources).context("compare it with what is known")?;
    all_known(&json!({ "resources": written }), &json!({ "resources": known }))?;
    check(&mut resources)?;
    Ok(resources)
}

/// Looks whether all of it can be honoured, and takes out what says nothing.
///
/// # Errors
/// The first field that can't be.
pub fn check(resources: &mut LinuxResources) -> anyhow::Result<()> {
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
    for (file, value) in resources.unified().iter().flatten() {
        conf(&format!("{file}={value}"))
            .with_context(|| format!("linux.resources.unified {file:?}"))?;
    }
    leave_out_nothing(resources);
    Ok(())
}

/// The share of the CPU that every new group has.
const USUAL_SHARES: u64 = 1024;

/// A new group has no limits and the usual share, which takes no controller.
fn leave_out_unlimited(resources: &mut LinuxResources) {
    if resources.pids().is_some_and(|pids| pids.limit() < 0) {
        resources.set_pids(None);
    }
    if let Some(memory) = resources.memory_mut() {
        let had = *memory;
        let limited = |limit: Option<i64>| limit.filter(|limit| *limit >= 0);
        memory.set_limit(limited(had.limit())).set_swap(limited(had.swap()));
    }
    if let Some(cpu) = resources.cpu_mut() {
        let shares = cpu.shares().filter(|shares| *shares != USUAL_SHARES);
        cpu.set_shares(shares);
    }
}

/// Numbers that stand for nothing being said: zeros in the older engines' way,
/// for which there was no null. Of processes none is as many as there can be.
fn leave_out_nothing(resources: &mut LinuxResources) {
    if let Some(memory) = resources.memory_mut() {
        let said = |limit: Option<i64>| limit.filter(|limit| *limit != 0);
        let had = *memory;
        memory
            .set_limit(said(had.limit()))
            .set_reservation(said(had.reservation()))
            .set_swap(said(had.swap()));
    }
    if let Some(cpu) = resources.cpu_mut() {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (cpus, mems) = (said(cpu.cpus()), said(cpu.mems()));
        let (shares, quota, period) = (cpu.shares(), cpu.quota(), cpu.period());
        cpu.set_shares(shares.filter(|shares| *shares != 0))
            .set_quota(quota.filter(|quota| *quota != 0))
            .set_period(period.filter(|period| *period != 0))
            .set_cpus(cpus)
            .set_mems(mems);
    }
    if let Some(pids) = resources.pids_mut()
        && pids.limit() == 0
    {
        pids.set_limit(-1);
    }
    if let Some(io) = resources.block_io_mut() {
        io.set_weight(io.weight().filter(|weight| *weight != 0));
    }
}

/// Reads a path of the tree, from its root or from the group that is ours; or
/// `SLICE:PREFIX:NAME` for a scope of systemd's.
fn place(path: &Path, cgroups: Cgroups) -> anyhow::Result<Control> {
    let text = path.to_str().context("it is not UTF-8")?;
    let parts: Vec<_> = text.split(':').collect();
    let (parent, name) = match (cgroups, &parts[..]) {
        (Cgroups::Systemd, [slice, prefix, name]) => scope(slice, prefix, name)?,
        (Cgroups::Systemd, _) => {
            return Err(anyhow!("it is not SLICE:PREFIX:NAME, as systemd is asked"))
                .hint("a path goes with --cgroup-manager cgroupfs");
        }
        (_, [_, _, _]) if !path.is_absolute() => {
            return Err(anyhow!("it is no path"))
                .hint("a scope of systemd's goes with --systemd-cgroup");
        }
        _ => group(text)?,
    };
    Ok(Control { cgroups, parent, engine: Some(name), ..Control::default() })
}

fn scope(slice: &str, prefix: &str, name: &str) -> anyhow::Result<(Option<Parent>, String)> {
    let unit = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}-{name}") };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.\\@".contains(c);
    let named = !name.is_empty() && unit.chars().all(plain) && unit.len() < 240;
    ensure!(named, "{unit:?} is not the name of a scope");
    ensure!(!unit.ends_with(".slice"), "{unit:?}: a container is no slice");
    let parent = (!slice.is_empty()).then(|| slice.parse()).transpose()?;
    ensure!(!matches!(parent, Some(Parent::Path(_))), "{slice:?} is not the name of a slice");
    Ok((parent, unit.strip_suffix(".scope").unwrap_or(&unit).to_owned()))
}

fn group(text: &str) -> anyhow::Result<(Option<Parent>, String)> {
    let whole = if text.starts_with('/') { text.to_owned() } else { format!("/{text}") };
    let Parent::Path(whole) = whole.parse()? else { bail!("it is no path") };
    let name = whole.file_name().and_then(OsStr::to_str).context("it is the whole tree")?;
    let parent = whole.parent().unwrap_or(Path::new("/"));
    let parent = match text.starts_with('/') {
        true => Parent::Path(parent.to_owned()),
        false => Parent::Below(parent.strip_prefix("/").unwrap_or(parent).to_owned()),
    };
    Ok((Some(parent), name.to_owned()))
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
