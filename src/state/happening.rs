//! What happens with a container and changes nothing of its record: programs
//! that enter it, and who attaches himself.
//!
//! It is in the container's directory, a line of JSON each, and each of these
//! is appended by one write(2), which the kernel keeps apart from those of
//! others (`O_APPEND`). A file that has become long is then the one before, and
//! what that was is gone: so it takes little room, and nobody who looks on
//! misses anything, unless he does not look for hundreds of lines.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, renameat};
use nix::sys::stat::fstat;
use serde::{Deserialize, Serialize};

use super::files;
use super::lock::{Byte, Lock};
use super::moment::Moment;
use super::repair::{CODE, DEAD};
use super::store::Store;
use crate::spec::ContainerId;
use crate::sys::{Result, fd, path};

/// What is told of the present, and of what was before.
const FILE: &str = "events";
const FILE_NAME: &CStr = c"events";
const BEFORE: &str = "events.before";
/// The next while it is made.
const NEXT: &str = "events.next";
const NEXT_NAME: &CStr = c"events.next";

/// A file is begun anew when it has become longer, in bytes.
const LONG: i64 = 64 << 10;

/// The longest command that is told, in bytes.
const COMMAND: usize = 1024;

/// The most files that are remembered of one container: both, and those that
/// they were at the last look.
const FILES: usize = 4;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// When.
    pub at: Moment,
    /// And what.
    #[serde(flatten)]
    pub what: What,
}

/// What may happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A program is about to enter it.
    ExecStart {
        /// Which one: 64 hexadecimal digits.
        exec: String,
        /// Its command line.
        command: String,
    },
    /// It has ended.
    ExecDie {
        /// Which one.
        exec: String,
        /// Its exit code, 128 and the signal's number where one has killed it.
        code: Option<u8>,
    },
    /// Whoever has started it has left it.
    ExecDetach {
        /// Which one.
        exec: String,
    },
    /// Somebody has attached himself.
    Attach,
    /// He has left by his keys.
    Detach,
}

/// A line that is written by who can make no text: the code of an end and its
/// moment, in nanoseconds since 1970, are between the parts.
#[derive(Debug)]
pub struct LastWords {
    /// The directory of the file.
    pub directory: OwnedFd,
    /// The file, to which the line is appended.
    pub file: &'static CStr,
    /// What is before, between and behind them.
    pub parts: [Box<[u8]>; 3],
}

/// One program that enters a container, for those who look on.
#[derive(Debug)]
pub struct Told {
    directory: OwnedFd,
    exec: String,
}

impl Told {
    /// Says that `exec` is about to run `command` in the container of
    /// `directory`. What can't be written down is not told.
    pub fn begin(directory: OwnedFd, exec: String, command: &[String]) -> Self {
        let mut command = command.join(" ");
        command.truncate(command.floor_char_boundary(COMMAND));
        let told = Self { directory, exec };
        told.say(What::ExecStart { exec: told.exec.clone(), command });
        told
    }

    /// What its parent is to write down at its end.
    ///
    /// # Errors
    /// What dup(2) says.
    pub fn last_words(&self) -> std::io::Result<LastWords> {
        let before = format!(r#"{{"exec_die":{{"exec":"{}","code":"#, self.exec);
        let directory = self.directory.try_clone()?;
        let parts = [before.as_str(), r#"},"at":"#, "}\n"];
        Ok(LastWords {
            directory,
            file: FILE_NAME,
            parts: parts.map(|part| part.as_bytes().into()),
        })
    }

    /// Says that it did not run, or that nobody knows how it has ended.
    pub fn died(&self, code: Option<u8>) {
        self.say(What::ExecDie { exec: self.exec.clone(), code });
    }

    /// Says that it goes on without us.
    pub fn left(&self) {
        self.say(What::ExecDetach { exec: self.exec.clone() });
    }

    fn say(&self, what: What) {
        let _ = note(self.directory.as_fd(), what);
    }
}

/// Writes down what has happened just now in the container of `directory`.
///
/// # Errors
/// What the disk says.
pub fn note(directory: BorrowedFd<'_>, what: What) -> Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT;
    let mut file = files::open_file(directory, FILE, flags)?;
    if fstat(&file)?.st_size > LONG {
        begin_anew(directory)?;
        file = files::open_file(directory, FILE, flags)?;
    }
    let happening = Happening { at: Moment::now(), what };
    let mut line = serde_json::to_vec(&happening).unwrap_or_default();
    line.push(b'\n');
    fd::write(file.as_fd(), &line).map(drop)
}

/// Makes the file the one before, once of several who would.
fn begin_anew(directory: BorrowedFd<'_>) -> Result<()> {
    let lock = Lock::open(directory)?;
    if !lock.take(Byte::Edit)? {
        // Whoever has it for something else: then the next one does.
        return Ok(());
    }
    let file = files::open_file(directory, FILE, OFlag::O_RDONLY)?;
    if fstat(&file)?.st_size > LONG {
        // There is always one: who waits for the end of a program makes none,
        // for the container may be gone by then, and its directory half empty.
        files::open_file(directory, NEXT, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC)?;
        match path::exchange(directory, NEXT_NAME, FILE_NAME) {
            Ok(()) => renameat(directory, NEXT, directory, BEFORE)?,
            // Some file systems can't, such as NFS: then there is a moment
            // without, and what ends in it is not told.
            Err(_) => {
                renameat(directory, FILE, directory, BEFORE)?;
                renameat(directory, NEXT, directory, FILE)?;
            }
        }
    }
    // The lock goes with its descriptor.
    Ok(())
}

impl Store {
    /// What has happened with a container since the last time; with one that is
    /// gone nothing.
    pub fn happenings(&self, id: &ContainerId, seen: &mut Seen) -> Vec<Happening> {
        self.happenings_in(id.as_str(), seen)
    }

    /// The same with one that has just been removed, as far as its files are
    /// still there; `code` is what the directory's new name says.
    pub fn last_happenings(
        &self,
        id: &ContainerId,
        code: Option<u8>,
        seen: &mut Seen,
    ) -> Vec<Happening> {
        let code = code.map_or_else(String::new, |code| format!("{CODE}{code}"));
        self.happenings_in(&format!("{DEAD}{id}{code}"), seen)
    }

    fn happenings_in(&self, name: &str, seen: &mut Seen) -> Vec<Happening> {
        let directory = files::open_directory(self.fd(), name);
        directory.map_or_else(|_| Vec::new(), |directory| seen.further(directory.as_fd()))
    }
}

/// How far somebody has read what has happened with one container.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The files by their inodes, and where their unread part begins.
    files: Vec<(u64, u64)>,
}

impl Seen {
    /// What has happened since the last time, in its order; all that is there
    /// at the first.
    pub fn further(&mut self, directory: BorrowedFd<'_>) -> Vec<Happening> {
        let mut happenings = Vec::new();
        // In this order: what is renamed in between is looked at once more, for
        // that is a change too.
        for name in [BEFORE, FILE] {
            let read = files::open_file(directory, name, OFlag::O_RDONLY);
            let read = read.ok().and_then(|file| self.read(file));
            happenings.extend(read.unwrap_or_default());
        }
        happenings.sort_by_key(|happening| happening.at);
        happenings
    }

