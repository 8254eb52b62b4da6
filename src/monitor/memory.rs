//! What is to be said of a container that ran out of memory.

use nix::unistd::Pid;

use crate::cgroup::usage::Memory;

/// What the kernel has killed for want of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RanOut {
    /// What was used, and what might have been.
    memory: Memory,
    /// How many processes were killed.
    pub kills: u64,
    /// The name of the container's first process, where that is one of them.
    pub first: Option<String>,
}

impl RanOut {
    /// If it has killed any.
    pub fn of(memory: Memory) -> Option<Self> {
        let kills = memory.oom_kills.filter(|kills| *kills > 0)?;
        // Where all are killed at once, the first is counted twice.
        let kills = kills.saturating_sub(memory.oom_group_kills.unwrap_or(0)).max(1);
        Some(Self { memory, kills, first: None })
    }

    /// One line for people.
    pub fn told(&self) -> String {
        let Self { memory, kills, first } = self;
        // Its own limit was not the one that was met.
        let who = match memory.ooms {
            Some(0) => "the machine or a control group above the container's",
            _ => "the container",
        };
        let limit = memory.limit_bytes.map_or("none".to_owned(), mebibytes);
        let peak = memory.peak_bytes.map(|peak| format!("peak {}, ", mebibytes(peak)));
        let processes = if *kills == 1 { "process" } else { "processes" };
        let named = first.as_ref().map(|first| match kills - 1 {
            0 => format!(" ({first})"),
            1 => format!(" ({first} and another)"),
            others => format!(" ({first} and {others} others)"),
        });
        format!(
            "{who} ran out of memory: limit {limit}, {}{kills} {processes} killed{}",
            peak.unwrap_or_default(),
            named.unwrap_or_default()
        )
    }
}

/// What a process is called, also one that has ended and is not yet reaped:
/// the first fifteen bytes of its program's name, or what it calls itself.
pub fn name_of(process: Pid) -> Option<String> {
    let name = std::fs::read(format!("/proc/{process}/comm")).ok()?;
    let name = String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned();
    Some(name.escape_debug().to_string()).filter(|name| !name.is_empty())
}

/// `64 MiB`, or with one decimal where it is not a whole number.
pub fn mebibytes(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10 + (1 << 19)) >> 20;
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} MiB"),
        (whole, tenth) => format!("{whole}.{tenth} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MET: Memory = Memory {
        current_bytes: 0,
        working_set_bytes: 0,
        anon_bytes: None,
        file_bytes: None,
        kernel_bytes: None,
        swap_bytes: None,
        limit_bytes: Some(64 << 20),
        peak_bytes: Some(64 << 20),
        ooms: Some(1),
        oom_kills: Some(2),
        oom_group_kills: Some(1),
    };

    fn ran_out(memory: Memory) -> Option<String> {
        RanOut::of(memory).map(|ran_out| ran_out.told())
    }

    #[test]
    fn who_ran_out_and_how_far_it_got() {
        assert_eq!(
            ran_out(MET).as_deref(),
            Some("the container ran out of memory: limit 64 MiB, peak 64 MiB, 1 process killed")
        );
        let above = Memory {
            limit_bytes: None,
            peak_bytes: Some((3 << 19) + 1),
            ooms: Some(0),
            oom_kills: Some(7),
            ..MET
        };
        assert_eq!(
            ran_out(above).as_deref(),
            Some(
                "the machine or a control group above the container's ran out of memory: \
                 limit none, peak 1.5 MiB, 6 processes killed"
            )
        );
    }

    #[test]
    fn an_old_kernel_tells_less() {
        let old = Memory {
            peak_bytes: None,
            ooms: None,
            oom_kills: Some(1),
            oom_group_kills: None,
            ..MET
        };
        assert_eq!(
            ran_out(old).as_deref(),
            Some("the container ran out of memory: limit 64 MiB, 1 process killed")
        );
    }

    #[test]
    fn the_first_process_is_named_where_it_is_one_of_them() {
        for (kills, told) in [
            (2, "1 process killed (python3)"),
            (3, "2 processes killed (python3 and another)"),
            (4, "3 processes killed (python3 and 2 others)"),
        ] {
            let mut ran_out = RanOut::of(Memory { oom_kills: Some(kills), ..MET }).unwrap();
            ran_out.first = Some("python3".to_owned());
            assert!(ran_out.told().ends_with(told), "{}", ran_out.told());
        }
    }

    #[test]
    fn a_process_has_a_name_until_it_is_reaped() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
        nix::sys::wait::waitid(nix::sys::wait::Id::Pid(pid), flags).unwrap();
        assert_eq!(name_of(pid).as_deref(), Some("true"));
        child.wait().unwrap();
        assert_eq!(name_of(pid), None);
    }

    #[test]
    fn where_nobody_was_killed_nothing_is_said() {
        assert_eq!(ran_out(Memory { oom_kills: Some(0), ..MET }), None);
        assert_eq!(ran_out(Memory { oom_kills: None, ..MET }), None);
    }
}
