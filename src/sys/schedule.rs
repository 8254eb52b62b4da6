//! On which processors a process runs, and how eagerly.

use nix::unistd::Pid;

use super::{Errno, Result, call};

/// As many processors as Linux can be built for.
const MOST: usize = 8192;

/// Lets a process run on these processors alone, counted from 0; those that it
/// makes later, too. sched_setaffinity(2).
///
/// # Errors
/// EINVAL where none of them is there.
pub fn set_affinity(process: Pid, processors: &[u32]) -> Result<()> {
    let mut set = [0_u64; MOST / 64];
    for processor in processors {
        let word = set.get_mut(*processor as usize / 64).ok_or(Errno::EINVAL)?;
        *word |= 1 << (processor % 64);
    }
    let pid = process.as_raw();
    // SAFETY: the kernel reads as many bytes as it is told.
    unsafe { call!(libc::SYS_sched_setaffinity, pid, size_of_val(&set), set.as_ptr())? };
    Ok(())
}

/// The same for this process, from where it may do no more than call the kernel.
pub fn set_own_affinity(processors: &[u32]) -> Result<()> {
    set_affinity(Pid::from_raw(0), processors)
}

/// Says from which memory nodes, counted from 0, this process and those that it
/// makes later take memory; `mode` is `MPOL_*` with flags. set_mempolicy(2).
///
/// # Errors
/// EINVAL for nodes that are not there, or that the mode does not take; ENOSYS
/// where the kernel knows of one node only.
pub fn set_memory(mode: u32, nodes: &[u32]) -> Result<()> {
    let mut set = [0_u64; MOST / 64];
    for node in nodes {
        let word = set.get_mut(*node as usize / 64).ok_or(Errno::EINVAL)?;
        *word |= 1 << (node % 64);
    }
    // The kernel reads one bit less than it is told.
    let bits = if nodes.is_empty() { 0 } else { MOST + 1 };
    let set = if nodes.is_empty() { std::ptr::null() } else { set.as_ptr() };
    // SAFETY: the kernel reads as many bits as it is told.
    unsafe { call!(libc::SYS_set_mempolicy, mode, set, bits)? };
    Ok(())
}

/// Sets the nice value of a process, -20 to 19; those that it makes later have
/// it, too. setpriority(2).
pub fn set_nice(process: Pid, nice: i8) -> Result<()> {
    let (kind, pid) = (libc::PRIO_PROCESS, process.as_raw());
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_setpriority, kind, pid, i32::from(nice))? };
    Ok(())
}

/// `struct sched_attr`, linux/sched/types.h, as it was first.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the policy of this process, with the nice value or the priority that it
/// takes; `flags` are `SCHED_FLAG_*`. sched_setattr(2).
///
/// # Errors
/// EPERM for more than the caller may have.
pub fn set_policy(policy: u32, nice: i32, priority: u32, flags: u64) -> Result<()> {
    let size = size_of::<Attributes>() as u32;
    let attributes =
        Attributes { size, policy, flags, nice, priority, runtime: 0, deadline: 0, period: 0 };
    // SAFETY: the kernel reads as many bytes as the size says.
    unsafe { call!(libc::SYS_sched_setattr, 0, &raw const attributes, 0)? };
    Ok(())
}

/// Sets class and level of this process's requests to disks. ioprio_set(2).
///
/// # Errors
/// EPERM for the real-time class.
pub fn set_disk_priority(class: u16, level: u16) -> Result<()> {
    /// `IOPRIO_WHO_PROCESS` and `IOPRIO_CLASS_SHIFT`, linux/ioprio.h.
    const PROCESS: i32 = 1;
    const SHIFT: u32 = 13;
    let priority = i32::from(class) << SHIFT | i32::from(level);
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_ioprio_set, PROCESS, 0, priority)? };
    Ok(())
}

/// Sets what kind of machine this process sees. personality(2).
pub fn set_personality(domain: u32) -> Result<()> {
    // SAFETY: a number only.
    unsafe { call!(libc::SYS_personality, domain)? };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What /proc says of a process.
    fn status(process: Pid, key: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    }

    #[test]
    fn a_process_runs_where_and_how_it_is_told() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let allowed = status(pid, "Cpus_allowed_list");
        let one = allowed.split([',', '-']).next().unwrap();
        let affinity = set_affinity(pid, &[one.parse().unwrap(), 8191]);
        let nice = set_nice(pid, 7);
        let now = status(pid, "Cpus_allowed_list");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((affinity, nice), (Ok(()), Ok(())));
        assert_eq!(now, one);
        assert_eq!(stat.split(' ').nth(18), Some("7"), "{stat}");
    }

    #[test]
    fn processors_that_no_machine_has_are_refused() {
        assert_eq!(set_affinity(Pid::this(), &[8191]), Err(Errno::EINVAL));
        assert_eq!(set_affinity(Pid::this(), &[u32::MAX]), Err(Errno::EINVAL));
    }
}
