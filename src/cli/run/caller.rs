//! What a command line takes from the process that it was typed in.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context;

use crate::host::disk;
use crate::sys::random;

/// The caller's surroundings, apart so that tests have their own.
pub struct Caller {
    /// Looks up a variable of the caller's environment.
    pub variable: fn(&str) -> Option<OsString>,
    /// Looks up the number of a disk.
    pub disk: fn(&Path) -> anyhow::Result<(u32, u32)>,
    random: Option<[u8; 32]>,
}

impl Caller {
    /// This process.
    pub fn here() -> Self {
        Self { variable: |name| std::env::var_os(name), disk: disk::number, random: None }
    }

    /// Bytes that nobody can guess, for an id.
    pub fn random(&self) -> anyhow::Result<[u8; 32]> {
        if let Some(random) = self.random {
            return Ok(random);
        }
        let mut random = [0; 32];
        random::fill(&mut random).context("ask the kernel for random bytes")?;
        Ok(random)
    }
}

#[cfg(test)]
impl Caller {
    /// A caller whose environment is TERM=vt100 and LANG=C, and whose only
    /// disk is /dev/sda.
    pub fn for_tests() -> Self {
        let variable = |name: &str| match name {
            "TERM" => Some("vt100".into()),
            "LANG" => Some("C".into()),
            _ => None,
        };
        let disk = |path: &Path| match path.to_str() {
            Some("/dev/sda") => Ok((8, 0)),
            _ => anyhow::bail!("{} is not a block device", path.display()),
        };
        Self { variable, disk, random: Some([0xab; 32]) }
    }
}
