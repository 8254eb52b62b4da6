//! Copies to and from a stream: tar(5), as `docker cp` has it on `-`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write, empty};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, bail};
use tar::{Archive, Builder, EntryType, Header};

use super::item::{Begin, Item, Kind};
use super::place::shown;

/// Writes items as a tar file.
pub struct Writer<W: Write> {
    tar: Builder<W>,
    /// What the paths in it begin with.
    name: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// What is copied is called in the stream as it is in the container.
    pub fn new(to: W, begin: &Begin) -> Self {
        let name = match begin {
            Begin::File(name) | Begin::Directory(name) if !name.is_empty() => name.clone(),
            _ => b".".to_vec(),
        };
        Self { tar: Builder::new(to), name }
    }

    /// Writes one.
    pub fn take(&mut self, item: &Item, content: Option<OwnedFd>) -> anyhow::Result<()> {
        let written = self.write(item, content);
        written.with_context(|| format!("write {} to the stream", shown(&item.path)))
    }

    fn write(&mut self, item: &Item, content: Option<OwnedFd>) -> anyhow::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(item.mode);
        header.set_uid(item.uid.into());
        header.set_gid(item.gid.into());
        header.set_mtime(u64::try_from(item.changed.0).unwrap_or(0));
        header.set_size(0);
        let path = self.path_of(&item.path);
        let path = Path::new(OsStr::from_bytes(&path));
        match &item.kind {
            Kind::Directory => {
                header.set_entry_type(EntryType::Directory);
                self.tar.append_data(&mut header, path, empty())?;
            }
            Kind::Pipe => {
                header.set_entry_type(EntryType::Fifo);
                self.tar.append_data(&mut header, path, empty())?;
            }
            Kind::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                self.tar.append_link(&mut header, path, Path::new(OsStr::from_bytes(target)))?;
            }
            Kind::Same(first) => {
                header.set_entry_type(EntryType::Link);
                let first = self.path_of(first);
                self.tar.append_link(&mut header, path, Path::new(OsStr::from_bytes(&first)))?;
            }
            Kind::File(size) => {
                header.set_entry_type(EntryType::Regular);
                let mut file = File::from(content.context("it has no content")?);
                if *size == 0 {
                    // The kernel tells no size of what it makes up while it is read.
                    let mut bytes = Vec::new();
                    file.take(MADE_UP).read_to_end(&mut bytes)?;
                    header.set_size(bytes.len() as u64);
                    self.tar.append_data(&mut header, path, &bytes[..])?;
                } else {
                    header.set_size(*size);
                    // One that becomes shorter is filled up: the size is written.
                    let bytes = (&mut file).chain(std::io::repeat(0)).take(*size);
                    self.tar.append_data(&mut header, path, bytes)?;
                }
            }
        }
        Ok(())
    }

    fn path_of(&self, below: &[u8]) -> Vec<u8> {
        let mut path = self.name.clone();
        if !below.is_empty() {
            path.push(b'/');
            path.extend_from_slice(below);
        }
        path
    }

    /// Writes the end.
    pub fn done(mut self) -> anyhow::Result<()> {
        self.tar.finish().and_then(|()| self.tar.get_mut().flush()).context("end the stream")
    }
}

/// The most that is read of a file that has no size.
pub(super) const MADE_UP: u64 = 64 << 20;

