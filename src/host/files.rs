//! Files of the machine that a container is shown a part or a copy of.

use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::program;
use crate::sys::link;

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

    /// Whether what is at `path` can be opened for reading and writing.
    pub fn opens(&self, path: &Path) -> Result<(), Errno> {
        match self {
            Self::Here => {
                let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
                open(path, flags, Mode::empty()).map(drop)
            }
            Self::Told(_) if self.has(path) => Ok(()),
            Self::Told(_) => Err(Errno::ENOENT),
        }
    }

    /// The program of that name, the system's own places first.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Here => program::candidates(name).next(),
            Self::Told(_) => Some(Path::new("/usr/bin").join(name)).filter(|path| self.has(path)),
        }
    }

    /// The longest packet that an interface takes, in bytes.
    pub fn mtu(&self, interface: &str) -> Option<u32> {
        match self {
            // Not from /sys, which shows the network that it was mounted in.
            Self::Here => link::mtu(interface).ok(),
            Self::Told(_) => {
                let text = self.text(&Path::new("/sys/class/net").join(interface).join("mtu"));
                text.trim().parse().ok()
            }
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