    /// What of one file is new. A line that nobody can read is none.
    fn read(&mut self, file: OwnedFd) -> Option<Vec<Happening>> {
        let status = fstat(&file).ok()?;
        let known = self.files.iter().find(|(inode, _)| *inode == status.st_ino);
        // The number of one that is gone may be another's.
        let from = known.map(|(_, from)| *from).filter(|from| *from <= status.st_size as u64);
        let from = from.unwrap_or_default();
        let mut file = File::from(file);
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(from)).ok()?;
        // Others may write faster than it is read.
        file.take(16 * LONG as u64).read_to_end(&mut text).ok()?;
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.files.retain(|(inode, _)| *inode != status.st_ino);
        self.files.push((status.st_ino, from + end as u64));
        let spare = self.files.len().saturating_sub(FILES);
        self.files.drain(..spare);
        let lines = text[..end].split(|byte| *byte == b'\n');
        Some(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;

    fn start(number: usize) -> What {
        What::ExecStart { exec: number.to_string(), command: "x".repeat(100) }
    }

    #[test]
    fn each_is_read_once() {
        let scratch = Scratch::new();
        let directory = scratch.open();
        let mut seen = Seen::default();
        assert_eq!(seen.further(directory.as_fd()), []);
        note(directory.as_fd(), What::Attach).unwrap();
        note(directory.as_fd(), What::Detach).unwrap();
        let what = |seen: &mut Seen| -> Vec<What> {
            seen.further(directory.as_fd()).into_iter().map(|it| it.what).collect()
        };
        assert_eq!(what(&mut seen), [What::Attach, What::Detach]);
        assert_eq!(what(&mut seen), []);
        assert_eq!(what(&mut Seen::default()), [What::Attach, What::Detach]);
        // Half a line is none yet, and nonsense is none.
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND;
        let file = files::open_file(directory.as_fd(), FILE, flags).unwrap();
        fd::write(file.as_fd(), b"nonsense\n{\"at\":7,").unwrap();
        assert_eq!(what(&mut seen), []);
        fd::write(file.as_fd(), b"\"exec_die\":{\"exec\":\"e\",\"code\":3}}\n").unwrap();
        assert_eq!(what(&mut seen), [What::ExecDie { exec: "e".to_owned(), code: Some(3) }]);
    }

    #[test]
    fn what_becomes_long_is_begun_anew_and_nothing_missed() {
        let scratch = Scratch::new();
        let directory = scratch.open();
        Lock::make(directory.as_fd()).unwrap();
        let mut seen = Seen::default();
        let mut next = 0;
        for number in 0..3000 {
            note(directory.as_fd(), start(number)).unwrap();
            if number % 300 == 299 {
                for happening in seen.further(directory.as_fd()) {
                    assert_eq!(happening.what, start(next));
                    next += 1;
                }
            }
        }
        assert_eq!(next, 3000);
        assert!(!scratch.path().join(NEXT).exists());
        let left = Seen::default().further(directory.as_fd()).len();
        assert!((300..2000).contains(&left), "{left}");
        // While somebody changes the record it waits for the next.
        let lock = Lock::open(directory.as_fd()).unwrap();
        lock.take(Byte::Edit).unwrap();
        for number in 0..600 {
            note(directory.as_fd(), start(number)).unwrap();
        }
        assert!(seen.further(directory.as_fd()).len() == 600);
    }
}
