//! The limits that can be said at the start and changed later.

use clap::Args;

use super::run::typed;
use crate::spec::resources::change::Said;
use crate::spec::resources::{cpu, io, list, memory, pids};

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct ChangeableArgs {
    /// Memory: 512m, 2g
    #[arg(short, long, value_name = "SIZE", allow_negative_numbers = true)]
    memory: Option<String>,

    /// Memory that others don't take from it
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    memory_reservation: Option<String>,

    /// Memory and swap; -1 for all swap [default: twice --memory]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    memory_swap: Option<String>,

    /// Time of this many CPUs: 2, 0.5
    #[arg(long, value_name = "N")]
    cpus: Option<String>,

    /// The period of --cpu-quota, in microseconds
    #[arg(long, value_name = "N")]
    cpu_period: Option<String>,

    /// Time of the CPU in each period, in microseconds
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    cpu_quota: Option<String>,

    /// Its share where others want the CPU too; 1024 is usual
    #[arg(short, long, value_name = "N")]
    cpu_shares: Option<String>,

    /// The CPUs that it runs on: 0-3,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// The memory nodes that it is given from
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// Processes and threads; -1 for any number [default: 2048 with a control group]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pids_limit: Option<String>,

    /// Its share where others want the disk too: 10 to 1000
    #[arg(long, value_name = "N")]
    blkio_weight: Option<String>,
}

impl ChangeableArgs {
    /// What was typed, each for itself.
    pub fn said(&self) -> anyhow::Result<Said> {
        Ok(Said {
            memory: read("--memory", &self.memory, memory::limit)?,
            reservation: read(
                "--memory-reservation",
                &self.memory_reservation,
                memory::reservation,
            )?,
            swap: read("--memory-swap", &self.memory_swap, memory::swap)?,
            cpus: read("--cpus", &self.cpus, cpu::cpus)?,
            period: read("--cpu-period", &self.cpu_period, cpu::period)?,
            quota: read("--cpu-quota", &self.cpu_quota, cpu::quota)?,
            shares: read("--cpu-shares", &self.cpu_shares, cpu::shares)?,
            cpus_list: read("--cpuset-cpus", &self.cpuset_cpus, list::list)?,
            mems_list: read("--cpuset-mems", &self.cpuset_mems, list::list)?,
            pids: read("--pids-limit", &self.pids_limit, pids)?,
            weight: read("--blkio-weight", &self.blkio_weight, io::weight)?,
        })
    }
}

/// What a flag says, if it was given.
pub fn read<T>(
    flag: &str,
    text: &Option<String>,
    read: impl FnOnce(&str) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    text.as_deref().map(|text| typed(flag, text, read)).transpose()
}
