//! A file that gets the number of a container's first process.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use nix::unistd::Pid;

use crate::sys::random;

/// Writes the number, whole or not at all: who waits for the file reads it at
/// once.
///
/// What has the file's name is replaced and never followed. The container may
/// write to the directory too, as one of its volumes, and a link that it left
/// there would have any file of the caller's overwritten. For the same reason
/// nobody can tell the name that the file has first.
///
/// # Errors
/// What the disk says.
pub fn write(path: &Path, pid: Pid, end: &str) -> anyhow::Result<()> {
    let written = || format!("write the pid to {path:?}");
    let name = path.file_name().with_context(written)?;
    let mut other = std::ffi::OsString::from(".");
    other.push(name);
    let mut number = [0; 8];
    random::fill(&mut number).context("ask for random bytes")?;
    other.push(format!(".{:016x}", u64::from_ne_bytes(number)));
    let other = path.with_file_name(other);
    let fill = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&other)?;
        file.write_all(format!("{pid}{end}").as_bytes())?;
        std::fs::rename(&other, path)
    };
    fill().inspect_err(|_| _ = std::fs::remove_file(&other)).with_context(written)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let directory = std::env::temp_dir().join(format!("sublet-pidfile-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let (path, canary) = (directory.join("pid"), directory.join("canary"));
        fs::write(&canary, "untouched").unwrap();
        std::os::unix::fs::symlink(&canary, &path).unwrap();
        write(&path, Pid::from_raw(7), "\n").unwrap();
        assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
        assert_eq!(fs::read_to_string(&path).unwrap(), "7\n");
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
        assert!(write(&directory.join("not/there"), Pid::from_raw(7), "").is_err());
        fs::remove_dir_all(&directory).unwrap();
    }
}
