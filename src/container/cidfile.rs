//! The file that gets a container's id: `--cidfile`.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::error::Explain;
use crate::spec::ContainerId;

/// A new file, removed again unless it is to stay.
#[derive(Debug)]
pub struct CidFile {
    path: PathBuf,
    file: File,
    stays: bool,
}

impl CidFile {
    /// Makes it.
    ///
    /// # Errors
    /// Where there is one: it is another container's.
    pub fn make(path: &Path) -> anyhow::Result<Self> {
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => Ok(Self { path: path.to_owned(), file, stays: false }),
            Err(error) => {
                let exists = error.kind() == ErrorKind::AlreadyExists;
                let told =
                    Err(error).with_context(|| format!("--cidfile: make {}", path.display()));
                match exists {
                    true => told.hint("it may tell of another container; remove it if not"),
                    false => told,
                }
            }
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
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
