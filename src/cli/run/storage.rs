//! What files the container sees.

use anyhow::ensure;
use clap::{ArgAction, Args};
use oci_spec::runtime::{LinuxNamespaceType, Mount};

use super::typed;
use crate::spec::{Spec, device, mount};

#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub struct StorageArgs {
    /// Show a directory or file: ro, rw, O (keep changes out), rslave, suid, dev, noexec...
    #[arg(short, long, value_name = "SRC:DST[:OPTIONS]")]
    volume: Vec<String>,

    /// Mount: type=bind|tmpfs|devpts|mqueue,src=...,dst=...,ro...
    #[arg(long, value_name = "KEY=VALUE,...")]
    mount: Vec<String>,

    /// A directory in memory: size=, mode=, exec...
    #[arg(long, value_name = "DST[:OPTIONS]")]
    tmpfs: Vec<String>,

    /// A device, or a directory of devices
    #[arg(long, value_name = "SRC[:DST]")]
    device: Vec<String>,

    /// Let nothing be written to the root
    #[arg(long)]
    read_only: bool,

    /// Under --read-only, memory on /run, /tmp and /var/tmp [default: true]
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        hide_default_value = true,
        hide_possible_values = true
    )]
    read_only_tmpfs: bool,

    /// How large /dev/shm may become [default: 64m]
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
}

impl StorageArgs {
    pub fn enter(self, spec: &mut Spec) -> anyhow::Result<()> {
        if self.read_only
            && let Some(root) = spec.oci.root_mut()
        {
            root.set_readonly(Some(true));
        }
        let mut defaults = self.defaults(spec)?;
        if self.read_only && self.read_only_tmpfs {
            defaults.extend(mount::scratch_mounts());
        }
        for text in &self.device {
            let device = typed("--device", text, device::device)?;
            spec.beside.devices.push(device.destination().clone());
        }
        spec.oci.set_mounts(Some(mount::arrange(defaults, self.asked()?)?));
        Ok(())
    }

    fn defaults(&self, spec: &Spec) -> anyhow::Result<Vec<Mount>> {
        let host_ipc = spec.shares(LinuxNamespaceType::Ipc);
        let size = match &self.shm_size {
            Some(size) => Some(typed("--shm-size", size, mount::shm_size_option)?),
            None => None,
        };
        ensure!(!host_ipc || size.is_none(), "--shm-size would be the host's with --ipc host");
        let own = mount::private_mounts(size.as_deref());
        if host_ipc { mount::arrange(own, mount::host_ipc_mounts().into()) } else { Ok(own) }
    }

    fn asked(&self) -> anyhow::Result<Vec<Mount>> {
        let mut asked = Vec::new();
        for (flag, texts, read) in [
            ("--volume", &self.volume, mount::volume as fn(&str) -> anyhow::Result<Mount>),
            ("--mount", &self.mount, mount::mount),
            ("--tmpfs", &self.tmpfs, mount::tmpfs),
            ("--device", &self.device, device::device),
        ] {
            for text in texts {
                asked.push(typed(flag, text, read)?);
            }
        }
        Ok(asked)
    }
}
