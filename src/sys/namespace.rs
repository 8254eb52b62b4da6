//! What a namespace is and what it is in: namespaces(7), ioctl_ns(2).

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Result, call, path};

/// The namespace that a user or pid namespace was made in, as a descriptor.
const NS_GET_PARENT: libc::c_ulong = 0xb702;

/// A namespace, which its number stands for as long as something is in it.
pub fn number(namespace: BorrowedFd<'_>) -> Result<u64> {
    Ok(path::status(namespace)?.ino)
}

/// Opens a namespace of the process whose directory of procfs is given; `name`
/// is as below its `ns`: `ns/user`. Unlike [`path::open_link`] for more than a
/// look.
pub fn open(process: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    // SAFETY: `name` is NUL-terminated and only read; a non-negative answer is
    // a new descriptor that nobody else owns.
    unsafe {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        let fd = call!(libc::SYS_openat, process.as_raw_fd(), name.as_ptr(), flags)?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// The user or pid namespace that this one was made in. `EPERM` where that is
/// above the caller's own.
pub fn parent(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    // SAFETY: takes no memory; the answer is a new descriptor.
    unsafe {
        let parent = call!(libc::SYS_ioctl, namespace.as_raw_fd(), NS_GET_PARENT, 0)?;
        Ok(OwnedFd::from_raw_fd(parent as i32))
    }
}

/// The numbers of the user namespaces that are above one, the nearest first, up
/// to the caller's own.
pub fn above(namespace: OwnedFd) -> Vec<u64> {
    let (mut numbers, mut at) = (Vec::new(), namespace);
    // The kernel nests no more than 32 of them (user_namespaces(7)).
    while let Ok(next) = parent(at.as_fd()) {
        numbers.extend(number(next.as_fd()));
        at = next;
    }
    numbers
}
