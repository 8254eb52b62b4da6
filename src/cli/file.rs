//! Small files that the command line names.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};

/// No list of variables and no profile is larger.
const MOST_BYTES: u64 = 4 << 20;

/// Reads a whole file, which may be a pipe, and gives up where it is endless.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .with_context(|| format!("read {}", path.display()))?;
    ensure!(
        bytes.len() as u64 <= MOST_BYTES,
        "{} is larger than {} MiB",
        path.display(),
        MOST_BYTES >> 20
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_file_ends() {
        assert!(read(Path::new("/dev/zero")).is_err());
        assert!(read(Path::new("/nonexistent")).is_err());
        assert!(read(Path::new("/")).is_err());
        assert!(read(Path::new("/dev/null")).unwrap().is_empty());
    }
}
