//! The file `lock` of a container: two bytes, each locked for itself.
//!
//! Locks of an open file description, fcntl_locking(2): a process that ends,
//! however, lets go of them with its last descriptor, they pass through fork,
//! and whether one is held can be asked without taking it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

use super::files;
use crate::sys::{Errno, Result};

const FILE: &str = "lock";

/// What is locked.
#[derive(Clone, Copy, Debug)]
pub enum Byte {
    /// The container's launcher lives.
    Life = 0,
    /// The record is being changed.
    Edit = 1,
}

/// The file, and what is held of it as long as it is open.
#[derive(Debug)]
pub struct Lock(OwnedFd);

impl Lock {
    /// Opens the file of a container's directory, which must have one.
    pub fn open(container: BorrowedFd<'_>) -> Result<Self> {
        files::open_file(container, FILE, OFlag::O_RDWR).map(Self)
    }

    /// The same, and makes it where there is none.
    pub fn make(container: BorrowedFd<'_>) -> Result<Self> {
        files::open_file(container, FILE, OFlag::O_RDWR | OFlag::O_CREAT).map(Self)
    }

    /// Takes it, unless somebody else has it.
    pub fn take(&self, byte: Byte) -> Result<bool> {
        match fcntl(&self.0, FcntlArg::F_OFD_SETLK(&request(byte, libc::F_WRLCK))) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Lets go of it.
    pub fn release(&self, byte: Byte) -> Result<()> {
        fcntl(&self.0, FcntlArg::F_OFD_SETLK(&request(byte, libc::F_UNLCK)))?;
        Ok(())
    }

    /// Whether somebody else has it.
    pub fn is_held(&self, byte: Byte) -> Result<bool> {
        let mut request = request(byte, libc::F_WRLCK);
        fcntl(&self.0, FcntlArg::F_OFD_GETLK(&mut request))?;
        Ok(i32::from(request.l_type) != libc::F_UNLCK)
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn request(byte: Byte, kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as _,
        l_whence: libc::SEEK_SET as _,
        l_start: byte as _,
        l_len: 1,
        l_pid: 0,
    }
}

/// Two seconds: whoever holds a lock to change something is done in
/// microseconds, unless it is stopped or its disk hangs.
pub const PATIENCE: u32 = 2000;

/// Tries until it works, for so many milliseconds: whether it has.
pub fn patiently(milliseconds: u32, mut attempt: impl FnMut() -> Result<bool>) -> Result<bool> {
    for _ in 0..milliseconds {
        if attempt()? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    attempt()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;

    #[test]
    fn each_byte_is_held_by_one() {
        let scratch = Scratch::new();
        let directory = scratch.open();
        assert!(matches!(Lock::open(directory.as_fd()), Err(Errno::ENOENT)));
        let first = Lock::make(directory.as_fd()).unwrap();
        let second = Lock::open(directory.as_fd()).unwrap();

        assert!(!second.is_held(Byte::Life).unwrap());
        assert!(first.take(Byte::Life).unwrap());
        assert!(first.take(Byte::Life).unwrap(), "it has it already");
        assert!(!first.is_held(Byte::Life).unwrap(), "not by somebody else");
        assert!(second.is_held(Byte::Life).unwrap());
        assert!(!second.take(Byte::Life).unwrap());
        assert!(!second.is_held(Byte::Edit).unwrap());
        assert!(second.take(Byte::Edit).unwrap());

        second.release(Byte::Edit).unwrap();
        assert!(!first.is_held(Byte::Edit).unwrap());
        drop(first);
        assert!(!second.is_held(Byte::Life).unwrap(), "closed is let go");
    }

    #[test]
    fn a_copy_of_the_descriptor_holds_on() {
        let scratch = Scratch::new();
        let directory = scratch.open();
        let lock = Lock::make(directory.as_fd()).unwrap();
        assert!(lock.take(Byte::Life).unwrap());
        let copy = lock.as_fd().try_clone_to_owned().unwrap();
        drop(lock);
        let other = Lock::open(directory.as_fd()).unwrap();
        assert!(other.is_held(Byte::Life).unwrap());
        drop(copy);
        assert!(!other.is_held(Byte::Life).unwrap());
    }
}
