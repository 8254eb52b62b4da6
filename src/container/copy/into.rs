//! Into a container, from a path of the caller's or from a stream.

use std::io::{Read, stdin};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, anyhow, bail};

use super::item::{Begin, Channel, Item, Kind, Message};
use super::place::Place;
use super::sink::{Content, Owner, Sink};
use super::source::Source;
use super::{Container, Copied, End, Ids, stream};
use crate::host::ids::inside as id_inside;

/// Copies to `path` in the container; `host` is where the caller's paths are
/// looked up.
///
/// # Errors
/// What is not there, in the way or not to be had.
pub fn copy(
    container: Container,
    path: &[u8],
    (from, host): (&End, &Place),
    ids: Ids,
    note: &dyn Fn(&str),
) -> anyhow::Result<Copied> {
    let mut copied = Copied::default();
    let origin = Origin::open(from, host)?;
    let begin = origin.begin();
    let Some((inside, idmap)) = &container.running else {
        let place = Place::Root(container.root);
        let mut sink = Sink::find(&place, path, &begin, Owner::Maker, 0)?;
        let identity = sink.identity()?;
        origin.walk(
            identity,
            &mut |item, content| {
                copied.count(&item);
                sink.take(item, content)
            },
            note,
        )?;
        sink.done()?;
        return Ok(copied);
    };
    let root = idmap.setup_user();
    let owner = match ids {
        Ids::Given => Owner::Fixed(root.uid, root.gid),
        Ids::Kept => Owner::Kept,
    };
    let (channel, companion) = container.serve(inside, idmap, |channel, place| {
        let Message::Begin(begin) = channel.next()? else { bail!("nothing comes") };
        let mut sink = Sink::find(&place, path, &begin, owner, 0)?;
        let (dev, ino) = sink.identity()?;
        channel.send(&Message::Ready(dev, ino), None)?;
        loop {
            match channel.next()? {
                Message::Item(item, content) => {
                    let content = content.map_or(Content::None, Content::File);
                    sink.take(item, content)?;
                }
                Message::Done => break,
                _ => bail!("that is not what comes next"),
            }
        }
        sink.done()?;
        channel.send(&Message::Done, None)
    })?;
    channel.send(&Message::Begin(begin), None)?;
    let identity = match channel.next()? {
        Message::Ready(dev, ino) => (dev, ino),
        Message::Failed(why) => bail!(why),
        other => bail!("{other:?} is not what comes first"),
    };
    let is_stream = *from == End::Stream;
    let mut each = |mut item: Item, content: Content<'_>| {
        copied.count(&item);
        if !is_stream {
            // Whom the container doesn't have is its root.
            item.uid = id_inside(&idmap.uids, item.uid).unwrap_or(root.uid);
            item.gid = id_inside(&idmap.gids, item.gid).unwrap_or(root.gid);
        }
        hand_over(&channel, item, content)
    };
    let walked = origin.walk(identity, &mut each, note);
    if let Err(error) = walked.and_then(|()| channel.send(&Message::Done, None)) {
        // What the other side says is why we could not go on, if it has said
        // anything; else it waits.
        return match channel.has_news().then(|| channel.next()) {
            Some(Ok(Message::Failed(why))) => Err(anyhow!(why)),
            _ => Err(error),
        };
    }
    match channel.next()? {
        Message::Done => {}
        Message::Failed(why) => bail!(why),
        other => bail!("{other:?} is not what comes last"),
    }
    drop(companion);
    Ok(copied)
}

/// Sends an item, and what can be read of it by a pipe where it is no file.
fn hand_over(channel: &Channel, item: Item, content: Content<'_>) -> anyhow::Result<()> {
    match (&item.kind, content) {
        (_, Content::File(file)) => channel.send(&Message::Item(item, None), Some(file.as_fd())),
        (Kind::File(size), Content::Stream(stream)) => {
            let size = *size;
            let (reader, mut writer) = std::io::pipe().context("make a pipe")?;
            channel.send(&Message::Item(item, None), Some(reader.as_fd()))?;
            drop(reader);
            let written = std::io::copy(&mut stream.take(size), &mut writer);
            if written.context("pass a file on")? != size {
                bail!("the stream ends within a file");
            }
            Ok(())
        }
        _ => channel.send(&Message::Item(item, None), None),
    }
}

/// Where a copy comes from that goes into a container.
enum Origin {
    Files(Source),
    Stream,
}

impl Origin {
    fn open(from: &End, host: &Place) -> anyhow::Result<Self> {
        match from {
            End::Stream => Ok(Self::Stream),
            End::Host(path) => Source::find(host, path).map(Self::Files),
            End::Container(..) => bail!("it is in a container"),
        }
    }

    fn begin(&self) -> Begin {
        match self {
            Self::Files(source) => source.begin.clone(),
            Self::Stream => Begin::Stream,
        }
    }

    fn walk(
        self,
        avoid: (u64, u64),
        each: &mut dyn FnMut(Item, Content<'_>) -> anyhow::Result<()>,
        note: &dyn Fn(&str),
    ) -> anyhow::Result<()> {
        let mut note = |told: String| {
            note(&told);
            Ok(())
        };
        match self {
            Self::Files(source) => {
                let mut each = |item, content: Option<OwnedFd>| {
                    each(item, content.map_or(Content::None, Content::File))
                };
                source.walk(avoid, &mut each, &mut note)
            }
            Self::Stream => {
                let mut each = |item, content: &mut dyn Read| each(item, Content::Stream(content));
                stream::read(stdin().lock(), &mut each, &mut note)
            }
        }
    }
}
