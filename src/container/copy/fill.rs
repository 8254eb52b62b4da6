//! What is in a file, into its copy.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;

use anyhow::ensure;
use nix::libc;
use nix::unistd::{Whence, lseek};

use super::stream::MADE_UP;
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
        Content::None => {
            ensure!(size == 0, "its content did not come along");
            Ok(())
        }
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
                // A file that is empty may also be one that somebody inside begins
                // to fill, without an end.
                let most = if size == 0 { MADE_UP } else { size };
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
        // A file system of the container's (FUSE) may answer anything.
        if data < at || hole <= data {
            return Ok(false);
        }
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

#[cfg(test)]
mod tests {
    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    #[test]
    fn a_file_without_its_content_is_no_copy() {
        let to = File::from(memfd_create(c"to", MFdFlags::empty()).unwrap());
        assert!(fill(&to, Content::None, 1).is_err());
        fill(&to, Content::None, 0).unwrap();
    }

    /// As long as /dev/zero goes on, where a file claims to be empty.
    #[test]
    fn what_has_no_end_is_given_one() {
        let to = File::from(memfd_create(c"to", MFdFlags::empty()).unwrap());
        let zero = File::open("/dev/zero").unwrap();
        fill(&to, Content::File(zero.into()), 0).unwrap();
        assert_eq!(to.metadata().unwrap().len(), MADE_UP);
    }
}
