//! `sublet cp`: files out of a container and into it.
//!
//! What is in a container belongs to its ids, and may be anything. So it is read
//! and written by a process of ours with the rights of the container's root and
//! no others: it has joined its user namespace, and looks every path up with the
//! container's root as `/`. It is in no other namespace of it, so nobody there
//! sees it. The caller's own files are read and written by the caller. Between
//! them go packets: what a file is, and the open file.

mod fill;
mod into;
mod item;
mod out;
mod place;
mod sink;
mod source;
mod stream;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, anyhow, bail};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::{Mode, umask};

use super::exec::Target;
use super::shared::Shared;
use crate::child::companion::Companion;
use crate::error::{Explain, causes};
use crate::host::Host;
use crate::host::inside::Inside;
use crate::plan::idmap::{self, Idmap};
use crate::spec::Root;
use crate::state::{Life, Store};
use crate::sys::Errno;
use item::{Channel, Item, Kind, Message};
use place::Place;

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Standard input or output, as a tar file.
    Stream,
    /// A path of the caller's.
    Host(Vec<u8>),
    /// A path in a container.
    Container(String, Vec<u8>),
}

impl From<&[u8]> for End {
    /// `-`, `CONTAINER:PATH` or a path. One with a slash or a dot before the
    /// first colon is a path.
    fn from(word: &[u8]) -> Self {
        let host = || Self::Host(word.to_vec());
        if word == b"-" {
            return Self::Stream;
        }
        let Some(colon) = word.iter().position(|byte| *byte == b':') else { return host() };
        match std::str::from_utf8(&word[..colon]) {
            Ok(name) if !name.is_empty() && !name.starts_with('.') && !name.contains('/') => {
                Self::Container(name.to_owned(), word[colon + 1..].to_vec())
            }
            _ => host(),
        }
    }
}

/// Whose the copies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The container's root inside, the caller outside.
    Given,
    /// Those of the originals.
    Kept,
}

/// How much was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files of all kinds.
    pub files: u64,
    /// What is in them, in bytes.
    pub bytes: u64,
}

impl Copied {
    fn count(&mut self, item: &Item) {
        self.files += 1;
        if let Kind::File(size) = item.kind {
            self.bytes += size;
        }
    }
}

/// Copies, and calls `note` with what is left out.
///
/// # Errors
/// What is not there, in the way or not to be had.
pub fn copy(
    store: &Store,
    (from, to): (&End, &End),
    ids: Ids,
    host: &Host,
    note: &dyn Fn(&str),
) -> anyhow::Result<Copied> {
    // Each level of a tree takes a descriptor.
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
    umask(Mode::empty());
    match (from, to) {
        (End::Host(path), _) | (_, End::Host(path)) if path.is_empty() => {
            Err(anyhow!("an empty path is no file's")).hint("the directory that you are in is .")
        }
        (End::Container(..), End::Container(..)) => {
            Err(anyhow!("both are in containers")).hint("copy it to a directory of yours first")
        }
        (End::Container(name, path), to) => {
            let container = Container::open(store, name, host)?;
            let host = Place::Host(Shared::default());
            out::copy(container, path, (to, &host), ids, note)
                .with_context(|| format!("copy from {name}"))
        }
        (from, End::Container(name, path)) => {
            let container = Container::open(store, name, host)?;
            let host = Place::Host(Shared::default());
            into::copy(container, path, (from, &host), ids, note)
                .with_context(|| format!("copy to {name}"))
        }
        _ => Err(anyhow!("neither is in a container")).hint("CONTAINER:PATH is in one"),
    }
}

/// The files of a container.
struct Container {
    root: OwnedFd,
    /// What runs of it; without, its files are a directory of the caller's.
    running: Option<(Inside, Idmap)>,
}

impl Container {
    fn open(store: &Store, word: &str, host: &Host) -> anyhow::Result<Self> {
        let record = store.find(word)?;
        let spec = store.spec(&record)?;
        if let Life::Running { .. } = record.life {
            let inside = Target::running(record)?.inside(&spec)?;
            let maps = (&inside.uids[..], &inside.gids[..]);
            let idmap = idmap::running(&spec, maps, inside.setgroups, host)?;
            let root = inside.root.try_clone().context("open the container's root")?;
            return Ok(Self { root, running: Some((inside, idmap)) });
        }
        let refused = |why: &str| {
            let refused = Err(anyhow!("container {word} is not running, and {why}"));
            refused.hint("only a directory as ROOT outlives its container")
        };
        match &spec.beside.root {
            Root::Directory(path) => {
                // It may have put something else in its own place.
                let flags = libc::O_PATH | libc::O_DIRECTORY;
                let root = Shared::default().open(path.as_os_str().as_bytes(), flags);
                let root = root.with_context(|| format!("open {}", path.display()))?;
                Ok(Self { root, running: None })
            }
            Root::Overlay(_) => refused("its overlay has ended with it"),
            Root::Host => refused("its root was the machine's own"),
        }
    }

    /// Does `work` with the rights of the container's root, in a process of its
    /// own; gives the way to that.
    fn serve(
        &self,
        inside: &Inside,
        idmap: &Idmap,
        work: impl FnOnce(&Channel, Place) -> anyhow::Result<()>,
    ) -> anyhow::Result<(Channel, Companion)> {
        let (family, flags) = (AddressFamily::Unix, SockFlag::SOCK_CLOEXEC);
        let (ours, theirs) = socketpair(family, SockType::SeqPacket, None, flags)
            .context("make a channel to the process that copies")?;
        let setup = idmap.setup_user();
        let channel = Channel(theirs);
        let kept = [channel.0.as_fd(), self.root.as_fd()];
        let work = |entered: crate::sys::Result<()>| {
            let work = || {
                if entered == Err(Errno::ESRCH) {
                    bail!("it has ended meanwhile");
                }
                entered.context("enter its user namespace")?;
                work(&channel, Place::Root(self.root.try_clone()?))
            };
            let done: anyhow::Result<()> = work();
            if let Err(error) = done {
                // Where nobody hears it there is nobody to tell.
                let _ = channel.send(&Message::Failed(causes(&error)), None);
            }
        };
        let ids = (setup.uid, setup.gid);
        let companion =
            Companion::start_inside(kept.into_iter(), inside.process.as_fd(), ids, work)
                .context("start the process that copies in the container")?;
        Ok((Channel(ours), companion))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_container_has_its_name_before_a_colon() {
        let container =
            |name: &str, path: &str| End::Container(name.to_owned(), path.as_bytes().to_vec());
        let from = |word: &str| End::from(word.as_bytes());
        assert_eq!(from("web:/etc"), container("web", "/etc"));
        assert_eq!(from("web:a:b"), container("web", "a:b"));
        assert_eq!(from("web:"), container("web", ""));
        assert_eq!(from("-"), End::Stream);
        for path in ["a", "./a:b", "/a:b", "a/b:c", ":a", "../x:y"] {
            assert_eq!(from(path), End::Host(path.as_bytes().to_vec()));
        }
    }
}
