//! Where paths are looked up: on the host, or in a container.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use crate::container::shared::Shared;
pub use crate::container::shared::shown;
use crate::sys::Errno;
use crate::sys::path::open_in_root;

/// A tree of files that paths begin in.
pub enum Place {
    /// The caller's own, as every program looks paths up, but for links that
    /// containers can have made.
    Host(Shared),
    /// A container's root, which is `/`: no link leads out of it.
    Root(OwnedFd),
}

impl Place {
    /// Opens a path. Flags as in open(2): with `O_PATH` whatever it is, else a
    /// directory.
    ///
    /// # Errors
    /// An [`Errno`], as open(2); a link that may not be followed.
    pub fn open(&self, path: &[u8], flags: i32) -> anyhow::Result<OwnedFd> {
        match self {
            Self::Host(shared) => shared.open(path, flags),
            Self::Root(root) => {
                let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
                Ok(open_in_root(root.as_fd(), &path, flags)?)
            }
        }
    }

    /// A path of it, for people.
    pub fn told(&self, path: &[u8]) -> String {
        match self {
            Self::Host(_) => shown(path),
            Self::Root(_) => format!("{} in the container", shown(path)),
        }
    }
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// What has this name in a directory.
    Entry {
        /// The directory.
        parent: &'a [u8],
        /// The name: neither empty nor dots.
        name: &'a [u8],
    },
    /// A directory, as it stands: its path ends with a slash or with dots.
    Whole {
        /// Its name, if it has one.
        name: &'a [u8],
        /// What is in it is meant, and not itself.
        contents: bool,
    },
}

/// Splits a path at its last component. `a/.` is what is in `a`.
pub fn split(path: &[u8]) -> Split<'_> {
    let trimmed = trim(path);
    let start = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (parent, name) = trimmed.split_at(start);
    match name {
        b"" | b"." | b".." => Split::Whole { name: b"", contents: true },
        _ if trimmed.len() < path.len() => Split::Whole { name, contents: false },
        _ => Split::Entry { parent, name },
    }
}

fn trim(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    &path[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_at_their_names() {
        let entry = |parent, name| Split::Entry { parent, name };
        assert_eq!(split(b"a"), entry(b"", b"a"));
        assert_eq!(split(b"/a"), entry(b"/", b"a"));
        assert_eq!(split(b"/a/b c"), entry(b"/a/", b"b c"));
        assert_eq!(split(b"/a/b//"), Split::Whole { name: b"b", contents: false });
        for dots in [&b"/"[..], b"", b".", b"a/.", b"a/..", b"..", b"a/./"] {
            assert_eq!(split(dots), Split::Whole { name: b"", contents: true });
        }
    }

    #[test]
    fn names_are_shown_without_control_characters() {
        assert_eq!(shown(b"a\n\x1b[2J\xff"), "\"a\\n\\u{1b}[2J\u{fffd}\"");
    }
}
