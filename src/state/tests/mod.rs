//! The store on a real file system.

mod damage;
mod directory;
mod faded;
mod full;
mod killed;
mod life;
mod races;
mod removed;
mod rename;
mod spec;
mod watch;

use std::cell::Cell;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::directory::{Candidate, Directory, Sharing};
use super::*;
use crate::spec::{ContainerId, Name};

/// A directory of a test's own, removed in the end.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sublet-state.{}.{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn open(&self) -> OwnedFd {
        open(&self.0, OFlag::O_DIRECTORY, Mode::empty()).unwrap()
    }

    /// The store in it, opened anew.
    fn store(&self) -> Store {
        store_in(self.path())
    }

    /// A file or directory of the store.
    fn at(&self, path: &str) -> PathBuf {
        self.0.join("sublet").join(path)
    }

    /// All there is in the store, names and all, sorted.
    fn tree(&self) -> Vec<String> {
        fn walk(directory: &Path, top: &Path, into: &mut Vec<String>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                into.push(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned());
                if path.symlink_metadata().unwrap().is_dir() {
                    walk(&path, top, into);
                }
            }
        }
        let mut tree = Vec::new();
        walk(&self.at(""), &self.at(""), &mut tree);
        tree.retain(|path| path != ".names");
        tree.sort();
        tree
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn store_in(base: &Path) -> Store {
    let sharing = Sharing::Own;
    let candidate = Candidate { base: base.into(), name: "sublet".to_owned(), sharing };
    let uid = nix::unistd::geteuid().as_raw();
    Store::in_directory(Directory::first_of(&[candidate], uid).unwrap(), released)
}

thread_local! {
    /// How many containers this thread has taken down.
    static RELEASED: Cell<u32> = const { Cell::new(0) };
}

fn released(_: &Record) -> anyhow::Result<()> {
    RELEASED.set(RELEASED.get() + 1);
    Ok(())
}

fn id(text: &str) -> ContainerId {
    text.parse().unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// This process, as a launcher.
fn me() -> Identity {
    Identity::of(nix::unistd::getpid(), &boot().unwrap()).unwrap()
}

fn record(text: &str, named: Option<&str>, afterwards: Afterwards) -> Record {
    let command = vec!["true".to_owned(), "\u{1b}[2J\n\"".to_owned()];
    let asked = Asked { root: "/tmp/root:O".to_owned(), command, labels: [].into(), limits: None };
    let mut record = Record::new(id(text), named.map(name), asked, Some(me()));
    record.afterwards = afterwards;
    record
}

fn running() -> Life {
    Life::Running { launcher: me(), payload: me(), started: Moment::now() }
}

fn exit(end: End) -> Exit {
    Exit {
        started: None,
        finished: Moment::now(),
        end,
        usage: Usage::default(),
        story: Story::default(),
    }
}

/// A container that runs.
fn run(store: &Store, text: &str, named: Option<&str>, afterwards: Afterwards) -> Reserved {
    let mut reserved = store.reserve(&id(text), named.map(name)).unwrap();
    reserved.commit(&record(text, named, afterwards)).unwrap();
    reserved.edit(|record| record.life = running()).unwrap();
    reserved
}

/// What a launcher leaves that is killed: its locks are let go, and that is
/// all.
fn kill(reserved: Reserved) {
    use std::os::fd::{AsFd, AsRawFd};
    let lock = nix::libc::flock {
        l_type: nix::libc::F_UNLCK as _,
        l_whence: nix::libc::SEEK_SET as _,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    assert!(reserved.as_fd().as_raw_fd() > 2);
    nix::fcntl::fcntl(reserved.as_fd(), nix::fcntl::FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    std::mem::forget(reserved);
}

fn ids(listing: &Listing) -> Vec<&str> {
    listing.records.iter().map(|record| record.id.as_str()).collect()
}

fn end(record: &Record) -> Option<End> {
    match &record.life {
        Life::Exited(exit) => Some(exit.end),
        _ => None,
    }
}

/// One test of this program in a process of its own, under another program.
fn again(test: &str, under: &mut Command) -> Output {
    under.arg(std::env::current_exe().unwrap());
    under.args(["--exact", test]).output().unwrap()
}
