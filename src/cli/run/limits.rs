//! How much the container may use.

use std::collections::HashMap;

use anyhow::ensure;
use clap::Args;
use oci_spec::runtime::{LinuxBlockIo, LinuxNamespaceType, LinuxResources, LinuxThrottleDevice};

use super::caller::Caller;
use super::typed;
use crate::cli::changeable::{ChangeableArgs, read};
use crate::spec::Spec;
use crate::spec::duration::duration;
use crate::spec::resources::control::{self, Control};
use crate::spec::resources::io::{self, Unit};

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    #[command(flatten)]
    changeable: ChangeableArgs,

    /// Bytes read from a device in a second
    #[arg(long, value_name = "PATH:RATE")]
    device_read_bps: Vec<String>,

    /// Bytes written to a device in a second
    #[arg(long, value_name = "PATH:RATE")]
    device_write_bps: Vec<String>,

    /// Reads from a device in a second
    #[arg(long, value_name = "PATH:RATE")]
    device_read_iops: Vec<String>,

    /// Writes to a device in a second
    #[arg(long, value_name = "PATH:RATE")]
    device_write_iops: Vec<String>,

    /// A file of its control group: memory.high=400M
    #[arg(long, value_name = "KEY=VALUE")]
    cgroup_conf: Vec<String>,

    /// Where its control group is made: /PATH, or NAME.slice
    #[arg(long, value_name = "PARENT")]
    cgroup_parent: Option<String>,

    /// Who makes it: auto, systemd, direct, require or disabled
    #[arg(long, value_name = "WHO")]
    cgroups: Option<String>,

    /// Let it make control groups of its own
    #[arg(long)]
    cgroup_delegate: bool,

    /// If one can't be had: an error, or go on and say so
    #[arg(long, value_name = "strict|best-effort")]
    limits: Option<String>,

    /// How long it may run: seconds, 90s, 1m30s
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
}

impl LimitArgs {
    pub fn enter(self, spec: &mut Spec, caller: &Caller) -> anyhow::Result<()> {
        let resources = self.resources(caller)?;
        if resources != LinuxResources::default() {
            spec.linux_mut().set_resources(Some(resources));
        }
        spec.beside.control = Control {
            engine: None,
            cgroups: read("--cgroups", &self.cgroups, str::parse)?.unwrap_or_default(),
            parent: read("--cgroup-parent", &self.cgroup_parent, str::parse)?,
            limits: read("--limits", &self.limits, str::parse)?.unwrap_or_default(),
            delegate: self.cgroup_delegate,
        };
        if self.cgroup_delegate {
            ensure!(
                !spec.shares(LinuxNamespaceType::Cgroup),
                "--cgroup-delegate would show the host's groups with --cgroupns host"
            );
            open_cgroups(spec);
        }
        let timeout = read("--timeout", &self.timeout, duration)?;
        spec.beside.timeout = timeout.filter(|timeout| !timeout.is_zero());
        Ok(())
    }

    fn resources(&self, caller: &Caller) -> anyhow::Result<LinuxResources> {
        let mut resources = self.changeable.said()?.fresh()?;
        let mut unified = HashMap::new();
        for text in &self.cgroup_conf {
            unified.extend([typed("--cgroup-conf", text, control::conf)?]);
        }
        let weight = resources.block_io().as_ref().and_then(LinuxBlockIo::weight);
        resources
            .set_block_io(self.block_io(weight, caller)?)
            .set_unified((!unified.is_empty()).then_some(unified));
        Ok(resources)
    }

    fn block_io(
        &self,
        weight: Option<u16>,
        caller: &Caller,
    ) -> anyhow::Result<Option<LinuxBlockIo>> {
        let rates = |flag: &str, texts: &[String], unit| {
            let one = |text: &String| {
                typed(flag, text, |text| {
                    let (path, rate) = io::rate(text, unit)?;
                    io::throttle((caller.disk)(&path)?, rate)
                })
            };
            let rates: anyhow::Result<Vec<LinuxThrottleDevice>> = texts.iter().map(one).collect();
            rates.map(|rates| (!rates.is_empty()).then_some(rates))
        };
        let mut io = LinuxBlockIo::default();
        io.set_weight(weight)
            .set_throttle_read_bps_device(rates(
                "--device-read-bps",
                &self.device_read_bps,
                Unit::Bytes,
            )?)
            .set_throttle_write_bps_device(rates(
                "--device-write-bps",
                &self.device_write_bps,
                Unit::Bytes,
            )?)
            .set_throttle_read_iops_device(rates(
                "--device-read-iops",
                &self.device_read_iops,
                Unit::Operations,
            )?)
            .set_throttle_write_iops_device(rates(
                "--device-write-iops",
                &self.device_write_iops,
                Unit::Operations,
            )?);
        Ok((io != LinuxBlockIo::default()).then_some(io))
    }
}

/// Has the container's own cgroup tree writable.
fn open_cgroups(spec: &mut Spec) {
    for mount in spec.oci.mounts_mut().iter_mut().flatten() {
        if mount.typ().as_deref() == Some("cgroup")
            && let Some(options) = mount.options_mut()
        {
            options.retain(|option| option != "ro");
        }
    }
}
