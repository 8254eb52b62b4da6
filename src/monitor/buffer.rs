//! Bytes on their way from one descriptor to another.

use std::os::fd::BorrowedFd;

use crate::spec::keys::Keys;
use crate::sys::{Errno, Result};

/// Holds what was read and not yet written. It is filled only when empty, so
/// that a slow reader slows the writer, and nothing grows.
pub struct Buffer {
    bytes: Box<[u8; Self::SIZE]>,
    start: usize,
    end: usize,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// There may be more later.
    More,
    /// The other side has closed.
    End,
}

impl Buffer {
    /// What a pipe or a terminal takes at once after poll(2) has said that it
    /// can be written (`PIPE_BUF`, pipe(7)).
    const SIZE: usize = 4096;

    /// An empty buffer.
    pub fn new() -> Self {
        Self { bytes: Box::new([0; Self::SIZE]), start: 0, end: 0 }
    }

    /// Whether everything has been written.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Takes one byte, where the buffer is empty.
    pub fn put(&mut self, byte: u8) {
        self.bytes[0] = byte;
        (self.start, self.end) = (0, 1);
    }

    /// Reads once, where the buffer is empty.
    pub fn fill(&mut self, from: BorrowedFd<'_>) -> Result<Filled> {
        match nix::unistd::read(from, &mut self.bytes[..]) {
            Ok(0) => Ok(Filled::End),
            Ok(length) => {
                (self.start, self.end) = (0, length);
                Ok(Filled::More)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Filled::More),
            // The master of a pty nobody has open any more (pty(7)).
            Err(Errno::EIO) => Ok(Filled::End),
            Err(errno) => Err(errno),
        }
    }

    /// The same, but for what `keys` keep back; and whether they were typed.
    pub fn fill_through(
        &mut self,
        from: BorrowedFd<'_>,
        keys: &mut Keys,
    ) -> Result<(Filled, bool)> {
        // What was kept back before may come through now.
        match nix::unistd::read(from, &mut self.bytes[..Self::SIZE - Keys::MOST]) {
            Ok(0) => Ok((Filled::End, false)),
            Ok(length) => {
                let (passed, left) = keys.take(&self.bytes[..length]);
                self.bytes[..passed.len()].copy_from_slice(&passed);
                (self.start, self.end) = (0, passed.len());
                Ok((Filled::More, left))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok((Filled::More, false)),
            Err(errno) => Err(errno),
        }
    }

    /// Writes once.
    pub fn drain(&mut self, to: BorrowedFd<'_>) -> Result<()> {
        match nix::unistd::write(to, &self.bytes[self.start..self.end]) {
            Ok(length) => {
                self.start += length;
                Ok(())
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
