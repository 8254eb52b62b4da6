//! Removing the directory of a container of `sublet-oci`.
//!
//! Its place may be any directory of the caller's (`--root`), with directories
//! of others in it. So nothing is removed with all that is below it: first a
//! look that there is nothing but what we write, then each file of ours by its
//! name, then the directory, which the kernel keeps if there is more.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::anyhow;
use nix::fcntl::renameat;
use nix::libc;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::directory::Directory;
use super::files::{self, OTHER, RECORD, Refused};
use super::repair::DEAD;
use crate::error::Explain;
use crate::spec::ContainerId;
use crate::sys::{Errno, path};

/// The socket at which a container waits for its start.
pub const DOORSTEP: &str = "doorstep";

/// All that there ever is in a directory of ours.
const OURS: [&str; 3] = [RECORD, OTHER, DOORSTEP];

/// Removes the directory `id` of `all`, which the caller has open as
/// `directory` and locked.
///
/// # Errors
/// Where something of others is in it, which then stays as it was; what the
/// disk says.
pub fn discard(all: &Directory, id: &ContainerId, directory: BorrowedFd<'_>) -> anyhow::Result<()> {
    let place = all.path().join(id.as_str());
    check(directory, &place)?;
    let dead = format!("{DEAD}{id}");
    // Whoever was killed here before left the one.
    bury(all, &dead)?;
    match renameat(all, id.as_str(), all, dead.as_str()) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno).refused("remove", &place),
    }
    bury(all, &dead)
}

/// Removes a directory of `all` that is nobody's any more. Others may be at the
/// same: what is gone is not missed.
///
/// # Errors
/// As [`discard`].
pub fn bury(all: &Directory, name: &str) -> anyhow::Result<()> {
    let place = all.path().join(name);
    let directory = match files::open_directory(all.as_fd(), name) {
        Ok(directory) => directory,
        Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::ENOTDIR) => return foreign(&place, "it is not a directory"),
        Err(errno) => return Err(errno).refused("open", &place),
    };
    check(directory.as_fd(), &place)?;
    let gone = |removed| match removed {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno).refused("remove", &place),
    };
    for ours in OURS {
        gone(unlinkat(&directory, ours, UnlinkatFlags::NoRemoveDir))?;
    }
    gone(unlinkat(all, name, UnlinkatFlags::RemoveDir))
}

/// Makes sure that there is nothing but ours in a directory.
fn check(directory: BorrowedFd<'_>, place: &Path) -> anyhow::Result<()> {
    // Another opening, which is read from the beginning.
    let opened = files::open_directory(directory, ".").refused("open", place)?;
    let mut strange = None;
    path::each_entry(opened.as_fd(), |name, kind| {
        let ours = OURS.iter().any(|ours| ours.as_bytes() == name.to_bytes());
        if !(matches!(name.to_bytes(), b"." | b"..") || ours && kind != libc::DT_DIR) {
            strange = Some(name.to_owned());
        }
    })
    .refused("read", place)?;
    match strange {
        None => Ok(()),
        Some(name) => foreign(place, &format!("it holds {name:?}")),
    }
}

/// Leaves alone what is somebody else's.
///
/// # Errors
/// Always.
pub fn foreign<T>(place: &Path, why: &str) -> anyhow::Result<T> {
    Err(anyhow!("{} exists and is not sublet-oci's: {why}", place.display()))
        .hint("take another id, or with --root a directory that nothing else uses")
}
