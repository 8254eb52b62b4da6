//! A file of the caller's that takes the place of what has its name.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::libc;
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::shared::Shared;
use crate::error::Explain;
use crate::sys::{Result, random};

/// The place of a file of the caller's: a directory, and a name there. Where a
/// container can write to what leads there, no link that it may have made was
/// followed.
#[derive(Debug)]
pub struct Place {
    directory: OwnedFd,
    name: OsString,
}

impl Place {
    /// Finds the directory.
    ///
    /// # Errors
    /// Where there is none, or a container's link is on the way.
    pub fn find(path: &Path) -> anyhow::Result<Self> {
        let ends_as_directory = path.as_os_str().as_bytes().ends_with(b"/");
        ensure!(!ends_as_directory, "the path is a directory's");
        let name = path.file_name().context("it has no name")?.to_owned();
        let parent = path.parent().unwrap_or(Path::new("")).as_os_str().as_bytes();
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        Ok(Self { directory: Shared::default().open(parent, flags)?, name })
    }

    /// Makes the file, which must not be there.
    ///
    /// # Errors
    /// As open(2).
    pub fn make(&self) -> Result<File> {
        self.make_as(&self.name)
    }

    fn make_as(&self, name: &OsStr) -> Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        openat(&self.directory, name, flags, Mode::from_bits_truncate(0o666)).map(File::from)
    }

    /// Removes the file.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn remove(&self) -> Result<()> {
        self.remove_as(&self.name)
    }

    fn remove_as(&self, name: &OsStr) -> Result<()> {
        unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir)
    }

    fn is_other_than_a_file(&self) -> bool {
        let found = fstatat(self.directory.as_fd(), self.name.as_os_str(), AtFlags::empty());
        found.is_ok_and(|facts| facts.st_mode & libc::S_IFMT != libc::S_IFREG)
    }
}

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
    let place = Place::find(path)?;
    if place.is_other_than_a_file() {
        return Err(anyhow!("{path:?} is there, and not a file")).hint("name a file");
    }
    let mut number = [0; 8];
    random::fill(&mut number).context("ask for random bytes")?;
    let mut other = OsString::from(".");
    other.push(&place.name);
    other.push(format!(".{:016x}", u64::from_ne_bytes(number)));
    let fill = || {
        place.make_as(&other)?.write_all(content)?;
        renameat(&place.directory, &*other, &place.directory, &*place.name)?;
        anyhow::Ok(())
    };
    fill().inspect_err(|_| _ = place.remove_as(&other))
}

#[cfg(test)]
mod tests {
    use std::fs;

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
