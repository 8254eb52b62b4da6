//! The file that gets a container's id: `--cidfile`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::newfile::Place;
use crate::error::Explain;
use crate::spec::ContainerId;
use crate::sys::Errno;

/// A new file, removed again unless it is to stay.
#[derive(Debug)]
pub struct CidFile {
    path: PathBuf,
    place: Place,
    file: File,
    stays: bool,
}

impl CidFile {
    /// Makes it.
    ///
    /// # Errors
    /// Where there is one: it is another container's.
    pub fn make(path: &Path) -> anyhow::Result<Self> {
        let told = || format!("--cidfile: make {}", path.display());
        let place = Place::find(path).with_context(told)?;
        match place.make() {
            Ok(file) => Ok(Self { path: path.to_owned(), place, file, stays: false }),
            Err(errno @ Errno::EEXIST) => Err(errno)
                .with_context(told)
                .hint("it may tell of another container; remove it if not"),
            Err(errno) => Err(errno).with_context(told),
        }
    }

    /// Writes the id, as docker does without an end of line.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&self, id: &ContainerId) -> anyhow::Result<()> {
        (&self.file)
            .write_all(id.as_str().as_bytes())
            .with_context(|| format!("--cidfile: write to {}", self.path.display()))
    }

    /// Has it stay.
    pub fn keep(&mut self) {
        self.stays = true;
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if !self.stays {
            // There is no container for it to tell of.
            let _ = self.place.remove();
        }
    }
}
