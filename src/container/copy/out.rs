//! Out of a container, to a path of the caller's or to a stream.

use std::io::stdout;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::bail;
use nix::unistd::geteuid;

use super::item::{Begin, Item, Message};
use super::place::Place;
use super::sink::{Content, Owner, SET_ID, Sink};
use super::source::Source;
use super::stream::Writer;
use super::{Container, Copied, End, Ids};
use crate::host::ids::outside;

/// Copies what is at `path` in the container; `host` is where the caller's paths
/// are looked up.
///
/// # Errors
/// What is not there, in the way or not to be had.
pub fn copy(
    container: Container,
    path: &[u8],
    (to, host): (&End, &Place),
    ids: Ids,
    note: &dyn Fn(&str),
) -> anyhow::Result<Copied> {
    let mut copied = Copied::default();
    let Some((inside, idmap)) = &container.running else {
        let source = Source::find(&Place::Root(container.root), path)?;
        let mut target = Goal::open((to, host), &source.begin, Owner::Maker)?;
        let identity = target.identity()?;
        let mut each = |item: Item, content: Option<OwnedFd>| {
            copied.count(&item);
            target.take(item, content)
        };
        source.walk(identity, &mut each, &mut |told| {
            note(&told);
            Ok(())
        })?;
        target.done()?;
        return Ok(copied);
    };
    let (channel, companion) = container.serve(inside, idmap, |channel, place| {
        let source = Source::find(&place, path)?;
        channel.send(&Message::Begin(source.begin.clone()), None)?;
        let Message::Ready(dev, ino) = channel.next()? else { bail!("the target is not ready") };
        let mut each = |item: Item, content: Option<OwnedFd>| {
            channel.send(&Message::Item(item, None), content.as_ref().map(AsFd::as_fd))
        };
        source.walk((dev, ino), &mut each, &mut |told| channel.send(&Message::Note(told), None))?;
        channel.send(&Message::Done, None)
    })?;
    let begin = match channel.next()? {
        Message::Begin(begin) => begin,
        Message::Failed(why) => bail!(why),
        other => bail!("{other:?} is not what comes first"),
    };
    // Only root may give files away.
    let kept = ids == Ids::Kept && geteuid().is_root();
    let owner = if kept { Owner::Kept } else { Owner::Maker };
    let mut target = Goal::open((to, host), &begin, owner)?;
    let (dev, ino) = target.identity()?;
    channel.send(&Message::Ready(dev, ino), None)?;
    loop {
        match channel.next()? {
            Message::Item(mut item, content) => {
                copied.count(&item);
                if kept {
                    item.uid = outside(&idmap.uids, item.uid).unwrap_or(item.uid);
                    item.gid = outside(&idmap.gids, item.gid).unwrap_or(item.gid);
                }
                target.take(item, content)?;
            }
            Message::Note(told) => note(&told),
            Message::Failed(why) => bail!(why),
            Message::Done => break,
            other => bail!("{other:?} is not what comes next"),
        }
    }
    target.done()?;
    drop(companion);
    Ok(copied)
}

/// Where a copy goes that comes out of a container.
enum Goal {
    Files(Sink),
    Stream(Box<Writer<std::io::StdoutLock<'static>>>),
}

impl Goal {
    fn open((to, host): (&End, &Place), begin: &Begin, owner: Owner) -> anyhow::Result<Self> {
        match to {
            End::Stream => Ok(Self::Stream(Box::new(Writer::new(stdout().lock(), begin)))),
            // A set-user-id file of a container's would be one of the caller's.
            End::Host(path) => Sink::find(host, path, begin, owner, SET_ID).map(Self::Files),
            End::Container(..) => bail!("it is in a container"),
        }
    }

    /// Nowhere, for a stream.
    fn identity(&self) -> anyhow::Result<(u64, u64)> {
        match self {
            Self::Files(sink) => sink.identity(),
            Self::Stream(_) => Ok((0, 0)),
        }
    }

    fn take(&mut self, item: Item, content: Option<OwnedFd>) -> anyhow::Result<()> {
        match self {
            Self::Files(sink) => sink.take(item, content.map_or(Content::None, Content::File)),
            Self::Stream(writer) => writer.take(&item, content),
        }
    }

    fn done(self) -> anyhow::Result<()> {
        match self {
            Self::Files(sink) => sink.done(),
            Self::Stream(writer) => writer.done(),
        }
    }
}
