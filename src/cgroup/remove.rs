//! Removes cgroups, with those that the container made in them.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

use super::deadline::Deadline;
use super::refused::{Attempt, Refused};
use super::tree::{Directory, children, component};
use crate::sys::path;

impl Directory {
    /// Removes the cgroup `name` from this one, and all below it. Processes
    /// that are ending are waited for.
    ///
    /// # Errors
    /// EBUSY where one has not ended at the deadline.
    pub fn remove(&self, name: &str, deadline: Deadline) -> Result<(), Refused> {
        let refused = |errno| self.refused(Attempt::Remove(name.to_owned()), errno);
        let component = component(name).map_err(refused)?;
        let mut tried = false;
        loop {
            match rmdir(self.as_fd(), &component) {
                Ok(()) => return Ok(()),
                Err(errno @ (Errno::EBUSY | Errno::ENOTEMPTY)) => {
                    if tried && !deadline.pause() {
                        return Err(refused(errno));
                    }
                }
                Err(errno) => return Err(refused(errno)),
            }
            tried = true;
            match self.empty(name, deadline) {
                Ok(()) | Err(Errno::EBUSY | Errno::ENOTEMPTY | Errno::ENOENT | Errno::ENODEV) => {}
                Err(errno) => return Err(refused(errno)),
            }
        }
    }

    /// Removes the cgroup `name` from this one, if nothing is in it.
    ///
    /// # Errors
    /// EBUSY where something is.
    pub(super) fn remove_empty(&self, name: &str) -> Result<(), Refused> {
        let removed = component(name).and_then(|name| rmdir(self.as_fd(), &name));
        removed.map_err(|errno| self.refused(Attempt::Remove(name.to_owned()), errno))
    }

    fn empty(&self, name: &str, deadline: Deadline) -> Result<(), Errno> {
        let child = self.child(name).map_err(|refused| refused.errno)?;
        match child.await_empty(deadline) {
            Ok(true) => remove_below(&child, deadline),
            Ok(false) => Err(Errno::EBUSY),
            Err(refused) => Err(refused.errno),
        }
    }
}

/// Removes all cgroups below `top`, however deep a container has made them:
/// with one descriptor at a time and no recursion.
fn remove_below(top: &Directory, deadline: Deadline) -> Result<(), Errno> {
    let open = |at: BorrowedFd<'_>, name: &CStr| path::open_component(at, name, libc::O_DIRECTORY);
    let mut here = open(top.as_fd(), c".")?;
    let mut levels = vec![top.children()?];
    while let Some(pending) = levels.last_mut() {
        let Some(name) = pending.last() else {
            levels.pop();
            if !levels.is_empty() {
                here = open(here.as_fd(), c"..")?;
            }
            continue;
        };
        match rmdir(here.as_fd(), name) {
            Ok(()) => {
                pending.pop();
            }
            Err(errno @ (Errno::EBUSY | Errno::ENOTEMPTY)) => {
                let child = open(here.as_fd(), name)?;
                let names = children(child.as_fd())?;
                if names.is_empty() || deadline.milliseconds() == 0 {
                    return Err(errno);
                }
                levels.push(names);
                here = child;
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// One that is gone is as good as removed.
fn rmdir(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match path::remove_directory(directory, name) {
        Err(Errno::ENOENT) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_tree_of_any_depth_and_width_is_removed() {
        let name = format!("sublet-deep-{}", std::process::id());
        let top = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&top).unwrap();
        let directory = Directory::open_any(&top).unwrap();
        let open =
            |at: BorrowedFd<'_>, name: &CStr| path::open_component(at, name, libc::O_DIRECTORY);
        let mut here = open(directory.as_fd(), c".").unwrap();
        // More than there may be descriptors.
        for _ in 0..1100 {
            for name in [c"a", c"b"] {
                path::make_directory(here.as_fd(), name, 0o755).unwrap();
            }
            here = open(here.as_fd(), c"b").unwrap();
        }
        remove_below(&directory, Deadline::after(Duration::from_secs(60))).unwrap();
        assert_eq!(directory.children(), Ok(vec![]));
        std::fs::remove_dir(&top).unwrap();
    }
}
