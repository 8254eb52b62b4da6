//! A cgroup that we have made, and those that dead launchers left.
//!
//! Whether a launcher lives is told by a lock, not by a pid: it holds
//! flock(2) on the directory that it made, and the kernel gives that up with
//! the last process that has the descriptor.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::anyhow;
use nix::errno::Errno;

use super::deadline::Deadline;
use super::refused::Refused;
use super::tree::Directory;
use crate::error::Explain;
use crate::sys::{fd, path};

/// What the name of each cgroup begins with that we make beside others.
pub const PREFIX: &str = "sublet-";

/// How long we wait for who is ending in a cgroup that is dropped, and for a
/// lock that somebody else took for a look.
const PATIENCE: Duration = Duration::from_millis(500);

/// A cgroup of ours, locked; removed with the value, all below it too.
#[derive(Debug)]
pub(super) struct Made {
    parent: Directory,
    name: String,
    directory: Directory,
}

impl Made {
    /// Makes the cgroup `name` in `parent`.
    ///
    /// # Errors
    /// EEXIST where there is one.
    pub(super) fn new(parent: Directory, name: &str) -> Result<Self, Refused> {
        loop {
            let directory = match parent.make(name) {
                // Another launcher took it for a stale one, and removed it.
                Err(gone) if gone.errno == Errno::ENOENT && parent.children().is_ok() => continue,
                made => made?,
            };
            let deadline = Deadline::after(PATIENCE);
            // Anybody may lock what he can read. Who never gives it back keeps
            // others from removing it, which is all that the lock is for.
            while !matches!(fd::try_lock(directory.as_fd()), Ok(true)) && deadline.pause() {}
            if is_still(&parent, name, &directory) {
                return Ok(Self { parent, name: name.to_owned(), directory });
            }
        }
    }

    /// Takes the cgroup `name` in `parent` that somebody else has made.
    ///
    /// # Errors
    /// Where processes are in it.
    pub(super) fn take(parent: Directory, name: &str) -> anyhow::Result<Self> {
        let directory = parent.child(name)?;
        if directory.populated()? {
            return Err(anyhow!("{} has processes in it", directory.path().display())).hint(
                "a container gets a group of its own: give it another, or end what runs there",
            );
        }
        Ok(Self { parent, name: name.to_owned(), directory })
    }

    /// The cgroup.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What is left is found by the next start.
        let _ = self.parent.remove(&self.name, Deadline::after(PATIENCE));
    }
}

/// Removes what launchers left in `parent` that were killed.
pub(super) fn remove_stale(parent: &Directory) {
    let names = parent.children().unwrap_or_default();
    let ours = names.iter().filter_map(|name| name.to_str().ok());
    for name in ours.filter(|name| name.starts_with(PREFIX)) {
        let Ok(directory) = parent.child(name) else { continue };
        let abandoned = matches!(fd::try_lock(directory.as_fd()), Ok(true));
        if abandoned && matches!(directory.populated(), Ok(false)) {
            // One that doesn't go is for the next start.
            let _ = parent.remove(name, Deadline::after(PATIENCE));
        }
    }
}

/// Whether `name` is that very directory.
fn is_still(parent: &Directory, name: &str, directory: &Directory) -> bool {
    let inode = |directory: &Directory| path::status(directory.as_fd()).ok().map(|s| s.ino);
    parent.child(name).is_ok_and(|again| inode(&again) == inode(directory))
}
