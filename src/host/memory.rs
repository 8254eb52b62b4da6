//! The memory of the machine.

use std::path::Path;

use super::procfs;

/// How many processes the kernel has killed for want of memory since the
/// machine was started: `oom_kill` of /proc/vmstat, proc_vmstat(5). `None`
/// where that is not shown.
pub fn oom_kills() -> Option<u64> {
    oom_kills_of(&procfs::read(Path::new("/proc/vmstat")).ok()?)
}

fn oom_kills_of(text: &[u8]) -> Option<u64> {
    let line =
        |line: &[u8]| std::str::from_utf8(line.strip_prefix(b"oom_kill ")?).ok()?.parse().ok();
    text.split(|byte| *byte == b'\n').find_map(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_one_line_of_many() {
        assert_eq!(oom_kills_of(b"nr_free_pages 7\noom_kill 12\nnuma_hit 3\n"), Some(12));
        assert_eq!(oom_kills_of(b"oom_killer 12\noom_kill x\n"), None);
        assert!(oom_kills().is_some());
    }
}
