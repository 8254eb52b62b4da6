//! A new file system that begins with what it covers: `tmpcopyup`.
//!
//! What is copied is the image's, so nothing is followed, and each file is
//! opened from the directory that it was found in.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::libc;

use crate::sys::path::{
    PATH_MAX, Status, create_file, each_entry, make_directory, make_link, open_component,
    open_in_root, status,
};
use crate::sys::{Errno, Result, call};

/// How deep directories may lie in one another: each takes a part of the stack,
/// of which a process with a memory of its own has plenty.
const DEPTH: usize = 100;

/// Copies what is at `target`, a directory of the container's, to the root of
/// `tree`, with its owner, and with its mode where none was given. Where there
/// is nothing, nothing is copied.
pub fn fill(
    root: BorrowedFd<'_>,
    target: &CStr,
    tree: BorrowedFd<'_>,
    mode_is_given: bool,
) -> Result<()> {
    let from = match open_in_root(root, target, libc::O_RDONLY | libc::O_DIRECTORY) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        opened => opened?,
    };
    let into = open_directory(tree, c".")?;
    directory(from.as_fd(), into.as_fd(), DEPTH)?;
    let like = status(from.as_fd())?;
    own(into.as_fd(), &like)?;
    if mode_is_given { Ok(()) } else { set_mode(into.as_fd(), &like) }
}

fn directory(from: BorrowedFd<'_>, into: BorrowedFd<'_>, depth: usize) -> Result<()> {
    if depth == 0 {
        return Err(Errno::ENAMETOOLONG);
    }
    let mut done = Ok(());
    each_entry(from, |name, _| {
        if done.is_ok() && name != c"." && name != c".." {
            done = entry(from, into, name, depth);
        }
    })?;
    done
}

/// Devices can't be made here, and FIFOs and sockets are of a program that is
/// not running: those are left out.
fn entry(from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &CStr, depth: usize) -> Result<()> {
    let found = open_component(from, name, libc::O_PATH)?;
    let like = status(found.as_fd())?;
    let made = match like.mode & libc::S_IFMT {
        libc::S_IFDIR => {
            make_directory(into, name, 0o700)?;
            let made = open_directory(into, name)?;
            directory(open_directory(from, name)?.as_fd(), made.as_fd(), depth - 1)?;
            made
        }
        libc::S_IFREG => {
            let opened = open_component(from, name, libc::O_RDONLY | libc::O_NONBLOCK)?;
            let made = create_file(into, name, 0o600)?;
            content(opened.as_fd(), made.as_fd())?;
            made
        }
        libc::S_IFLNK => return link(found.as_fd(), into, name),
        _ => return Ok(()),
    };
    own(made.as_fd(), &like)?;
    // After the owner, whose change takes set-id bits away.
    set_mode(made.as_fd(), &like)
}

fn open_directory(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    open_component(at, name, libc::O_RDONLY | libc::O_DIRECTORY)
}

fn content(from: BorrowedFd<'_>, into: BorrowedFd<'_>) -> Result<()> {
    const MOST: usize = 1 << 30;
    loop {
        // SAFETY: numbers only; without an offset none is written.
        let copied =
            unsafe { call!(libc::SYS_sendfile, into.as_raw_fd(), from.as_raw_fd(), 0, MOST)? };
        if copied == 0 {
            return Ok(());
        }
    }
}

fn link(found: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let mut target = [0_u8; PATH_MAX];
    let (buffer, size) = (target.as_mut_ptr(), PATH_MAX - 1);
    // SAFETY: the kernel writes at most `size` bytes, one less than there are.
    unsafe { call!(libc::SYS_readlinkat, found.as_raw_fd(), c"".as_ptr(), buffer, size)? };
    let target = CStr::from_bytes_until_nul(&target).map_err(|_| Errno::ENAMETOOLONG)?;
    make_link(into, name, target)
}

/// Gives it the owner of another, unless that is not in the map, and can own
/// nothing here (EINVAL).
fn own(made: BorrowedFd<'_>, like: &Status) -> Result<()> {
    // SAFETY: numbers only.
    match unsafe { call!(libc::SYS_fchown, made.as_raw_fd(), like.uid, like.gid) } {
        Ok(_) | Err(Errno::EINVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn set_mode(made: BorrowedFd<'_>, like: &Status) -> Result<()> {
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_fchmod, made.as_raw_fd(), like.mode & 0o7777)? };
    Ok(())
}
