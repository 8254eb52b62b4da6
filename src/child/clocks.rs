//! Going into a time namespace.

use std::ffi::CStr;
use std::os::fd::AsFd;

use nix::libc;

use super::Outcome;
use super::report::Part;
use crate::sys::{fd, path, process};

/// Makes one with these offsets, and goes in.
pub fn renew(offsets: &[u8]) -> Outcome {
    // It is for children, until we go there ourselves.
    process::unshare(libc::CLONE_NEWTIME)?;
    if !offsets.is_empty() {
        let file = path::open_typed(c"/proc/self/timens_offsets", libc::O_WRONLY)?;
        fd::write_all(file.as_fd(), offsets).map_err(|errno| Part::Offsets.failed(errno))?;
    }
    join(c"/proc/self/ns/time_for_children")
}

/// Goes into the one at a path of the host's.
pub fn join(path: &CStr) -> Outcome {
    let namespace =
        path::open_typed(path, libc::O_RDONLY).map_err(|errno| Part::Resolve.failed(errno))?;
    Ok(process::join(namespace.as_fd(), libc::CLONE_NEWTIME)?)
}
