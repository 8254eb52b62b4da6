//! Something outside every root, which nothing may touch.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::Scratch;

/// A directory with a file in it, and what both looked like at first.
pub struct Canary {
    directory: PathBuf,
    before: Snapshot,
}

/// What is known of each file below a directory, by its path.
type Snapshot = BTreeMap<PathBuf, Facts>;

#[derive(Debug, PartialEq)]
struct Facts {
    mode: u32,
    owner: (u32, u32),
    inode: u64,
    links: u64,
    modified: (i64, i64),
    content: Vec<u8>,
}

impl Canary {
    /// `canary/` below the scratch directory, with `file`, `directory/` and a
    /// `program` that says so when it is run.
    pub fn new(scratch: &Scratch) -> Self {
        Self::named(scratch, "canary")
    }

    /// The same under another name.
    pub fn named(scratch: &Scratch, name: &str) -> Self {
        let directory = PathBuf::from(scratch.dir(name));
        fs::create_dir(directory.join("directory")).expect("make a directory");
        fs::write(directory.join("file"), "canary\n").expect("write a file");
        fs::write(directory.join("program"), "#!/bin/sh\necho canary\n").expect("write a file");
        fs::set_permissions(directory.join("program"), fs::Permissions::from_mode(0o755))
            .expect("mode");
        // Long ago: before Linux 6.13 a time is that of the last tick, and a
        // write soon after the making would have the same.
        let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for name in ["directory", "file", "program", ""] {
            let made = fs::File::open(directory.join(name)).expect("open it");
            made.set_modified(long_ago).expect("set its time");
        }
        Self::of(directory)
    }

    /// Any directory that is to stay as it is.
    pub fn of(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        let before = snapshot(&directory);
        Self { directory, before }
    }

    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Insists that nothing was read into another place, written or made.
    #[track_caller]
    pub fn untouched(&self) {
        if let Err(change) = self.check() {
            panic!("the canary {} is not what it was: {change}", self.directory.display());
        }
    }

    /// The first difference.
    pub fn check(&self) -> Result<(), String> {
        let after = snapshot(&self.directory);
        for (path, facts) in &self.before {
            match after.get(path) {
                None => return Err(format!("{} is gone", path.display())),
                Some(now) if now != facts => {
                    return Err(format!("{}: {facts:?} became {now:?}", path.display()));
                }
                Some(_) => {}
            }
        }
        match after.keys().find(|path| !self.before.contains_key(*path)) {
            Some(new) => Err(format!("{} is new", new.display())),
            None => Ok(()),
        }
    }
}

fn snapshot(directory: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut ahead = vec![directory.to_owned()];
    while let Some(path) = ahead.pop() {
        let Ok(facts) = fs::symlink_metadata(&path) else { continue };
        let content = if facts.is_file() {
            fs::read(&path).unwrap_or_default()
        } else if facts.is_symlink() {
            fs::read_link(&path).expect("read a link").into_os_string().into_encoded_bytes()
        } else {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            ahead.extend(entries.map(|entry| entry.path()));
            Vec::new()
        };
        let facts = Facts {
            mode: facts.mode(),
            owner: (facts.uid(), facts.gid()),
            inode: facts.ino(),
            links: facts.nlink(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            content,
        };
        found.insert(path, facts);
    }
    found
}
