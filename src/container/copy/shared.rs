//! Paths of the caller's, through directories that containers can write to.
//!
//! Who types `sublet cp web:/log work/out` means the directory `out`. Where a
//! container has `work` as a volume it may have put a link there, to whatever
//! the caller can write to and it can't (hardening C06, CVE-2026-103916). So a
//! path is walked here name by name, and a link that lies in such a directory is
//! followed nowhere. Other links are the caller's own, and followed.

use std::cell::OnceCell;
use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use anyhow::{Context, anyhow};
use nix::fcntl::{readlink, readlinkat};
use nix::libc;
use nix::sys::stat::{FileStat, fstat, stat};
use nix::unistd::geteuid;

use super::place::shown;
use crate::error::Explain;
use crate::spec::{Root, Spec};
use crate::state::Store;
use crate::sys::path::{on_procfs, open_component, open_following, open_typed};
use crate::sys::{Errno, Result};

/// The links that one path may lead through; as many as the kernel follows
/// (path_resolution(7)).
const LINKS: usize = 40;

const DIRECTORY: i32 = libc::O_PATH | libc::O_DIRECTORY;

/// A directory, by device and inode: these are the same under whatever path it
/// is mounted.
type Identity = (u64, u64);

/// The directories that containers can write to, and whose they are.
pub struct Shared<'a> {
    /// Asked for once a path leads through a link: most don't.
    known: OnceCell<HashMap<Identity, String>>,
    ask: Box<dyn Fn() -> HashMap<Identity, String> + 'a>,
}

impl<'a> Shared<'a> {
    /// What every container that there is a record of was given to write. Of
    /// one whose record can't be read it can't be told.
    pub fn of(store: &'a Store) -> Self {
        let ask = || {
            let mut known = HashMap::new();
            for record in store.list().map(|listing| listing.records).unwrap_or_default() {
                let Ok(spec) = store.spec(&record) else { continue };
                let directories = writable(&spec).filter_map(|path| stat(path).ok());
                let directories = directories.filter(|facts| is(facts, libc::S_IFDIR));
                known
                    .extend(directories.map(|facts| (identity(&facts), record.label().to_owned())));
            }
            known
        };
        Self { known: OnceCell::new(), ask: Box::new(ask) }
    }

    /// Opens a path of the caller's. Flags as in open(2): with `O_PATH`
    /// whatever it is, else a directory.
    ///
    /// # Errors
    /// An [`Errno`], as open(2); a link that a container may have made.
    pub fn open(&self, text: &[u8], flags: i32) -> anyhow::Result<OwnedFd> {
        let (mut at, mut ahead) = (start(text)?, components(text));
        let mut links = 0;
        while let Some(next) = ahead.pop_front() {
            let name = CString::new(next).map_err(|_| Errno::EINVAL)?;
            if matches!(name.to_bytes(), b"." | b"..") {
                at = open_following(at.as_fd(), &name, DIRECTORY)?;
                continue;
            }
            let there = open_component(at.as_fd(), &name, libc::O_PATH)?;
            let facts = fstat(&there)?;
            if !is(&facts, libc::S_IFLNK) {
                at = there;
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(Errno::ELOOP.into());
            }
            if on_procfs(at.as_fd())? {
                // Its text doesn't say where it leads.
                at = open_following(at.as_fd(), &name, libc::O_PATH)?;
                continue;
            }
            let target = readlinkat(&there, c"")?.into_vec();
            // No container of anybody but root makes files of root's.
            if geteuid().is_root() || facts.st_uid != 0 {
                self.refuse(at.as_fd(), &name, &target)?;
            }
            let mut leads = components(&target);
            leads.append(&mut ahead);
            ahead = leads;
            if target.starts_with(b"/") {
                at = start(&target)?;
            }
        }
        if flags & libc::O_PATH == 0 || flags & libc::O_DIRECTORY != 0 {
            return Ok(open_following(at.as_fd(), c".", flags)?);
        }
        Ok(at)
    }

    /// Refuses a link where a container can write, and says where it leads.
    fn refuse(&self, directory: BorrowedFd<'_>, name: &CStr, target: &[u8]) -> anyhow::Result<()> {
        let Some(whose) = self.holder(directory)? else { return Ok(()) };
        let place = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let place = readlink(place.as_str()).context("ask where a link is")?.into_vec();
        let (link, target) = (shown(&[&place, &b"/"[..], name.to_bytes()].concat()), shown(target));
        Err(anyhow!("{link} is a link, and container {whose} can write to its directory"))
            .hint(format!("it leads to {target}: name that itself, if it is meant"))
    }

    /// The container that can write to this directory, for it has it or one
    /// above it.
    fn holder(&self, directory: BorrowedFd<'_>) -> Result<Option<&str>> {
        let known = self.known.get_or_init(&self.ask);
        let mut at = open_following(directory, c".", DIRECTORY)?;
        let mut this = identity(&fstat(&at)?);
        loop {
            if let Some(whose) = known.get(&this) {
                return Ok(Some(whose));
            }
            let above = open_following(at.as_fd(), c"..", DIRECTORY)?;
            let that = identity(&fstat(&above)?);
            // Only the root is its own parent.
            if this == that {
                return Ok(None);
            }
            (at, this) = (above, that);
        }
    }
}

