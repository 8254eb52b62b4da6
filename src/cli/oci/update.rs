//! The words of `update`.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

use anyhow::{Context, ensure};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

use super::args::Update as Args;
use crate::spec::oci::{LONGEST, check_resources, read_resources};
use crate::spec::size;

impl Args {
    /// What they ask for: the flags, else the file.
    pub fn read(self) -> anyhow::Result<LinuxResources> {
        let mut said = match &self.resources {
            Some(path) => file(path)?,
            None => LinuxResources::default(),
        };
        let mut memory = LinuxMemory::default();
        memory
            .set_limit(bytes("--memory", &self.memory)?)
            .set_reservation(bytes("--memory-reservation", &self.memory_reservation)?)
            .set_swap(bytes("--memory-swap", &self.memory_swap)?);
        let mut cpu = LinuxCpu::default();
        cpu.set_period(self.cpu_period)
            .set_quota(self.cpu_quota)
            .set_burst(self.cpu_burst)
            .set_shares(self.cpu_share)
            .set_idle(self.cpu_idle)
            .set_cpus(self.cpuset_cpus)
            .set_mems(self.cpuset_mems);
        let typed = memory != LinuxMemory::default()
            || cpu != LinuxCpu::default()
            || self.pids_limit.is_some()
            || self.blkio_weight.is_some();
        ensure!(
            !typed || self.resources.is_none(),
            "--resources has all limits: leave the others out"
        );
        if !typed {
            return Ok(said);
        }
        said.set_memory(Some(memory)).set_cpu(Some(cpu));
        if let Some(limit) = self.pids_limit {
            let mut pids = LinuxPids::default();
            pids.set_limit(limit);
            said.set_pids(Some(pids));
        }
        if let Some(weight) = self.blkio_weight {
            let mut io = LinuxBlockIo::default();
            io.set_weight(Some(weight));
            said.set_block_io(Some(io));
        }
        check_resources(&mut said)?;
        Ok(said)
    }
}

fn file(path: &Path) -> anyhow::Result<LinuxResources> {
    let what = || format!("read the limits {path:?}");
    let mut text = Vec::new();
    if path == Path::new("-") {
        stdin().take(LONGEST).read_to_end(&mut text).with_context(what)?;
    } else {
        File::open(path)
            .with_context(what)?
            .take(LONGEST)
            .read_to_end(&mut text)
            .with_context(what)?;
    }
    read_resources(&text).with_context(what)
}

/// A size; -1 is no limit.
fn bytes(flag: &str, text: &Option<String>) -> anyhow::Result<Option<i64>> {
    let read = |text: &String| match &**text {
        "-1" => Ok(-1),
        text => i64::try_from(size::bytes(text)?).context("more than a kernel can count"),
    };
    text.as_ref().map(read).transpose().with_context(|| flag.to_owned())
}
