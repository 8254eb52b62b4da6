//! Where the root filesystem comes from, as typed.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{bail, ensure};

use super::{Root, mount::host_path};

impl FromStr for Root {
    type Err = anyhow::Error;

    /// Reads `host`, or a directory that is told from a name by its slash:
    /// `/path`, `./path`, `../path`, `.`, each with `:O` behind it for a
    /// throw-away overlay. A relative path is taken from the working directory
    /// of this process.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "host" {
            return Ok(Self::Host);
        }
        let (path, overlay) = match text.strip_suffix(":O") {
            Some(path) => (path, true),
            None => (text, false),
        };
        ensure!(!path.is_empty(), "the root is empty: a directory, or the word host");
        ensure!(path != "host", "host is read-only already and takes no overlay");
        let spelt_as_path = path.contains('/') || matches!(path, "." | "..");
        if !spelt_as_path && Path::new(path).is_dir() {
            bail!("{path:?} is not taken for a directory without a slash: write ./{path}");
        }
        ensure!(
            spelt_as_path,
            "{path:?} is not a root: a directory such as /path or ./path, or the word host"
        );
        let path = host_path(path)?;
        Ok(if overlay { Self::Overlay(path) } else { Self::Directory(path) })
    }
}

impl fmt::Display for Root {
    /// As it is typed, with the whole path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Overlay(path) => write!(f, "{}:O", path.display()),
            Self::Host => f.write_str("host"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_makes_a_directory() {
        assert_eq!("host".parse::<Root>().unwrap(), Root::Host);
        assert_eq!("/srv/x/".parse::<Root>().unwrap(), Root::Directory("/srv/x/".into()));
        assert_eq!("/srv/x:O".parse::<Root>().unwrap(), Root::Overlay("/srv/x".into()));
        let here = std::env::current_dir().unwrap();
        assert_eq!(".".parse::<Root>().unwrap(), Root::Directory(here.clone()));
        assert_eq!("./a/../b:O".parse::<Root>().unwrap(), Root::Overlay(here.join("a/../b")));
    }

    #[test]
    fn a_root_reads_as_it_is_typed() {
        for text in ["host", "/srv/x", "/srv/x:O"] {
            assert_eq!(text.parse::<Root>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn names_are_no_roots() {
        for text in ["", ":O", "alpine", "host:O", "alpine:latest", "..."] {
            assert!(text.parse::<Root>().is_err(), "{text:?} was taken");
        }
        let error = "src".parse::<Root>().unwrap_err();
        assert!(error.to_string().contains("./src"), "{error}");
    }
}
