//! Want of memory around us.

use std::fs;
use std::path::{Path, PathBuf};

/// Counts processes that the kernel kills for want of memory: in a control
/// group and what is below it, whoever's want it is (`oom_kill` of its
/// memory.events); else in the whole machine, those of other groups too
/// (`oom_kill` of /proc/vmstat, proc_vmstat(5)).
#[derive(Debug)]
pub struct OomKills {
    file: PathBuf,
    before: u64,
}

impl OomKills {
    /// Begins to count in the directory `group`, or where that doesn't count in
    /// the machine; `None` where neither does.
    pub fn count(group: Option<&Path>) -> Option<Self> {
        let of_group = group.map(|group| group.join("memory.events"));
        let mut files = of_group.into_iter().chain(["/proc/vmstat".into()]);
        files.find_map(|file| Some(Self { before: read(&file)?, file }))
    }

    /// How many it were since.
    pub fn since(&self) -> Option<u64> {
        read(&self.file).map(|now| now.saturating_sub(self.before))
    }
}

fn read(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_counts_its_own_and_else_the_machine_counts() {
        let group = std::env::temp_dir().join(format!("sublet-oom-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        let events = |kills: u64| {
            let text = format!("oom 9\noom_kill {kills}\noom_group_kill 1\n");
            fs::write(group.join("memory.events"), text).unwrap();
        };
        events(3);
        let kills = OomKills::count(Some(&group)).unwrap();
        assert_eq!(kills.since(), Some(0));
        events(5);
        assert_eq!(kills.since(), Some(2));
        fs::remove_dir_all(&group).unwrap();
        assert_eq!(kills.since(), None);
        for none in [Some(&*group), None] {
            let kills = OomKills::count(none).unwrap();
            assert_eq!(kills.file, Path::new("/proc/vmstat"));
            assert!(kills.since().is_some());
        }
    }
}
