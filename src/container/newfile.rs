//! A file of the caller's that takes the place of what has its name.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::error::Explain;
use crate::sys::random;

/// Writes it, whole or not at all: who waits for the file reads it at once.
///
/// A link that has the name is replaced and never followed. The container may
/// write to the directory too, as one of its volumes, and a link that it left
/// there would have any file of the caller's overwritten. For the same reason
/// nobody can tell the name that the file has first.
///
/// # Errors
/// What the disk says, and the name of what is no file: a device would be lost
/// with it, to all who use it.
pub fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if path.metadata().is_ok_and(|facts| !facts.is_file()) {
        return Err(anyhow!("{path:?} is there, and not a file")).hint("name a file");
    }
    let name = path.file_name().context("it has no name")?;
    let mut other = std::ffi::OsString::from(".");
    other.push(name);
    let mut number = [0; 8];
    random::fill(&mut number).context("ask for random bytes")?;
    other.push(format!(".{:016x}", u64::from_ne_bytes(number)));
    let other = path.with_file_name(other);
    let fill = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&other)?;
        file.write_all(content)?;
        fs::rename(&other, path)
    };
    Ok(fill().inspect_err(|_| _ = fs::remove_file(&other))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let directory = std::env::temp_dir().join(format!("sublet-newfile-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let (path, canary) = (directory.join("pid"), directory.join("canary"));
        fs::write(&canary, "untouched").unwrap();
        std::os::unix::fs::symlink(&canary, &path).unwrap();
        write(&path, b"7\n").unwrap();
        assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
        assert_eq!(fs::read_to_string(&path).unwrap(), "7\n");
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
        assert!(write(&directory.join("not/there"), b"7").is_err());
        assert!(write(&directory, b"7").unwrap_err().to_string().is_empty(), "it has a hint");
        assert!(directory.is_dir());
        fs::remove_dir_all(&directory).unwrap();
    }
}
