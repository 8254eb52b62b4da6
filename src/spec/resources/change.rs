//! Limits that are said anew of a container that has some.

use anyhow::ensure;
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

use super::memory::UNLIMITED;
use super::{cpu, memory};

/// What was said of the limits that can be changed: nothing, that there is
/// none (`Some(None)`), or which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `--memory`.
    pub memory: Option<Option<i64>>,
    /// `--memory-reservation`.
    pub reservation: Option<Option<i64>>,
    /// `--memory-swap`.
    pub swap: Option<Option<i64>>,
    /// `--cpus`, as a quota.
    pub cpus: Option<Option<i64>>,
    /// `--cpu-period`.
    pub period: Option<Option<u64>>,
    /// `--cpu-quota`.
    pub quota: Option<Option<i64>>,
    /// `--cpu-shares`.
    pub shares: Option<Option<u64>>,
    /// `--cpuset-cpus`.
    pub cpus_list: Option<Option<String>>,
    /// `--cpuset-mems`.
    pub mems_list: Option<Option<String>>,
    /// `--pids-limit`; -1 is any number.
    pub pids: Option<i64>,
    /// `--blkio-weight`.
    pub weight: Option<Option<u16>>,
}

/// The shares that everybody has.
const SHARES: u64 = 1024;

impl Said {
    /// For a new container, where no limit is the same as none said.
    pub fn fresh(self) -> anyhow::Result<LinuxResources> {
        let mut resources = LinuxResources::default();
        resources
            .set_memory(memory::together(
                self.memory.flatten(),
                self.reservation.flatten(),
                self.swap.flatten(),
            )?)
            .set_cpu(cpu::together(
                self.cpus.flatten(),
                self.period.flatten(),
                self.quota.flatten(),
                self.shares.flatten(),
                (self.cpus_list.flatten(), self.mems_list.flatten()),
            )?)
            .set_pids(self.pids.map(pids))
            .set_block_io(self.weight.flatten().map(weight));
        Ok(resources)
    }

    /// What is to be set of a container that has the limits `old`, where no
    /// limit takes away the one there is. What was not said is not in it, but
    /// for what goes with something that was.
    pub fn over(&self, old: &LinuxResources) -> anyhow::Result<LinuxResources> {
        let mut resources = LinuxResources::default();
        resources
            .set_memory(self.memory_over(old.memory().as_ref())?)
            .set_cpu(self.cpu_over(old.cpu().as_ref())?)
            .set_pids(self.pids.map(pids));
        if let Some(said) = self.weight {
            ensure!(said.is_some(), "--blkio-weight 0: a weight can't be taken away, only changed");
            resources.set_block_io(said.map(weight));
        }
        Ok(resources)
    }

    fn memory_over(&self, old: Option<&LinuxMemory>) -> anyhow::Result<Option<LinuxMemory>> {
        if self.memory.is_none() && self.reservation.is_none() && self.swap.is_none() {
            return Ok(None);
        }
        let had = old.and_then(LinuxMemory::limit);
        let limit = self.memory.map_or(had, |said| Some(said.unwrap_or(UNLIMITED)));
        let limited = limit.filter(|limit| *limit >= 0);
        let reservation = self.reservation.map(|said| said.unwrap_or(0));
        let kept = reservation.or(old.and_then(LinuxMemory::reservation));
        // Both bounds, as for a new container.
        let swap = self.swap.map(|said| said.unwrap_or(UNLIMITED));
        memory::together(limited, kept, swap)?;
        let mut memory = LinuxMemory::default();
        memory
            // The swap is counted from it.
            .set_limit(if self.memory.is_some() || swap.is_some() { limit } else { None })
            .set_reservation(reservation)
            .set_swap(swap);
        Ok(Some(memory))
    }

