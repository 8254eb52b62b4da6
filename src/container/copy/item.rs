//! One thing that is copied, and how it passes from process to process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, bail, ensure};

use crate::sys::fd::Patience;
use crate::sys::{Errno, fd};

/// A file of any kind, without what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its path below what is copied, empty for that itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Its permissions.
    pub mode: u32,
    /// Its owner, as numbered where it comes from.
    pub uid: u32,
    /// Its group, likewise.
    pub gid: u32,
    /// When it was changed: seconds since 1970, and nanoseconds.
    pub changed: (i64, i64),
}

/// What an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory; what is in it follows.
    Directory,
    /// A file of so many bytes.
    File(u64),
    /// A symbolic link with this text.
    Link(Vec<u8>),
    /// Another name for the item that has this path.
    Same(Vec<u8>),
    /// A named pipe.
    Pipe,
}

/// What is about to be copied, which says how the copy is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// One thing that is no directory, with this name.
    File(Vec<u8>),
    /// A directory with this name.
    Directory(Vec<u8>),
    /// What is in a directory.
    Contents,
    /// A stream of names.
    Stream,
}

/// What one side tells the other.
#[derive(Debug)]
pub enum Message {
    /// The source: what comes.
    Begin(Begin),
    /// The target: it is ready, in the directory with this device and inode.
    Ready(u64, u64),
    /// The source: an item; for a file, what it holds can be read there.
    Item(Item, Option<OwnedFd>),
    /// The source: something was left out.
    Note(String),
    /// It can't go on.
    Failed(String),
    /// All is done.
    Done,
}

/// The longest packet: a path that is longer than the kernel takes, twice.
const MOST: usize = 64 << 10;

/// The way to the other side; packets, with descriptors.
#[derive(Debug)]
pub struct Channel(pub OwnedFd);

impl Channel {
    /// Sends one message; a file's content beside it.
    pub fn send(&self, message: &Message, content: Option<BorrowedFd<'_>>) -> anyhow::Result<()> {
        let bytes = message.to_bytes();
        ensure!(bytes.len() <= MOST, "a path is too long");
        loop {
            let sent = match content {
                Some(content) => fd::send_with_descriptor(self.0.as_fd(), &bytes, content),
                None => fd::write(self.0.as_fd(), &bytes).map(drop),
            };
            match sent {
                Err(Errno::EINTR) => {}
                sent => return sent.context("hand over what is copied"),
            }
        }
    }

    /// Whether there is something to be heard.
    pub fn has_news(&self) -> bool {
        fd::wait_readable([self.0.as_fd()], Patience::None) != Ok([false])
    }

    /// The next message; an error where the other side is gone.
    pub fn next(&self) -> anyhow::Result<Message> {
        let mut bytes = vec![0; MOST];
        loop {
            match fd::receive(self.0.as_fd(), &mut bytes) {
                // It ended before it read what we had sent, and may have said why.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(errno) => return Err(errno).context("hear of what is copied"),
                Ok((0, _)) => bail!("the process that copies in the container has ended"),
                Ok((length, content)) => {
                    return Message::from_bytes(&bytes[..length], content)
                        .context("hear of what is copied: not a message");
                }
            }
        }
    }
}

