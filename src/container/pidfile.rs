//! A file that gets the number of a container's first process.

use std::path::Path;

use anyhow::Context;
use nix::unistd::Pid;

use super::newfile;

/// Writes the number, and `end` behind it.
///
/// # Errors
/// As [`newfile::write`].
pub fn write(path: &Path, pid: Pid, end: &str) -> anyhow::Result<()> {
    let number = format!("{pid}{end}");
    newfile::write(path, number.as_bytes()).with_context(|| format!("write the pid to {path:?}"))
}
