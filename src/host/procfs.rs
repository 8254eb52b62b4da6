//! Reading a file of procfs.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What most of these files take, a table of mounts included.
const ROOM: usize = 8 << 10;

/// The whole file. procfs tells no sizes, and makes the text anew for each
/// small read: with room from the start it takes one, and one that finds the
/// end.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(ROOM);
    // A file by itself would be asked for its size and position first.
    File::open(path)?.take(u64::MAX).read_to_end(&mut text)?;
    Ok(text)
}
