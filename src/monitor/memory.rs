//! What is to be said of a container that ran out of memory.

use crate::cgroup::usage::Memory;

/// One line for people, if the kernel has killed for want of memory.
pub fn ran_out(memory: Memory) -> Option<String> {
    let kills = memory.oom_kills.filter(|kills| *kills > 0)?;
    // Where all are killed at once, the first is counted twice.
    let killed = kills.saturating_sub(memory.oom_group_kills.unwrap_or(0)).max(1);
    let processes = if killed == 1 { "process" } else { "processes" };
    // Its own limit was not the one that was met.
    let who = match memory.ooms {
        Some(0) => "the machine or a control group above the container's",
        _ => "the container",
    };
    let limit = memory.limit_bytes.map_or("none".to_owned(), mebibytes);
    let peak = memory.peak_bytes.map(|peak| format!("peak {}, ", mebibytes(peak)));
    Some(format!(
        "{who} ran out of memory: limit {limit}, {}{killed} {processes} killed",
        peak.unwrap_or_default()
    ))
}

/// `64 MiB`, or with one decimal where it is not a whole number.
fn mebibytes(bytes: u64) -> String {
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
    fn where_nobody_was_killed_nothing_is_said() {
        assert_eq!(ran_out(Memory { oom_kills: Some(0), ..MET }), None);
        assert_eq!(ran_out(Memory { oom_kills: None, ..MET }), None);
    }
}
