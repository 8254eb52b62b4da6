//! All containers of a user.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, anyhow, bail};

use super::directory::Directory;
use super::entry::{Entry, Loaded};
use super::files::{self, Refused};
use super::lock::{Byte, PATIENCE, patiently};
use super::names;
use super::near;
use super::record::Record;
use super::repair::DEAD;
use super::reserved::Reserved;
use crate::error::Explain;
use crate::spec::{ContainerId, Name, Spec};
use crate::sys::{Errno, path};

/// Takes down what a container has left that was killed with its launcher:
/// its control group. May be called again for the same one, and by several
/// processes, one after the other.
pub type Release = fn(&Record) -> anyhow::Result<()>;

/// The records of all containers of this user.
#[derive(Clone, Debug)]
pub struct Store(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Directory,
    release: Release,
}

/// How long what has no record yet may stay like that, in milliseconds: who makes
/// or removes it is done at once, where the machine has time for him.
const UNSETTLED: u32 = 500;

/// What there is.
#[derive(Debug, Default)]
pub struct Listing {
    /// The containers, the oldest first.
    pub records: Vec<Record>,
    /// Those of which nothing can be said, and why.
    pub problems: Vec<anyhow::Error>,
}

impl Store {
    /// Opens the user's, made if need be.
    ///
    /// # Errors
    /// Where no directory is the user's own, and where a disk is full.
    pub fn open(release: Release) -> anyhow::Result<Self> {
        Ok(Self::in_directory(Directory::find("sublet")?, release))
    }

    pub(super) fn in_directory(directory: Directory, release: Release) -> Self {
        Self(Rc::new(Inner { directory, release }))
    }

    /// Takes an id, and a name if there is one to take, for a container that
    /// this process is about to start.
    ///
    /// # Errors
    /// Where another container has the one or the other; what the disk says.
    pub fn reserve(&self, id: &ContainerId, name: Option<Name>) -> anyhow::Result<Reserved> {
        // The second time after a leftover was removed, and as often as others
        // take the new directory for one.
        for _ in 0..1000 {
            match Entry::make(self, id) {
                Ok(Some(entry)) => return Reserved::new(self.clone(), id.clone(), name, entry),
                Ok(None) => {}
                Err(Errno::EEXIST) => self.make_way(id)?,
                Err(errno) => {
                    return Err(errno).refused("make the directory", &self.path_of(id));
                }
            }
        }
        bail!("{} comes and goes", self.path_of(id).display())
    }

    /// Takes a container that is not alive, to start it again: it, and its
    /// record as it is now.
    ///
    /// # Errors
    /// One that is gone or alive.
    pub fn take(&self, id: &ContainerId) -> anyhow::Result<(Reserved, Record)> {
        let look = || format!("look at container {}", id.short());
        let gone = || anyhow!("container {} is gone", id.short());
        self.visit(id)?.ok_or_else(gone)?;
        let entry = Entry::open(self, id).with_context(look)?.ok_or_else(gone)?;
        // Who has written how it ended lets go at once.
        let taken =
            patiently(PATIENCE, || Ok(entry.lock.take(Byte::Life)? || self.runs(&entry, id)));
        taken.with_context(look)?;
        if !entry.lock.take(Byte::Life).with_context(look)? {
            bail!("container {} is running", id.short());
        }
        // Who removes it holds the other byte, and looks at this one then.
        if !patiently(PATIENCE, || entry.lock.take(Byte::Edit)).with_context(look)? {
            bail!("another sublet has been changing container {} for two seconds", id.short());
        }
        if !entry.is_at(self, id).with_context(look)? {
            return Err(gone());
        }
        let Loaded::Record(record) = entry.load(id)? else { return Err(gone()) };
        if record.needs_launcher() {
            // It was killed since we looked first.
            self.release(&record)?;
        }
        entry.lock.release(Byte::Edit).with_context(look)?;
        Ok((Reserved::again(self.clone(), &record, entry), *record))
    }

    /// Whether the record says that somebody is to hold the lock.
    fn runs(&self, entry: &Entry, id: &ContainerId) -> bool {
        matches!(entry.load(id), Ok(Loaded::Record(record)) if record.needs_launcher())
    }

    /// Removes what is left of an earlier container with this id.
    fn make_way(&self, id: &ContainerId) -> anyhow::Result<()> {
        let look = || format!("look at container {}", id.short());
        // Without a record, somebody is starting it, or removing what we have
        // just made ourselves.
        let mut known = false;
        let settled = patiently(UNSETTLED, || {
            known = matches!(self.visit(id), Ok(Some(_)));
            Ok(known || Entry::open(self, id)?.is_none())
        });
        if !settled.with_context(look)? || known {
            return Err(anyhow!("container {} exists already", id.short()))
                .hint("choose another id, or wait until that container is gone");
        }
        Ok(())
    }

