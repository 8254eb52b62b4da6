//! Writing a log: it takes no more room than it may, and makes nobody wait.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit};

use super::generation;
use super::line::{Line, Stream};
use crate::spec::background::Rotation;
use crate::state::Moment;

/// The log of a container that runs.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    rotation: Rotation,
    /// None where the last file was full and the next can't be made.
    file: Option<File>,
    /// How long that is.
    length: u64,
    /// How many bytes of output are not in the log, for want of room, since it
    /// was last said.
    lost: u64,
    /// What goes into the file next.
    batch: Vec<u8>,
}

impl Writer {
    /// Goes on with the log at `path`, made if need be.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(path: &Path, mut rotation: Rotation) -> anyhow::Result<Self> {
        // Beyond that a write ends the process, setrlimit(2).
        let limit = getrlimit(Resource::RLIMIT_FSIZE).map_or(u64::MAX, |(soft, _)| soft);
        rotation.max_size = rotation.max_size.min(limit);
        let file = create(path).with_context(|| format!("open the log {}", path.display()))?;
        let length = file.metadata().map_or(0, |status| status.len());
        let path = path.to_owned();
        Ok(Self { path, rotation, file: Some(file), length, lost: 0, batch: Vec::new() })
    }

    /// Writes what came by a stream just now. What can't be written is left
    /// out, and said so as soon as something can.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let time = Moment::now().utc();
        if self.lost > 0 {
            let told = format!("[sublet: {} bytes of output found no room here]", self.lost);
            let said = self.put(&Line {
                time: &time,
                stream: Stream::Err,
                ends: true,
                text: told.as_bytes(),
            });
            if said && self.flush() {
                self.lost = 0;
            }
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let text = &rest[..end.unwrap_or(rest.len())];
            rest = end.map_or(&[], |end| &rest[end + 1..]);
            self.put(&Line { time: &time, stream, ends: end.is_some(), text });
        }
        if !self.flush() {
            self.lost += bytes.len() as u64;
        }
        // What a burst has taken is given back.
        self.batch.shrink_to(0);
    }

    /// Puts a line into the batch; the file before is full with what is there.
    fn put(&mut self, line: &Line) -> bool {
        let before = self.batch.len();
        line.write(&mut self.batch);
        if self.length + self.batch.len() as u64 <= self.rotation.max_size {
            return true;
        }
        let line = self.batch.split_off(before);
        let done = self.flush();
        self.rotate();
        self.batch = line;
        done
    }

    /// Writes the batch: all of it or nothing.
    fn flush(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return true;
        }
        if self.file.is_none() {
            self.file = create(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return false };
        match file.write_all(&batch) {
            Ok(()) => {
                self.length += batch.len() as u64;
                true
            }
            Err(_) => {
                // Half a line would be read as one of another kind.
                let _ = file.set_len(self.length);
                false
            }
        }
    }

    /// Begins a new file; the oldest one goes.
    fn rotate(&mut self) {
        self.file = None;
        self.length = 0;
        let last = self.rotation.max_file - 1;
        for at in (0..last).rev() {
            let _ = std::fs::rename(generation(&self.path, at), generation(&self.path, at + 1));
        }
        if last == 0 {
            let _ = std::fs::remove_file(&self.path);
        }
        self.file = create(&self.path).ok();
    }
}

fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    options.open(path)
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;

    /// A directory of a test's own.
    pub(in super::super) struct Scratch(pub PathBuf);

    impl Scratch {
        pub fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("sublet-log.{}.{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn texts(path: &Path) -> Vec<(bool, String)> {
        let text = fs::read(path).unwrap();
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let lines = lines.map(|line| Line::read(line.strip_suffix(b"\n").unwrap()).unwrap());
        lines.map(|line| (line.ends, String::from_utf8_lossy(line.text).into_owned())).collect()
    }

    #[test]
    fn lines_end_where_they_end() {
        let scratch = Scratch::new("lines");
        let path = scratch.0.join("a.log");
        let mut writer = Writer::open(&path, Rotation { max_size: 1 << 20, max_file: 3 }).unwrap();
        writer.write(Stream::Out, b"a\n\nb");
        writer.write(Stream::Out, b"c\n");
        let line = |ends, text: &str| (ends, text.to_owned());
        let all = [line(true, "a"), line(true, ""), line(false, "b"), line(true, "c")];
        assert_eq!(texts(&path), all);
        drop(writer);
        let mut again = Writer::open(&path, Rotation { max_size: 1 << 20, max_file: 3 }).unwrap();
        again.write(Stream::Err, b"d\n");
        assert_eq!(texts(&path).len(), 5, "it goes on where it was");
    }

    #[test]
    fn it_takes_no_more_room_than_it_may() {
        let scratch = Scratch::new("room");
        let path = scratch.0.join("a.log");
        let rotation = Rotation { max_size: 4096, max_file: 3 };
        let mut writer = Writer::open(&path, rotation).unwrap();
        for number in 0..10_000 {
            writer.write(Stream::Out, format!("{number}\n{number}\n").as_bytes());
        }
        let mut files: Vec<_> = fs::read_dir(&scratch.0).unwrap().map(|it| it.unwrap()).collect();
        files.sort_by_key(fs::DirEntry::file_name);
        assert_eq!(files.len(), 3);
        assert!(files.iter().all(|file| file.metadata().unwrap().len() <= 4096));
        let last: Vec<_> = ["a.log.2", "a.log.1", "a.log"]
            .iter()
            .flat_map(|name| texts(&scratch.0.join(name)))
            .map(|(_, text)| text.parse::<usize>().unwrap())
            .collect();
        assert_eq!(last.last(), Some(&9_999));
        let gapless = last.windows(2).all(|pair| pair[1] - pair[0] <= 1);
        assert!(gapless, "nothing between is missing");

        let one = Rotation { max_size: 4096, max_file: 1 };
        let path = scratch.0.join("b.log");
        let mut writer = Writer::open(&path, one).unwrap();
        (0..1000).for_each(|_| writer.write(Stream::Out, b"text\n"));
        assert!(fs::metadata(&path).unwrap().len() <= 4096);
        assert!(!scratch.0.join("b.log.1").exists());
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let scratch = Scratch::new("full");
        let path = scratch.0.join("a.log");
        let mut writer = Writer::open(&path, Rotation { max_size: 1 << 20, max_file: 3 }).unwrap();
        writer.write(Stream::Out, b"before\n");
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let file = writer.file.replace(full);
        writer.write(Stream::Out, b"lost\n");
        writer.write(Stream::Out, b"lost too\n");
        writer.file = file;
        writer.write(Stream::Out, b"after\n");
        let told: Vec<_> = texts(&path).into_iter().map(|(_, text)| text).collect();
        assert_eq!(told, ["before", "[sublet: 14 bytes of output found no room here]", "after"]);
    }
}
