//! Reading a log from its oldest file on, while it is written.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::generation;

/// Whether there is to be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// There is.
    Wanted,
    /// It is enough.
    Enough,
}

/// Reads on and on. A file that is put in another's place meanwhile is read
/// after it.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// The older files, the oldest last.
    older: Vec<File>,
    file: Option<File>,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
}

impl Reader {
    /// Begins with the oldest file of the log at `path`.
    pub fn open(path: &Path) -> Self {
        // The newest first: what is renamed meanwhile is then opened twice,
        // which shows, and never missed.
        let mut files: Vec<File> = Vec::new();
        for at in 0.. {
            match File::open(generation(path, at)) {
                Ok(file) if files.last().is_some_and(|last| same(last, &file)) => {}
                Ok(file) => files.push(file),
                Err(_) if at > 0 => break,
                Err(_) => {}
            }
        }
        let file = files.pop();
        Self { path: path.to_owned(), older: files, file, rest: Vec::new() }
    }

    /// Calls `each` with every line that is there by now and has not been
    /// handed out, without its end, until it has enough.
    ///
    /// # Errors
    /// What the disk says, and `each`.
    pub fn read(
        &mut self,
        mut each: impl FnMut(&[u8]) -> anyhow::Result<More>,
    ) -> anyhow::Result<More> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            // Looked at first: what is written until it is renamed is read
            // below.
            let next = self.next();
            while let Some(file) = &mut self.file {
                let length = file.read(&mut buffer)?;
                if length == 0 {
                    break;
                }
                if self.hand_out(&buffer[..length], &mut each)? == More::Enough {
                    return Ok(More::Enough);
                }
            }
            match next {
                Some(next) => {
                    self.rest.clear();
                    self.file = Some(next);
                }
                None => return Ok(More::Wanted),
            }
        }
    }

    /// The file that comes after the present one, if that is not the last.
    fn next(&mut self) -> Option<File> {
        if let Some(older) = self.older.pop() {
            return Some(older);
        }
        let newest = File::open(&self.path).ok()?;
        let Some(file) = &self.file else { return Some(newest) };
        if same(file, &newest) {
            return None;
        }
        // Several may have come meanwhile: on from that which was ours.
        let mut later = vec![newest];
        for at in 1.. {
            match File::open(generation(&self.path, at)) {
                Ok(one) if !same(&one, file) => later.push(one),
                _ => break,
            }
        }
        let next = later.pop();
        self.older = later;
        next
    }

    fn hand_out(
        &mut self,
        mut bytes: &[u8],
        each: &mut impl FnMut(&[u8]) -> anyhow::Result<More>,
    ) -> anyhow::Result<More> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let read = if self.rest.is_empty() {
                each(&bytes[..end])?
            } else {
                self.rest.extend_from_slice(&bytes[..end]);
                each(&std::mem::take(&mut self.rest))?
            };
            if read == More::Enough {
                return Ok(More::Enough);
            }
            bytes = &bytes[end + 1..];
        }
        self.rest.extend_from_slice(bytes);
        Ok(More::Wanted)
    }
}

fn same(one: &File, other: &File) -> bool {
    let id = |file: &File| file.metadata().map(|status| (status.dev(), status.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::super::line::{Line, Stream};
    use super::super::writer::{Writer, tests::Scratch};
    use super::*;
    use crate::spec::background::Rotation;

    fn numbers(reader: &mut Reader) -> Vec<usize> {
        let mut numbers = Vec::new();
        let each = |line: &[u8]| {
            let text = String::from_utf8_lossy(Line::read(line).unwrap().text).into_owned();
            numbers.push(text.parse().unwrap());
            Ok(More::Wanted)
        };
        reader.read(each).unwrap();
        numbers
    }

    #[test]
    fn it_follows_from_file_to_file() {
        let scratch = Scratch::new("follow");
        let path = scratch.0.join("a.log");
        let mut early = Reader::open(&path);
        assert!(numbers(&mut early).is_empty(), "there is no log yet");
        let mut writer = Writer::open(&path, Rotation { max_size: 1000, max_file: 50 }).unwrap();
        let mut write = |from: usize, to: usize| {
            (from..to)
                .for_each(|number| writer.write(Stream::Out, format!("{number}\n").as_bytes()));
        };
        write(0, 5);
        assert_eq!(numbers(&mut early), (0..5).collect::<Vec<_>>());
        write(5, 200);
        assert_eq!(numbers(&mut early), (5..200).collect::<Vec<_>>());
        assert_eq!(numbers(&mut Reader::open(&path)), (0..200).collect::<Vec<_>>());
        assert!(numbers(&mut early).is_empty());
    }

    #[test]
    fn half_a_line_is_waited_for() {
        let scratch = Scratch::new("half");
        let path = scratch.0.join("a.log");
        std::fs::write(&path, "a\nb").unwrap();
        let mut reader = Reader::open(&path);
        let mut lines = Vec::new();
        let mut read = |reader: &mut Reader| {
            let each = |line: &[u8]| {
                lines.push(line.to_vec());
                Ok(More::Wanted)
            };
            assert_eq!(reader.read(each).unwrap(), More::Wanted);
            lines.len()
        };
        assert_eq!(read(&mut reader), 1);
        std::fs::write(&path, "a\nbc\n").unwrap();
        assert_eq!(read(&mut reader), 2);
        assert_eq!(lines, [&b"a"[..], b"bc"]);
        assert_eq!(Reader::open(&path).read(|_| Ok(More::Enough)).unwrap(), More::Enough);
    }
}