    fn cpu_over(&self, old: Option<&LinuxCpu>) -> anyhow::Result<Option<LinuxCpu>> {
        let lists = [("--cpuset-cpus", &self.cpus_list), ("--cpuset-mems", &self.mems_list)];
        for (flag, said) in lists {
            ensure!(*said != Some(None), "{flag}: a list can't be taken away, only changed");
        }
        let lists = lists.map(|(_, said)| said.clone().flatten());
        let [cpus_list, mems_list] = lists;
        let shares = self.shares.map(|said| said.unwrap_or(SHARES));
        // What contradicts itself.
        cpu::together(
            self.cpus.flatten(),
            self.period.flatten(),
            self.quota.flatten(),
            None,
            (None, None),
        )?;
        let quota = self.cpus.or(self.quota).map(|said| said.unwrap_or(UNLIMITED));
        let period = match self.cpus {
            Some(_) => Some(cpu::PERIOD),
            None => self.period.map(|said| said.unwrap_or(cpu::PERIOD)),
        };
        // The two are one file.
        let (quota, period) = match (quota, period) {
            (None, None) => (None, None),
            _ => {
                (quota.or(old.and_then(LinuxCpu::quota)), period.or(old.and_then(LinuxCpu::period)))
            }
        };
        cpu::together(None, period, quota.filter(|quota| *quota >= 0), None, (None, None))?;
        let mut cpu = LinuxCpu::default();
        cpu.set_quota(quota)
            .set_period(period)
            .set_shares(shares)
            .set_cpus(cpus_list)
            .set_mems(mems_list);
        Ok((cpu != LinuxCpu::default()).then_some(cpu))
    }
}

/// The limits of a container that had `old`, after what was `said` is set.
pub fn merge(old: &LinuxResources, said: &LinuxResources) -> LinuxResources {
    let mut merged = old.clone();
    if let Some(said) = said.memory() {
        let mut memory = old.memory().unwrap_or_default();
        // Less or more memory leaves the swap beside it as it is.
        let beside = match (memory.swap(), memory.limit()) {
            (Some(swap), Some(limit)) if swap >= 0 && limit >= 0 => Some(swap - limit),
            _ => None,
        };
        let kept = match said.limit() {
            None => memory.swap(),
            Some(limit) => beside.filter(|_| limit >= 0).map(|swap| limit.saturating_add(swap)),
        };
        let had = memory;
        memory
            .set_limit(said.limit().or(had.limit()))
            .set_reservation(said.reservation().or(had.reservation()))
            .set_swap(said.swap().or(kept));
        merged.set_memory(Some(memory));
    }
    if let Some(said) = said.cpu() {
        let had = old.cpu().clone().unwrap_or_default();
        let mut cpu = had.clone();
        cpu.set_quota(said.quota().or(had.quota()))
            .set_period(said.period().or(had.period()))
            .set_shares(said.shares().or(had.shares()))
            .set_cpus(said.cpus().clone().or(had.cpus().clone()))
            .set_mems(said.mems().clone().or(had.mems().clone()));
        merged.set_cpu(Some(cpu));
    }
    if said.pids().is_some() {
        merged.set_pids(*said.pids());
    }
    if let Some(weight) = said.block_io().as_ref().and_then(LinuxBlockIo::weight) {
        let mut io = old.block_io().clone().unwrap_or_default();
        io.set_weight(Some(weight));
        merged.set_block_io(Some(io));
    }
    merged
}

fn pids(limit: i64) -> LinuxPids {
    let mut pids = LinuxPids::default();
    pids.set_limit(limit);
    pids
}

