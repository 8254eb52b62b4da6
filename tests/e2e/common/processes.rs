//! Processes of the machine, by their ids.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The processes that one has made and that are not yet reaped.
pub fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let listed = fs::read_to_string(path).unwrap_or_default();
    listed.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
}

pub fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields = stat.rsplit(") ").next().expect("fields");
    fields.split(' ').nth(1).expect("a parent").parse().expect("a pid")
}

/// Gone, or not yet reaped by whoever has started it.
pub fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|fields| fields.is_empty() || fields.starts_with('Z'))
}

pub fn is_gone(pid: u32) -> bool {
    !Path::new("/proc").join(pid.to_string()).exists()
}

/// Kills it, if it is still there.
pub fn end(pid: u32) {
    _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
}
