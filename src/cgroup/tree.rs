//! One cgroup, through a descriptor of its directory.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

use super::refused::{Attempt, Refused};
use crate::sys::{fd, path};

/// A directory of cgroup v2.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// More than any file of a cgroup has: `cgroup.procs` of all pids there can be
/// (4 Mi), seven digits each.
const LONGEST: usize = 32 << 20;

impl Directory {
    /// Opens a directory of a mounted cgroup v2.
    ///
    /// # Errors
    /// ENOTTY where it is one of another file system.
    pub fn open(path: &Path) -> Result<Self, Refused> {
        let directory = Self::open_any(path)?;
        match fstatfs(directory.as_fd()) {
            Ok(facts) if facts.filesystem_type() == CGROUP2_SUPER_MAGIC => Ok(directory),
            Ok(_) => Err(directory.refused(Attempt::Open, Errno::ENOTTY)),
            Err(errno) => Err(directory.refused(Attempt::Open, errno)),
        }
    }

    /// As [`open`](Self::open), whatever the file system.
    pub(super) fn open_any(path: &Path) -> Result<Self, Refused> {
        let refused = |errno| Refused { attempt: Attempt::Open, path: path.to_owned(), errno };
        let typed =
            CString::new(path.as_os_str().as_bytes()).map_err(|_| refused(Errno::EINVAL))?;
        let fd = path::open_typed(&typed, libc::O_DIRECTORY).map_err(refused)?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Opens the cgroup `name` in this one.
    ///
    /// # Errors
    /// ENOENT where there is none.
    pub fn child(&self, name: &str) -> Result<Self, Refused> {
        let path = self.path.join(name);
        let open = |name: CString| path::open_component(self.as_fd(), &name, libc::O_DIRECTORY);
        match component(name).and_then(open) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(errno) => Err(Refused { attempt: Attempt::Open, path, errno }),
        }
    }

    /// Makes the cgroup `name` in this one.
    ///
    /// # Errors
    /// EEXIST where there is one; what [`Refused::meaning`] explains.
    pub fn make(&self, name: &str) -> Result<Self, Refused> {
        let make = |name: CString| path::make_directory(self.as_fd(), &name, 0o755);
        component(name)
            .and_then(make)
            .map_err(|errno| self.refused(Attempt::Make(name.to_owned()), errno))?;
        self.child(name)
    }

    /// As [`make`](Self::make), and takes one that is there already.
    ///
    /// # Errors
    /// As [`make`](Self::make).
    pub fn make_or_open(&self, name: &str) -> Result<Self, Refused> {
        match self.make(name) {
            Err(refused) if refused.errno == Errno::EEXIST => self.child(name),
            made => made,
        }
    }

    /// The whole text of a file of the cgroup.
    ///
    /// # Errors
    /// ENOENT where the controller is off, ENODEV once the cgroup is removed.
    pub fn read(&self, file: &str) -> Result<String, Refused> {
        let read = || {
            let opened = self.open_file(file, libc::O_RDONLY)?;
            let mut text = Vec::new();
            let mut part = [0; 4096];
            while text.len() < LONGEST {
                match fd::read(opened.as_fd(), &mut part) {
                    Ok(0) => return Ok(String::from_utf8_lossy(&text).into_owned()),
                    Ok(length) => text.extend_from_slice(&part[..length]),
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            Err(Errno::EFBIG)
        };
        read().map_err(|errno| self.refused(Attempt::Read(file.to_owned()), errno))
    }

    /// Writes to a file of the cgroup, all in one call as the kernel wants it.
    ///
    /// # Errors
    /// What [`Refused::meaning`] explains.
    pub fn write(&self, file: &str, content: &str) -> Result<(), Refused> {
        let write = || {
            let opened = self.open_file(file, libc::O_WRONLY)?;
            loop {
                match fd::write(opened.as_fd(), content.as_bytes()) {
                    Ok(length) if length == content.len() => return Ok(()),
                    Ok(_) => return Err(Errno::E2BIG),
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
        };
        let attempt = || Attempt::Write { file: file.to_owned(), content: content.to_owned() };
        write().map_err(|errno| self.refused(attempt(), errno))
    }

    /// Moves a process here, all its threads.
    ///
    /// # Errors
    /// ESRCH where it has ended; EACCES where the two places have nothing
    /// above them that is ours.
    pub fn add_process(&self, pid: i32) -> Result<(), Refused> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// The processes that are here, not those below. 0 is one of a pid
    /// namespace that we don't see.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn processes(&self) -> Result<Vec<i32>, Refused> {
        Ok(self.read("cgroup.procs")?.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens one of the files; ENODEV once the cgroup is removed, as for one
    /// that was opened before.
    pub(super) fn open_file(&self, file: &str, flags: i32) -> Result<OwnedFd, Errno> {
        match path::open_component(self.as_fd(), &component(file)?, flags | libc::O_NONBLOCK) {
            Err(Errno::ENOENT) if self.children().is_err() => Err(Errno::ENODEV),
            opened => opened,
        }
    }

    /// The names of the cgroups in this one.
    pub(super) fn children(&self) -> Result<Vec<CString>, Errno> {
        children(self.as_fd())
    }

    /// What was refused here.
    pub(super) fn refused(&self, attempt: Attempt, errno: Errno) -> Refused {
        Refused { attempt, path: self.path.clone(), errno }
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The names of the directories in a directory, whoever stands where in it.
pub(super) fn children(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let anew = path::open_component(directory, c".", libc::O_DIRECTORY)?;
    let mut names = Vec::new();
    path::each_entry(anew.as_fd(), |name: &CStr, kind| {
        if kind == libc::DT_DIR && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    })?;
    Ok(names)
}

/// One component of a path. Names come from the command line: `--cgroup-conf`
/// must not write outside of the cgroup.
pub(super) fn component(name: &str) -> Result<CString, Errno> {
    let plain = !matches!(name, "" | "." | "..") && !name.contains('/');
    CString::new(name).ok().filter(|_| plain).ok_or(Errno::EINVAL)
}
