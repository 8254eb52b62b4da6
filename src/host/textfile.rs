//! Reading a small text file that nobody vouches for.
//!
//! The file may be a FIFO that never ends, a sparse terabyte or a symlink to
//! somewhere else; whoever opens it must not follow links or block, and what
//! is opened is looked at before a byte is read.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use nix::libc;

/// A file of the machine itself, at most this long: a site that writes one
/// line for each of 65536 users has 2 MiB.
pub(super) const HOST_FILE: u64 = 16 << 20;

/// The longest line worth reading: a group of a few thousand members.
pub(super) const LINE: usize = 64 << 10;

/// Opens a file of the machine. `None` where there is none.
///
/// Links are followed, /etc may be made of them; a FIFO does not block.
pub(super) fn open(path: &Path) -> anyhow::Result<Option<File>> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("open {}", path.display())),
    }
}

/// All bytes of an already opened regular file of at most `limit` bytes.
///
/// # Errors
/// Anything else than a regular file, a longer file, and a line longer than
/// 64 KiB.
pub(super) fn read(mut file: File, limit: u64) -> anyhow::Result<Vec<u8>> {
    let facts = file.metadata().context("look at the opened file")?;
    ensure!(facts.is_file(), "it is {}, not a regular file", kind(facts.file_type()));
    // The size is only a first look (a sparse terabyte ends here); what counts
    // is how much there is to read, because the file may grow meanwhile.
    ensure!(facts.len() <= limit, "it has {} bytes, more than {limit}", facts.len());
    let mut text = Vec::with_capacity(facts.len() as usize);
    (&mut file).take(limit + 1).read_to_end(&mut text).context("read it")?;
    ensure!(text.len() as u64 <= limit, "it has more than {limit} bytes");
    if let Some(at) = text.split(|byte| *byte == b'\n').position(|line| line.len() > LINE) {
        bail!("line {} is longer than {LINE} bytes", at + 1);
    }
    Ok(text)
}

/// Lines with their numbers, from 1.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    text.split(|byte| *byte == b'\n').enumerate().map(|(at, line)| (at + 1, line))
}

/// A decimal number of digits alone: no sign, no space, no prefix.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if digits { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// An id: 4294967295 is (uid_t) -1, "no change" to setresuid(2), and never one.
pub(super) fn id(text: &[u8]) -> Option<u32> {
    number(text).and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX)
}

fn kind(kind: std::fs::FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_digits_alone() {
        for text in ["", "-1", "+1", " 1", "1 ", "0x0", "1\r", "1\0", "4294967295", "4294967296"] {
            assert_eq!(id(text.as_bytes()), None, "{text:?} was taken");
        }
        assert_eq!(number("99999999999999999999".as_bytes()), None);
        assert_eq!(id(b"01000"), Some(1000));
        assert_eq!(id(b"4294967294"), Some(u32::MAX - 1));
    }

    #[test]
    fn only_regular_files_are_read() {
        for path in ["/", "/dev/zero", "/proc/self/fd"] {
            let Ok(Some(file)) = open(Path::new(path)) else { continue };
            assert!(read(file, HOST_FILE).is_err(), "{path} was read");
        }
        assert!(open(Path::new("/nonexistent")).unwrap().is_none());
    }
}