fn weight(weight: u16) -> LinuxBlockIo {
    let mut io = LinuxBlockIo::default();
    io.set_weight(Some(weight));
    io
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: i64 = 1 << 20;

    /// A container started with `-m 64m --cpu-period 50000 --cpu-quota 25000`.
    fn old() -> LinuxResources {
        let said = Said {
            memory: Some(Some(64 * M)),
            period: Some(Some(50_000)),
            quota: Some(Some(25_000)),
            ..Said::default()
        };
        said.fresh().unwrap()
    }

    fn memory(said: Said) -> (Option<i64>, Option<i64>, Option<i64>) {
        let memory = said.over(&old()).unwrap().memory().unwrap();
        (memory.limit(), memory.reservation(), memory.swap())
    }

    fn quota(said: Said) -> (Option<i64>, Option<u64>) {
        let resources = said.over(&old()).unwrap();
        let cpu = resources.cpu().as_ref().unwrap();
        (cpu.quota(), cpu.period())
    }

    #[test]
    fn only_what_is_said_is_set() {
        assert_eq!(Said::default().over(&old()).unwrap(), LinuxResources::default());
        let said = Said { pids: Some(64), ..Said::default() };
        let resources = said.over(&old()).unwrap();
        assert_eq!(resources.pids().map(|pids| pids.limit()), Some(64));
        assert_eq!((resources.memory(), resources.cpu()), (&None, &None));
        assert_eq!(
            memory(Said { memory: Some(Some(32 * M)), ..Said::default() }),
            (Some(32 * M), None, None)
        );
    }

    #[test]
    fn no_limit_takes_one_away() {
        let none = Said { memory: Some(None), reservation: Some(None), ..Said::default() };
        assert_eq!(memory(none), (Some(-1), Some(0), None));
        let none = Said { cpus: Some(None), ..Said::default() };
        assert_eq!(quota(none), (Some(-1), Some(100_000)));
        let none = Said { quota: Some(None), ..Said::default() };
        assert_eq!(quota(none), (Some(-1), Some(50_000)));
        let none = Said { shares: Some(None), pids: Some(-1), ..Said::default() };
        let resources = none.over(&old()).unwrap();
        assert_eq!(resources.cpu().as_ref().unwrap().shares(), Some(1024));
        assert_eq!(resources.pids().map(|pids| pids.limit()), Some(-1));
        for cant in [
            Said { cpus_list: Some(None), ..Said::default() },
            Said { weight: Some(None), ..Said::default() },
        ] {
            assert!(cant.over(&old()).is_err(), "{cant:?}");
        }
    }

    #[test]
    fn halves_of_a_limit_go_with_the_other_half_that_is() {
        assert_eq!(
            quota(Said { quota: Some(Some(10_000)), ..Said::default() }),
            (Some(10_000), Some(50_000))
        );
        assert_eq!(
            quota(Said { period: Some(Some(100_000)), ..Said::default() }),
            (Some(25_000), Some(100_000))
        );
        assert_eq!(
            memory(Said { swap: Some(Some(96 * M)), ..Said::default() }),
            (Some(64 * M), None, Some(96 * M))
        );
    }

    #[test]
    fn what_contradicts_the_other_half_is_refused() {
        for said in [
            Said { swap: Some(Some(63 * M)), ..Said::default() },
            Said { reservation: Some(Some(65 * M)), ..Said::default() },
            Said { period: Some(Some(1_000_000)), quota: Some(Some(1000)), ..Said::default() },
            Said { cpus: Some(Some(100_000)), quota: Some(Some(1000)), ..Said::default() },
        ] {
            assert!(said.over(&old()).is_err(), "{said:?}");
        }
        let swap = Said { swap: Some(Some(M)), ..Said::default() };
        assert!(swap.over(&LinuxResources::default()).is_err(), "swap of no memory");
    }

    #[test]
    fn what_was_asked_before_stays() {
        let said = Said { memory: Some(Some(96 * M)), pids: Some(9), ..Said::default() };
        let merged = merge(&old(), &said.over(&old()).unwrap());
        let memory = merged.memory().unwrap();
        // As much swap as before.
        assert_eq!((memory.limit(), memory.swap()), (Some(96 * M), Some(160 * M)));
        assert_eq!(merged.cpu(), old().cpu());
        assert_eq!(merged.pids().map(|pids| pids.limit()), Some(9));
        assert_eq!(merge(&old(), &LinuxResources::default()), old());
    }
}
