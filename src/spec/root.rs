//! Where the root filesystem comes from, as typed.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{anyhow, ensure};

use super::{Root, mount::host_path};
use crate::error::Explain;

impl Root {
    /// How the files of an image become a directory, as there are no images here.
    pub const UNPACK: &str = "\
as there are no images yet, ROOT is a directory, or the word host; another engine
gives the files of one, and a container unpacks them:
  mkdir root; podman export \"$(podman create IMAGE)\" |
      sublet run -i -v \"$PWD/root:/mnt\" host -- tar -C /mnt -x --exclude='dev/*'
  sublet run -it ./root";
}

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
        if !spelt_as_path {
            let directory = Path::new(path).is_dir();
            return Err(anyhow!("it is neither a path with a slash in it nor the word host")).hint(
                match directory {
                    true => format!("the directory of that name is ./{text}"),
                    false => Self::UNPACK.to_owned(),
                },
            );
        }
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
    use crate::error::report;

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
        for (text, hint) in
            [("src", "is ./src"), ("src:O", "is ./src:O"), ("alpine", "podman export")]
        {
            let told = report(&text.parse::<Root>().unwrap_err());
            assert!(told.contains("a slash in it") && told.contains(hint), "{told}");
        }
    }
}