    /// All containers, after what killed processes have left of others was
    /// put right.
    ///
    /// # Errors
    /// Where the directory itself can't be read.
    pub fn list(&self) -> anyhow::Result<Listing> {
        let mut listing = Listing::default();
        let (ids, dead) = self.names()?;
        for name in dead {
            // Somebody else may be at it.
            let _ = files::remove_tree(self.fd(), &name);
        }
        for id in ids {
            match self.visit(&id) {
                Ok(record) => listing.records.extend(record),
                Err(problem) => listing.problems.push(problem),
            }
        }
        let known = listing.records.iter().filter_map(|record| record.name.as_ref()).collect();
        listing.problems.extend(names::sweep(self, &known).err());
        // A record is large: each is moved once.
        listing.records.sort_by_cached_key(|record| (record.created, record.id.clone()));
        Ok(listing)
    }

    /// The container that `word` means: its id, its name, or the beginning of
    /// its id and of no other's.
    ///
    /// # Errors
    /// Where there is none, or more than one.
    pub fn find(&self, word: &str) -> anyhow::Result<Record> {
        match self.seek(word)? {
            Some(record) => Ok(record),
            None => Err(anyhow!("there is no container {word}")).hint(self.known_beside(word)?),
        }
    }

    /// The same, if there is one.
    ///
    /// # Errors
    /// Where there is more than one.
    pub fn seek(&self, word: &str) -> anyhow::Result<Option<Record>> {
        let id: ContainerId = word.parse()?;
        if let Some(record) = self.visit(&id)? {
            return Ok(Some(record));
        }
        if let Some(record) = self.named(&word.parse()?)? {
            return Ok(Some(record));
        }
        let (ids, _) = self.names()?;
        let mut found = Vec::new();
        for id in ids.iter().filter(|id| id.as_str().starts_with(word)) {
            found.extend(self.visit(id)?);
        }
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(ambiguous(word, &found)),
        }
    }

    /// The directory of a container, for what its supervisor has put there.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn directory(&self, record: &Record) -> anyhow::Result<OwnedFd> {
        files::open_directory(self.fd(), record.id.as_str())
            .refused("open", &self.path_of(&record.id))
    }

    /// What was asked for of a container, with the name and the limits that it
    /// has by now.
    ///
    /// # Errors
    /// Where it is gone, was not written down, or is not what was written.
    pub fn spec(&self, record: &Record) -> anyhow::Result<Spec> {
        let label = record.label();
        let entry = Entry::open(self, &record.id)
            .and_then(|entry| entry.ok_or(Errno::ENOENT))
            .with_context(|| format!("look at container {label}"))?;
        entry
            .read_spec(record)
            .with_context(|| format!("read what was asked for of container {label}"))
            .hint(format!("sublet inspect {label} shows what else is known of it"))
    }

    /// The container that has this name, if one has.
    ///
    /// # Errors
    /// A record that can't be read.
    pub fn named(&self, name: &Name) -> anyhow::Result<Option<Record>> {
        let owner = names::look_up(self, name).refused("look a name up in", self.path())?;
        let Some(owner) = owner else { return Ok(None) };
        Ok(self.visit(&owner)?.filter(|record| record.name.as_ref() == Some(name)))
    }

    /// What may be meant by a word that nothing is called.
    fn known_beside(&self, word: &str) -> anyhow::Result<String> {
        let records = self.list()?.records;
        let called: Vec<String> = records.iter().map(|it| it.label().to_owned()).collect();
        Ok(near::told(word, &called))
    }

    /// Changes the record of a container, whoever started it.
    ///
    /// # Errors
    /// Where it is gone; what the disk says.
    pub fn edit(
        &self,
        id: &ContainerId,
        change: impl FnOnce(&mut Record),
    ) -> anyhow::Result<Record> {
        let gone = || format!("container {} is gone", id.short());
        let entry = Entry::open(self, id).with_context(gone)?.with_context(gone)?;
        entry.edit(self, id, change)
    }

    /// The ids that have a directory, and the directories of removed ones.
    fn names(&self) -> anyhow::Result<(Vec<ContainerId>, Vec<String>)> {
        let (mut ids, mut dead) = (Vec::new(), Vec::new());
        // Opened anew: each descriptor is read from where it stands.
        let directory = files::open_directory(self.fd(), ".").refused("open", self.path())?;
        path::each_name(directory.as_fd(), |name| {
            let Ok(name) = name.to_str() else { return };
            if name.starts_with(DEAD) {
                dead.push(name.to_owned());
            }
            ids.extend(name.parse::<ContainerId>());
        })
        .refused("read", self.path())?;
        Ok((ids, dead))
    }

    pub(super) fn release(&self, record: &Record) -> anyhow::Result<()> {
        (self.0.release)(record)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.directory.as_fd()
    }

    pub(super) fn path(&self) -> &Path {
        self.0.directory.path()
    }

    pub(super) fn path_of(&self, id: &ContainerId) -> PathBuf {
        self.path().join(id.as_str())
    }
}

fn ambiguous(word: &str, found: &[Record]) -> anyhow::Error {
    let each = found.iter().map(|record| match &record.name {
        Some(name) => format!("{} ({name})", record.id),
        None => record.id.to_string(),
    });
    let each: Vec<String> = each.collect();
    let told = Err::<(), _>(anyhow!("{word} is the beginning of {} ids", found.len()))
        .hint(format!("type more of one:\n{}", each.join("\n")));
    told.expect_err("it is one")
}
