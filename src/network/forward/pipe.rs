//! Pipes, through which data goes from socket to socket without being copied:
//! splice(2). They are lent to connections while there is something in them.

use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;

use crate::sys::{Errno, Result};

/// How much a pipe is to hold. The kernel gives less to users who have many.
const SIZE: usize = 256 * 1024;

/// How many empty pipes are kept for the next use.
const KEPT: usize = 64;

/// A pipe, and how many bytes are in it.
pub struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    /// Taken from the one socket, and not yet by the other.
    pub held: usize,
}

impl Pipe {
    fn new() -> Result<Self> {
        let (out, into) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // Else it has its usual size.
        let _ = fcntl(&into, FcntlArg::F_SETPIPE_SZ(SIZE as i32));
        Ok(Self { out, into, held: 0 })
    }

    /// Takes from a socket what it has: how much, 0 at its end.
    ///
    /// # Errors
    /// `EAGAIN` if there is nothing; what the socket says.
    pub fn fill(&mut self, from: impl AsFd) -> Result<usize> {
        let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
        let count = uninterrupted(|| splice(&from, None, &self.into, None, SIZE, flags))?;
        self.held += count;
        Ok(count)
    }

    /// Gives a socket as much as it takes.
    ///
    /// # Errors
    /// `EAGAIN` if it takes nothing; what the socket says.
    pub fn drain(&mut self, to: impl AsFd) -> Result<()> {
        let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
        let count = uninterrupted(|| splice(&self.out, None, &to, None, self.held, flags))?;
        self.held -= count;
        Ok(())
    }
}

fn uninterrupted<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Empty pipes.
#[derive(Default)]
pub struct Pool(Vec<Pipe>);

impl Pool {
    /// An empty pipe.
    ///
    /// # Errors
    /// What pipe2(2) says.
    pub fn take(&mut self) -> Result<Pipe> {
        self.0.pop().map_or_else(Pipe::new, Ok)
    }

    /// Takes a pipe back; one with something in it is closed.
    pub fn put(&mut self, pipe: Pipe) {
        if pipe.held == 0 && self.0.len() < KEPT {
            self.0.push(pipe);
        }
    }
}
