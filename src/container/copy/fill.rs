//! What is in a file, into its copy.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;

use anyhow::ensure;
use nix::libc;
use nix::unistd::{Whence, lseek};

use crate::sys::{Errno, Result};

/// What a file of the source holds.
pub enum Content<'a> {
    /// Nothing, or it is no file.
    None,
    /// What is in this file.
    File(OwnedFd),
    /// What can be read here.
    Stream(&'a mut dyn Read),
}

/// Writes what a file holds; where that has holes, the copy has them too.
///
/// # Errors
/// What the disk says, and a stream that ends too early.
pub fn fill(to: &File, content: Content<'_>, size: u64) -> anyhow::Result<()> {
    match content {
        Content::None => Ok(()),
        Content::Stream(stream) => {
            let copied = std::io::copy(&mut stream.take(size), &mut &*to)?;
            ensure!(copied == size, "the stream ends within it");
            Ok(())
        }
        Content::File(from) => {
            let mut from = File::from(from);
            // The kernel tells no size of what it makes up while it is read.
            if size == 0 || !fill_with_holes(&from, to, size)? {
                from.seek(SeekFrom::Start(0)).or_else(|error| match error.raw_os_error() {
                    Some(libc::ESPIPE) => Ok(0),
                    _ => Err(error),
                })?;
                let most = if size == 0 { u64::MAX } else { size };
                std::io::copy(&mut from.take(most), &mut &*to)?;
            }
            Ok(())
        }
    }
}

/// False where the file's system knows no holes.
fn fill_with_holes(mut from: &File, mut to: &File, size: u64) -> anyhow::Result<bool> {
    let mut at = 0;
    while at < size {
        let data = match seek(from, at, Whence::SeekData) {
            Err(Errno::EINVAL | Errno::ENOTSUP | Errno::ESPIPE) => return Ok(false),
            data => data?,
        };
        let Some(data) = data else { break };
        let Some(hole) = seek(from, data, Whence::SeekHole)? else { return Ok(false) };
        from.seek(SeekFrom::Start(data))?;
        to.seek(SeekFrom::Start(data))?;
        let hole = hole.min(size);
        std::io::copy(&mut from.take(hole.saturating_sub(data)), &mut to)?;
        at = hole.max(data + 1);
    }
    to.set_len(size)?;
    Ok(true)
}

/// `None` where there is no more of that.
fn seek(file: &File, from: u64, whence: Whence) -> Result<Option<u64>> {
    match lseek(file, from as i64, whence) {
        Ok(at) => Ok(Some(at as u64)),
        Err(Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno),
    }
}
