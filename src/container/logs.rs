//! `sublet logs`: what a container in the background has said.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::time::moment;
use crate::error::Explain;
use crate::log::{Line, More, Reader, Stream};
use crate::state::{Life, Moment, Record, Store};

/// What is wanted of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What comes later too, until the container ends.
    pub follow: bool,
    /// From then on.
    pub since: Option<Since>,
    /// Until then.
    pub until: Option<Since>,
    /// So many lines at most of what is there by now.
    pub tail: Option<usize>,
}

/// A time as text that can be compared with those of a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Since(String);

impl FromStr for Since {
    type Err = anyhow::Error;

    /// As [`moment`].
    fn from_str(text: &str) -> anyhow::Result<Self> {
        moment(text, Moment::now()).map(|moment| Self(moment.utc()))
    }
}

/// Reads `--tail`: a number of lines, or `all`.
///
/// # Errors
/// What is neither.
pub fn tail(text: &str) -> anyhow::Result<Option<usize>> {
    match text {
        "all" | "-1" => Ok(None),
        _ => text.parse().map(Some).context("it is neither a number of lines nor all"),
    }
}

/// A piece of a line.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// When.
    pub time: &'a str,
    /// By which stream.
    pub stream: Stream,
    /// Whether a line begins there.
    pub begins: bool,
    /// Whether it ends there.
    pub ends: bool,
    /// The text.
    pub text: &'a [u8],
}

/// How often it is looked whether there is more.
const OFTEN: Duration = Duration::from_millis(100);

/// Calls `each` with what is wanted of the log of `record`, until it says that
/// nobody reads.
///
/// # Errors
/// A container that has no log; what the disk says.
pub fn logs(
    store: &Store,
    record: &Record,
    wanted: &Wanted,
    mut each: impl FnMut(Said<'_>) -> anyhow::Result<More>,
) -> anyhow::Result<()> {
    let path = record.upkeep.log.as_deref().with_context(|| why_not(record));
    let path = path.hint("sublet run -d keeps the output of a container")?;
    let mut reader = Reader::open(path);
    let mut begins = [true; 2];
    let mut tell = |line: &Line<'_>| {
        let begins = &mut begins[usize::from(line.stream == Stream::Err)];
        let said = Said {
            time: line.time,
            stream: line.stream,
            begins: *begins,
            ends: line.ends,
            text: line.text,
        };
        *begins = line.ends;
        each(said)
    };
    let passes = |line: &Line<'_>| {
        wanted.since.as_ref().is_none_or(|since| line.time >= since.0.as_str())
            && wanted.until.as_ref().is_none_or(|until| line.time <= until.0.as_str())
    };
    let mut last: VecDeque<Vec<u8>> = VecDeque::new();
    let mut lines = 0;
    let read = reader.read(|bytes| {
        let Some(line) = Line::read(bytes).filter(passes) else { return Ok(More::Wanted) };
        let Some(most) = wanted.tail else { return tell(&line) };
        lines += usize::from(line.ends);
        last.push_back(bytes.to_vec());
        // A last line that has no end is one of them.
        while lines + usize::from(!line.ends) > most {
            let Some(gone) = last.pop_front() else { break };
            lines -= usize::from(Line::read(&gone).is_some_and(|line| line.ends));
        }
        Ok(More::Wanted)
    })?;
    let mut read = last.iter().filter_map(|bytes| Line::read(bytes)).try_fold(
        read,
        |read, line| -> anyhow::Result<More> {
            match read {
                More::Wanted => tell(&line),
                More::Enough => Ok(More::Enough),
            }
        },
    )?;
    if wanted.tail == Some(0) {
        read = More::Wanted;
    }
    while wanted.follow && read == More::Wanted {
        // Before the look: what is said until then is read afterwards.
        let ended = is_over(store, record)?;
        read = reader.read(|bytes| match Line::read(bytes).filter(passes) {
            Some(line) => tell(&line),
            None => Ok(More::Wanted),
        })?;
        if ended {
            break;
        }
        rest();
    }
    Ok(())
}

fn why_not(record: &Record) -> anyhow::Error {
    let label = record.label();
    match record.upkeep.background {
        true => anyhow!("container {label} keeps no log: it was started with --log-driver none"),
        false => anyhow!("container {label} has no log: its output is that of its caller"),
    }
}

fn is_over(store: &Store, record: &Record) -> anyhow::Result<bool> {
    let now = store.seek(record.id.as_str())?;
    Ok(!now.is_some_and(|now| !matches!(now.life, Life::Exited(_))))
}

/// Until there may be more, or nobody reads any more: a pipe's reader that has
/// left is seen at once.
fn rest() {
    let out = std::io::stdout();
    let mut closed = [PollFd::new(out.as_fd(), PollFlags::empty())];
    let _ = poll(&mut closed, PollTimeout::try_from(OFTEN).unwrap_or(PollTimeout::ZERO));
    if closed[0].any().unwrap_or(false) {
        // What is written next says so.
        std::thread::sleep(OFTEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_as_text() {
        let since = |text: &str| text.parse::<Since>().map(|since| since.0);
        assert_eq!(since("2026-11-26T06:30:00Z").unwrap(), "2026-11-26T06:30:00.000000000Z");
        assert!(since("10m").unwrap() < Moment::now().utc());
        assert!(since("0s").unwrap() > since("1h").unwrap());
        assert!(since("yesterday").is_err());
        assert_eq!(tail("all").unwrap(), None);
        assert_eq!(tail("5").unwrap(), Some(5));
        assert!(tail("five").is_err());
    }
}
