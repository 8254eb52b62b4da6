//! A process's directory in /proc, held open.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::Pid;

/// The most that a map can have: 340 extents of three padded numbers.
const MAP: u64 = 16 << 10;

/// The directory of one process. It stays that process's: when it has ended,
/// all below is gone, whoever has its number then.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    directory: OwnedFd,
}

impl Process {
    pub(super) fn open(pid: Pid) -> anyhow::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = open(format!("/proc/{pid}").as_str(), flags, Mode::empty())
            .with_context(|| format!("open /proc/{pid}"))?;
        Ok(Self { pid, directory })
    }

    /// Writes `text` at once: the kernel takes a map in a single write only.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<(), Errno> {
        let mut file = self.file(file, OFlag::O_WRONLY)?;
        let written = file
            .write(text.as_bytes())
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
        if written == text.len() { Ok(()) } else { Err(Errno::EIO) }
    }

    pub(super) fn read(&self, file: &str) -> anyhow::Result<Vec<u8>> {
        let mut text = Vec::new();
        let opened = self.file(file, OFlag::O_RDONLY).map_err(anyhow::Error::new);
        opened
            .and_then(|opened| Ok(opened.take(MAP).read_to_end(&mut text)?))
            .with_context(|| format!("read {self}/{file}"))?;
        Ok(text)
    }

    /// Opens a file that is procfs's own. Something mounted over it would
    /// turn our write into one to a file of somebody's choice
    /// (CVE-2019-16884 and its kind).
    fn file(&self, name: &str, access: OFlag) -> Result<File, Errno> {
        let flags = access | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.directory, name, flags, Mode::empty())?;
        if fstatfs(&file)?.filesystem_type() != PROC_SUPER_MAGIC {
            return Err(Errno::EXDEV);
        }
        Ok(File::from(file))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/proc/{}", self.pid)
    }
}
