//! The names of containers: a name belongs to one at a time.
//!
//! A name is a symbolic link in `.names` whose text is an id. To make a link
//! is one step, and fails where there is one: of all that want a name, one
//! gets it. A link counts as long as its container is there and has that
//! name; any other is a leftover. Only leftovers are ever removed, and only
//! under the lock of the directory, so nobody removes what somebody else has
//! just put in the place of one.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use nix::fcntl::{Flock, FlockArg, readlinkat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};

use super::entry::{Entry, Loaded};
use super::files::{self, Refused};
use super::lock::{Byte, PATIENCE, patiently};
use super::record::{Life, Record};
use super::store::Store;
use crate::error::Explain;
use crate::spec::{ContainerId, Name};
use crate::sys::{Errno, Result, path};

const DIRECTORY: &str = ".names";

/// How often it is tried again before we say that something else is wrong.
const ATTEMPTS: usize = 1000;

/// Gives `name` to the container `id`, whose lock the caller holds.
///
/// # Errors
/// Where another container has it.
pub fn claim(store: &Store, name: &Name, id: &ContainerId) -> anyhow::Result<()> {
    let path = store.path().join(DIRECTORY).join(name.as_str());
    let directory = make(store).refused("make the directory of", &path)?;
    for _ in 0..ATTEMPTS {
        match symlinkat(id.as_str(), &directory, name.as_str()) {
            Ok(()) => return Ok(()),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno).refused("make the name", &path),
        }
        let Some(owner) = read(&directory, name.as_str()).refused("read the name", &path)? else {
            continue;
        };
        let mut seen = None;
        if let Ok(owner) = owner.parse()
            && owner != *id
        {
            // A container that was killed may lose its name by this. What
            // can't be found out leaves it where it is.
            seen = store.visit(&owner).ok().flatten();
        }
        match settle(store, &directory, name, &owner, Some(id))? {
            Settled::Ours => return Ok(()),
            Settled::Free => {}
            Settled::Taken(owner) => {
                return Err(taken(name, &owner, seen.as_ref()));
            }
        }
    }
    bail!("the name {} comes and goes", path.display())
}

/// What is to be told where the name is another one's, which was `seen` so.
fn taken(name: &Name, owner: &ContainerId, seen: Option<&Record>) -> anyhow::Error {
    let told = anyhow!("the name {name} is in use by container {}", owner.short());
    let hint = match seen.map(|record| &record.life) {
        Some(Life::Exited(_)) => format!(
            "that has ended: sublet rm {name} removes its record, and so does\n\
             sublet run --replace; with --rm it would have left none"
        ),
        Some(Life::Created { launcher: None }) => format!(
            "that has not run yet: sublet start {name} runs it, sublet rm {name} removes it"
        ),
        _ => format!(
            "that is running: choose another name; sublet rm -f {name} ends it,\n\
             and so does sublet run --replace"
        ),
    };
    Err::<(), _>(told).hint(hint).expect_err("it is one")
}

/// Takes `name` from the container `id`, which is removed.
pub fn withdraw(store: &Store, name: &Name, id: &ContainerId) -> anyhow::Result<()> {
    match files::open_directory(store.fd(), DIRECTORY) {
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno).refused("open", &store.path().join(DIRECTORY)),
        Ok(directory) => settle(store, &directory, name, id.as_str(), None).map(drop),
    }
}

/// The container that `name` belongs to, if one does.
pub fn look_up(store: &Store, name: &Name) -> Result<Option<ContainerId>> {
    let directory = match files::open_directory(store.fd(), DIRECTORY) {
        Err(Errno::ENOENT) => return Ok(None),
        directory => directory?,
    };
    Ok(read(&directory, name.as_str())?.and_then(|owner| owner.parse().ok()))
}

/// Removes the names whose container is gone, unless somebody else is at the names
/// right now: the next who looks removes them. `known` are those that a record
/// has: whose such a link is, only who wants the name asks.
pub fn sweep(store: &Store, known: &HashSet<&Name>) -> anyhow::Result<()> {
    let directory = match files::open_directory(store.fd(), DIRECTORY) {
        Err(Errno::ENOENT) => return Ok(()),
        directory => directory.refused("open", &store.path().join(DIRECTORY))?,
    };
    let mut names = Vec::new();
    path::each_name(directory.as_fd(), |name| {
        let name = name.to_str().ok().and_then(|name| name.parse::<Name>().ok());
        names.extend(name.filter(|name| !known.contains(name)));
    })
    .refused("read", &store.path().join(DIRECTORY))?;
    if names.is_empty() {
        return Ok(());
    }
    let path = store.path().join(DIRECTORY);
    let Some(_lock) = lock(store, 0).refused("lock", &path)? else { return Ok(()) };
    for name in names {
        if let Ok(Some(owner)) = read(&directory, name.as_str()) {
            judge(store, &directory, &name, &owner, None)?;
        }
    }
    Ok(())
}

/// Whose a name is.
#[derive(Debug)]
pub(super) enum Settled {
    /// The asker's.
    Ours,
    /// Nobody's: if there was a link, it is gone.
    Free,
    /// That container's.
    Taken(ContainerId),
}

/// Finds out under the lock whose `name` is, whose link was read as `owner`,
/// and removes it if it is a leftover.
pub(super) fn settle(
    store: &Store,
    directory: &OwnedFd,
    name: &Name,
    owner: &str,
    asker: Option<&ContainerId>,
) -> anyhow::Result<Settled> {
    let path = store.path().join(DIRECTORY);
    let _lock = lock(store, PATIENCE).refused("lock", &path)?.with_context(|| busy(&path))?;
    judge(store, directory, name, owner, asker)
}

