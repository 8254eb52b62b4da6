//! Files of the machine that a container is shown a part or a copy of.

use std::fs;
use std::path::{Path, PathBuf};

/// Where such files are looked for.
#[derive(Clone, Debug, Default)]
pub enum Files {
    /// On this machine, each time somebody asks.
    #[default]
    Here,
    /// Nowhere: these are all there are, with what they hold.
    Told(Vec<(PathBuf, String)>),
}

impl Files {
    /// Whether there is anything at `path`.
    pub fn has(&self, path: &Path) -> bool {
        match self {
            Self::Here => path.exists(),
            Self::Told(files) => files.iter().any(|(told, _)| told == path),
        }
    }

    /// What the file at `path` holds; nothing where it can't be read.
    pub fn text(&self, path: &Path) -> String {
        match self {
            Self::Here => fs::read_to_string(path).unwrap_or_default(),
            Self::Told(files) => {
                let found = files.iter().find(|(told, _)| told == path);
                found.map(|(_, text)| text.clone()).unwrap_or_default()
            }
        }
    }
}
