//! What a launcher may leave behind: nothing.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Program, Scratch, eventually};

/// The processes, mounts and files that belong to one test.
pub struct Leaks<'a> {
    scratch: &'a Scratch,
}

impl<'a> Leaks<'a> {
    /// Of everything that has the scratch directory's name in its command
    /// line, in its mount or in its path. Payloads carry it as a word.
    pub fn of(scratch: &'a Scratch) -> Self {
        Self { scratch }
    }

    /// Insists that a second from now at most nothing is left.
    #[track_caller]
    pub fn none(&self) {
        // A record of how it ended is what a run is to leave.
        Program::sublet(self.scratch).args(["prune", "--force"]).ok();
        let mut left = Vec::new();
        let clean = eventually(1.0, || {
            left = self.left();
            left.is_empty().then_some(())
        });
        assert!(clean.is_some(), "left behind: {}", left.join(", "));
    }

    fn left(&self) -> Vec<String> {
        let mark = self.scratch.mark();
        let processes =
            processes_with(mark).into_iter().map(|(pid, line)| format!("{pid}: {line}"));
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
        let mounts: Vec<String> =
            mounts.lines().filter(|line| line.contains(mark)).map(str::to_owned).collect();
        processes.chain(mounts).chain(self.files()).collect()
    }

    /// Files in the directories that are given to the launcher. Directories in
    /// one of them that hold nothing but empty ones may stay for the next call.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (_, base) in self.scratch.environment() {
            for entry in entries(&base) {
                if entry.is_dir() {
                    found.extend(entries(&entry).into_iter().filter(|entry| !is_empty(entry)));
                } else {
                    found.push(entry);
                }
            }
        }
        found.iter().map(|path| path.display().to_string()).collect()
    }
}

fn is_empty(path: &Path) -> bool {
    path.is_dir() && entries(path).is_empty()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Processes of the whole machine, other than this one, that have `word` in
/// their command line: pid and line.
pub fn processes_with(word: &str) -> Vec<(u32, String)> {
    let own = std::process::id();
    fs::read_dir("/proc")
        .expect("list /proc")
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            (pid != own && line.contains(word)).then_some((pid, line))
        })
        .collect()
}