fn busy(path: &Path) -> String {
    format!("another sublet has been holding {} for two seconds", path.display())
}

/// The same for who has the lock.
fn judge(
    store: &Store,
    directory: &OwnedFd,
    name: &Name,
    owner: &str,
    asker: Option<&ContainerId>,
) -> anyhow::Result<Settled> {
    let path = store.path().join(DIRECTORY);
    if read(directory, name.as_str()).refused("read", &path)?.as_deref() != Some(owner) {
        return Ok(Settled::Free);
    }
    if let Ok(owner) = owner.parse::<ContainerId>() {
        if asker == Some(&owner) {
            // From a container with the same id before this one.
            return Ok(Settled::Ours);
        }
        if has(store, &owner, name)? {
            return Ok(Settled::Taken(owner));
        }
    }
    match unlinkat(directory, name.as_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(Settled::Free),
        Err(errno) => Err(errno).refused("remove the name", &path.join(name.as_str())),
    }
}

/// All names, which nobody takes away as long as this lives.
pub struct Held<'a> {
    store: &'a Store,
    directory: OwnedFd,
    _lock: Flock<OwnedFd>,
}

impl<'a> Held<'a> {
    /// Takes the lock.
    ///
    /// # Errors
    /// Where somebody doesn't let go of it; what the disk says.
    pub fn take(store: &'a Store) -> anyhow::Result<Self> {
        let path = store.path().join(DIRECTORY);
        let directory = make(store).refused("make", &path)?;
        let lock = lock(store, PATIENCE).refused("lock", &path)?.with_context(|| busy(&path))?;
        Ok(Self { store, directory, _lock: lock })
    }

    /// Gives `name` to the container `id`; it counts once its record says so.
    ///
    /// # Errors
    /// Where another container has it.
    pub fn claim(&self, name: &Name, id: &ContainerId) -> anyhow::Result<()> {
        let path = self.store.path().join(DIRECTORY).join(name.as_str());
        for _ in 0..ATTEMPTS {
            match symlinkat(id.as_str(), &self.directory, name.as_str()) {
                Ok(()) => return Ok(()),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno).refused("make the name", &path),
            }
            let owner = read(&self.directory, name.as_str()).refused("read the name", &path)?;
            let Some(owner) = owner else { continue };
            match judge(self.store, &self.directory, name, &owner, Some(id))? {
                Settled::Ours => return Ok(()),
                Settled::Free => {}
                Settled::Taken(owner) => {
                    let told = anyhow!("the name {name} is in use by container {}", owner.short());
                    return Err(told).hint(format!("sublet inspect {name} shows whose it is"));
                }
            }
        }
        bail!("the name {} comes and goes", path.display())
    }

    /// Takes `name` from the container `id`, which is called otherwise.
    ///
    /// # Errors
    /// What the disk says.
    pub fn withdraw(&self, name: &Name, id: &ContainerId) -> anyhow::Result<()> {
        judge(self.store, &self.directory, name, id.as_str(), None).map(drop)
    }
}

/// Whether there is a container `id` that has this name, or is about to say
/// which one it has.
fn has(store: &Store, id: &ContainerId, name: &Name) -> anyhow::Result<bool> {
    let look = || format!("look at container {id}");
    let Some(entry) = Entry::open(store, id).with_context(look)? else {
        return Ok(false);
    };
    // First the lock: see `Store::visit`.
    let alive = entry.lock.is_held(Byte::Life).with_context(look)?;
    Ok(match entry.load(id) {
        Ok(Loaded::Record(record)) => record.name.as_ref() == Some(name),
        Ok(Loaded::Nothing | Loaded::Damaged(_)) => alive,
        // Not ours to judge: another version's.
        Err(_) => true,
    })
}

fn make(store: &Store) -> Result<OwnedFd> {
    match files::open_directory(store.fd(), DIRECTORY) {
        Err(Errno::ENOENT) => match mkdirat(store.fd(), DIRECTORY, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => files::open_directory(store.fd(), DIRECTORY),
            Err(errno) => Err(errno),
        },
        opened => opened,
    }
}

/// Takes the lock of all names; `None` where somebody doesn't let go of it for so
/// many milliseconds.
fn lock(store: &Store, patience: u32) -> Result<Option<Flock<OwnedFd>>> {
    let mut locked = None;
    // A descriptor of its own: the lock is its.
    let mut open = Some(files::open_directory(store.fd(), DIRECTORY)?);
    patiently(patience, || {
        let Some(fd) = open.take() else { return Ok(false) };
        match Flock::lock(fd, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                locked = Some(lock);
                Ok(true)
            }
            Err((fd, Errno::EWOULDBLOCK | Errno::EINTR)) => {
                open = Some(fd);
                Ok(false)
            }
            Err((_, errno)) => Err(errno),
        }
    })?;
    Ok(locked)
}

/// The text of a link. What is no link belongs to nobody, as an empty text.
fn read(directory: &OwnedFd, name: &str) -> Result<Option<String>> {
    match readlinkat(directory, name) {
        Ok(text) => Ok(Some(text.to_string_lossy().into_owned())),
        Err(Errno::ENOENT) => Ok(None),
        Err(Errno::EINVAL) => Ok(Some(String::new())),
        Err(errno) => Err(errno),
    }
}