/// Reads a tar file: hands each item to `each`, with what can be read of it, and
/// tells `note` of what is left out.
pub fn read(
    from: impl Read,
    each: &mut dyn FnMut(Item, &mut dyn Read) -> anyhow::Result<()>,
    note: &mut dyn FnMut(String) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut archive = Archive::new(from);
    for entry in archive.entries().context("read the stream")? {
        let mut entry = entry.context("read the stream: it is not a tar file, or is cut off")?;
        let path = inner(&entry.path_bytes())?;
        let target = entry.link_name_bytes().map(|target| target.into_owned());
        let target = |what: &str| {
            target.clone().with_context(|| format!("read the stream: {what} has no target"))
        };
        let header = entry.header();
        let kind = match header.entry_type() {
            EntryType::Directory => Kind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                Kind::File(entry.size())
            }
            EntryType::Symlink => Kind::Link(target("a symbolic link")?),
            EntryType::Link => Kind::Same(inner(&target("a hard link")?)?),
            EntryType::Fifo => Kind::Pipe,
            EntryType::XGlobalHeader => continue,
            other => {
                note(format!("{} is left out: it is {}", shown(&path), kind_told(other)))?;
                continue;
            }
        };
        let read = || -> std::io::Result<_> {
            let header = entry.header();
            Ok((header.mode()?, header.uid()?, header.gid()?, header.mtime()?))
        };
        let (mode, uid, gid, changed) =
            read().with_context(|| format!("read the stream: {}", shown(&path)))?;
        let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        let (Some(uid), Some(gid)) = (id(uid), id(gid)) else {
            bail!("read the stream: {} belongs to ids that there are not", shown(&path));
        };
        let changed = (i64::try_from(changed).unwrap_or(0), 0);
        let item = Item { path, kind, mode: mode & 0o7777, uid, gid, changed };
        each(item, &mut entry)?;
    }
    Ok(())
}

fn kind_told(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Block | EntryType::Char => "a device",
        _ => "of a kind that is not known",
    }
}

/// A path of the stream as one below the target: it begins there, whatever it
/// begins with, and never leads up.
fn inner(path: &[u8]) -> anyhow::Result<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let parts: Vec<&[u8]> = parts.collect();
    if parts.contains(&&b".."[..]) || path.contains(&0) {
        bail!("read the stream: {} leads out of the target", shown(path));
    }
    Ok(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: &str, kind: Kind) -> Item {
        let path = path.as_bytes().to_vec();
        Item { path, kind, mode: 0o4755, uid: 5, gid: 6, changed: (1_000_000_000, 0) }
    }

    fn read_all(bytes: &[u8]) -> anyhow::Result<(Vec<Item>, Vec<String>, usize)> {
        let (mut items, mut notes, mut length) = (Vec::new(), Vec::new(), 0);
        let mut each = |item: Item, content: &mut dyn Read| {
            let mut held = Vec::new();
            content.read_to_end(&mut held)?;
            length += held.len();
            items.push(item);
            Ok(())
        };
        read(bytes, &mut each, &mut |note| {
            notes.push(note);
            Ok(())
        })?;
        Ok((items, notes, length))
    }

    #[test]
    fn what_is_written_reads_back() {
        let long = format!("a/{}", "x".repeat(300));
        let items = [
            item("", Kind::Directory),
            item("odd\n\u{1b}name", Kind::Pipe),
            item("link", Kind::Link(long.clone().into_bytes())),
            item("same", Kind::Same(b"link".to_vec())),
            item(&long, Kind::Directory),
        ];
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, &Begin::Directory(b"top".to_vec()));
        items.iter().for_each(|item| writer.take(item, None).unwrap());
        writer.done().unwrap();
        let (read, notes, _) = read_all(&bytes).unwrap();
        for (read, item) in read.iter().zip(&items) {
            let mut expected = item.clone();
            let top = |path: &[u8]| [&b"top/"[..], path].concat();
            expected.path = if item.path.is_empty() { b"top".to_vec() } else { top(&item.path) };
            if let Kind::Same(first) = &item.kind {
                expected.kind = Kind::Same(top(first));
            }
            assert_eq!(*read, expected);
        }
        assert_eq!((read.len(), notes.len()), (items.len(), 0));
    }

    #[test]
    fn no_path_leads_out() {
        for (path, inside) in [("/etc/x", "etc/x"), ("./a//b/.", "a/b"), ("a", "a"), ("./", "")] {
            assert_eq!(inner(path.as_bytes()).unwrap(), inside.as_bytes());
        }
        for path in ["..", "a/../../b", "/..", "a/.."] {
            assert!(inner(path.as_bytes()).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_no_stream_is_an_error_and_nothing_is_made_up() {
        for bytes in [&b"no tar file at all"[..], &[0xff; 2048]] {
            assert!(read_all(bytes).is_err());
        }
        assert!(read_all(&[0; 1024]).unwrap().0.is_empty());
    }
}