impl Message {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let number = |bytes: &mut Vec<u8>, number: u64| bytes.extend(number.to_ne_bytes());
        let text = |bytes: &mut Vec<u8>, text: &[u8]| {
            bytes.extend((text.len() as u64).to_ne_bytes());
            bytes.extend(text);
        };
        match self {
            Self::Begin(Begin::File(name)) => (bytes.push(1), text(&mut bytes, name)).1,
            Self::Begin(Begin::Directory(name)) => (bytes.push(2), text(&mut bytes, name)).1,
            Self::Begin(Begin::Contents) => bytes.push(3),
            Self::Begin(Begin::Stream) => bytes.push(4),
            Self::Ready(dev, ino) => {
                bytes.push(5);
                number(&mut bytes, *dev);
                number(&mut bytes, *ino);
            }
            Self::Note(note) => (bytes.push(6), text(&mut bytes, note.as_bytes())).1,
            Self::Failed(why) => (bytes.push(7), text(&mut bytes, why.as_bytes())).1,
            Self::Done => bytes.push(8),
            Self::Item(item, _) => {
                let (kind, size, target): (u8, u64, &[u8]) = match &item.kind {
                    Kind::Directory => (9, 0, &[]),
                    Kind::File(size) => (10, *size, &[]),
                    Kind::Link(target) => (11, 0, target),
                    Kind::Same(target) => (12, 0, target),
                    Kind::Pipe => (13, 0, &[]),
                };
                bytes.push(kind);
                let ids = [item.mode, item.uid, item.gid].map(u64::from);
                let changed = [item.changed.0, item.changed.1].map(|it| it as u64);
                for value in ids.into_iter().chain(changed).chain([size]) {
                    number(&mut bytes, value);
                }
                text(&mut bytes, &item.path);
                text(&mut bytes, target);
            }
        }
        bytes
    }

    fn from_bytes(bytes: &[u8], content: Option<OwnedFd>) -> Option<Self> {
        let (tag, mut rest) = bytes.split_first()?;
        let number = |rest: &mut &[u8]| -> Option<u64> {
            let (number, behind) = rest.split_first_chunk::<8>()?;
            *rest = behind;
            Some(u64::from_ne_bytes(*number))
        };
        let text = |rest: &mut &[u8]| -> Option<Vec<u8>> {
            let length = usize::try_from(number(rest)?).ok()?;
            let (text, behind) = rest.split_at_checked(length)?;
            *rest = behind;
            Some(text.to_vec())
        };
        let words = |rest: &mut &[u8]| Some(String::from_utf8_lossy(&text(rest)?).into_owned());
        Some(match tag {
            1 => Self::Begin(Begin::File(text(&mut rest)?)),
            2 => Self::Begin(Begin::Directory(text(&mut rest)?)),
            3 => Self::Begin(Begin::Contents),
            4 => Self::Begin(Begin::Stream),
            5 => Self::Ready(number(&mut rest)?, number(&mut rest)?),
            6 => Self::Note(words(&mut rest)?),
            7 => Self::Failed(words(&mut rest)?),
            8 => Self::Done,
            kind @ 9..=13 => {
                let mut small = || u32::try_from(number(&mut rest)?).ok();
                let (mode, uid, gid) = (small()?, small()?, small()?);
                let changed = (number(&mut rest)? as i64, number(&mut rest)? as i64);
                let size = number(&mut rest)?;
                let (path, target) = (text(&mut rest)?, text(&mut rest)?);
                let kind = match kind {
                    9 => Kind::Directory,
                    10 => Kind::File(size),
                    11 => Kind::Link(target),
                    12 => Kind::Same(target),
                    _ => Kind::Pipe,
                };
                Self::Item(Item { path, kind, mode, uid, gid, changed }, content)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_reads_back() {
        let item = |kind| {
            let path = b"a/\xff\n".to_vec();
            let changed = (-5, 999_999_999);
            Message::Item(Item { path, kind, mode: 0o7777, uid: 7, gid: u32::MAX, changed }, None)
        };
        let begins = [
            Begin::File(b"\xff".to_vec()),
            Begin::Directory(Vec::new()),
            Begin::Contents,
            Begin::Stream,
        ];
        let kinds = [
            Kind::Directory,
            Kind::File(u64::MAX),
            Kind::Link(b"../x".to_vec()),
            Kind::Same(b"b".to_vec()),
            Kind::Pipe,
        ];
        let others = [
            Message::Ready(1, u64::MAX),
            Message::Note("é".to_owned()),
            Message::Failed(String::new()),
            Message::Done,
        ];
        let all = begins.map(Message::Begin).into_iter().chain(kinds.map(item)).chain(others);
        for message in all {
            let bytes = message.to_bytes();
            let read = Message::from_bytes(&bytes, None).unwrap();
            assert_eq!(format!("{read:?}"), format!("{message:?}"));
            for length in 0..bytes.len() {
                // Whatever is missing, nothing is made up for it.
                assert!(Message::from_bytes(&bytes[..length], None).is_none(), "{message:?}");
            }
        }
    }
}