/// The directories and files of the host that a container can write to: its
/// root, where that is a directory, and its volumes.
fn writable(spec: &Spec) -> impl Iterator<Item = &Path> {
    let is_closed = spec.oci.root().as_ref().is_some_and(|root| root.readonly() == Some(true));
    let root = match &spec.beside.root {
        Root::Directory(path) if !is_closed => Some(path.as_path()),
        _ => None,
    };
    let volumes = spec.oci.mounts().iter().flatten().filter_map(|mount| {
        let options = mount.options().as_deref().unwrap_or_default();
        let is_closed = options.iter().any(|word| word == "ro" || word == "rro");
        let is_bind = mount.typ().as_deref() == Some("bind");
        mount.source().as_deref().filter(|_| is_bind && !is_closed)
    });
    root.into_iter().chain(volumes)
}

fn is(facts: &FileStat, kind: libc::mode_t) -> bool {
    facts.st_mode & libc::S_IFMT == kind
}

fn identity(facts: &FileStat) -> Identity {
    (facts.st_dev, facts.st_ino)
}

/// Where the walk of a path begins.
fn start(path: &[u8]) -> Result<OwnedFd> {
    open_typed(if path.starts_with(b"/") { c"/" } else { c"." }, DIRECTORY)
}

/// The names of a path. A slash at its end means the directory: `.` of it.
fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let mut names: VecDeque<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
    if path.ends_with(b"/") {
        names.push_back(b".".to_vec());
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::error::{causes, hint};

    /// A directory with `work` in it, which is container web's, and `mine`.
    struct Files(PathBuf);

    impl Files {
        fn new(test: &str) -> Self {
            let name = format!("sublet-shared-{test}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(path.join("work/inner")).unwrap();
            fs::create_dir(path.join("mine")).unwrap();
            fs::write(path.join("mine/file"), "").unwrap();
            Self(path.canonicalize().unwrap())
        }

        fn link(&self, name: &str, target: &str) {
            symlink(target, self.0.join(name)).unwrap();
        }

        fn open(&self, path: &str, flags: i32) -> anyhow::Result<Identity> {
            let work = identity(&stat(&self.0.join("work")).unwrap());
            let known = HashMap::from([(work, "web".to_owned())]);
            let ask = Box::new(HashMap::new);
            let shared = Shared { known: OnceCell::from(known), ask };
            let opened = shared.open(&self.text(path), flags)?;
            Ok(identity(&fstat(&opened)?))
        }

        fn text(&self, path: &str) -> Vec<u8> {
            self.0.join(path).into_os_string().into_vec()
        }

        /// It is what open(2) would open, or can't be, for the same reason.
        fn is_as_ever(&self, path: &str) {
            for flags in [libc::O_PATH, DIRECTORY, libc::O_RDONLY | libc::O_DIRECTORY] {
                let ours = self.open(path, flags).map_err(|error| error.downcast().unwrap());
                let path = CString::new(self.text(path)).unwrap();
                let plain = open_typed(&path, flags);
                assert_eq!(ours, plain.map(|fd| identity(&fstat(&fd).unwrap())), "{path:?}");
            }
        }

        fn is_refused(&self, path: &str, link: &str, target: &str) {
            let error = self.open(path, libc::O_PATH).unwrap_err();
            let said = causes(&error).replace(self.0.to_str().unwrap(), "");
            let whose = "and container web can write to its directory";
            assert_eq!(said, format!("\"{link}\" is a link, {whose}"), "{path}");
            assert!(hint(&error).unwrap().contains(&format!("{target:?}")), "{path}");
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_path_leads_where_it_always_does() {
        let files = Files::new("plain");
        files.link("relative", "mine/../work");
        files.link("mine/absolute", files.0.join("work/inner").to_str().unwrap());
        files.link("twice", "mine/absolute/.");
        files.link("dangling", "nowhere");
        files.link("round", "round");
        files.link("process", "/proc/self/cwd");
        for path in [
            "mine",
            "mine/file",
            "mine/file/",
            "mine/file/.",
            "mine/none",
            "none/none",
            "mine//file",
            "work/inner/",
            "work/inner/../..",
            "relative/inner",
            "relative/",
            "twice",
            "twice/..",
            "dangling",
            "dangling/",
            "round",
            "process/",
            "mine/./absolute/../inner",
        ] {
            files.is_as_ever(path);
        }
        let links = Files::new("links");
        links.link("0", "mine");
        for at in 1..=40 {
            links.link(&at.to_string(), &(at - 1).to_string());
        }
        // One of 40 links, and one more.
        links.is_as_ever("39/file");
        links.is_as_ever("40/file");
        assert!(files.open("a\0b", libc::O_PATH).is_err());
    }

    #[test]
    fn no_link_of_a_containers_is_followed() {
        // Made by root, as far as others are concerned, they were not its own.
        let files = Files::new("links-of-others");
        files.link("work/out", "../mine");
        files.link("work/inner/out", "/etc");
        files.link("mine/through", "../work/inner/out");
        files.link("work/dangling", "nowhere");
        files.is_refused("work/out", "/work/out", "../mine");
        files.is_refused("work/out/file", "/work/out", "../mine");
        files.is_refused("work/inner/../out/", "/work/out", "../mine");
        files.is_refused("work/inner/out", "/work/inner/out", "/etc");
        files.is_refused("mine/through/passwd", "/work/inner/out", "/etc");
        files.is_refused("work/dangling", "/work/dangling", "nowhere");
        // Nothing is the matter with what is there itself.
        files.is_as_ever("work/inner");
        files.is_as_ever("work/inner/none");
    }
}
