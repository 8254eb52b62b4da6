//! Waiting that the user can end.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::Explain;
use crate::sys::Errno;

/// Something that is waited for.
#[derive(Clone, Copy)]
pub struct Awaited<'a> {
    fd: BorrowedFd<'a>,
    news: PollFlags,
    /// From when on it is waited for no longer.
    until: Option<Instant>,
}

impl<'a> Awaited<'a> {
    /// Until there is something to read.
    pub fn readable(fd: BorrowedFd<'a>) -> Self {
        Self { fd, news: PollFlags::POLLIN, until: None }
    }

    /// For such news, or until a moment has come.
    pub fn until((fd, news, until): (BorrowedFd<'a>, PollFlags, Instant)) -> Self {
        Self { fd, news, until: Some(until) }
    }
}

/// The signals by which a user gives up.
const GIVES_UP: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Whether no user waits for what is started.
static ALONE: AtomicBool = AtomicBool::new(false);

/// From now on nobody waits for what this process starts: SIGTERM alone is for it,
/// and all other signals are for what is started.
pub fn nobody_waits() {
    ALONE.store(true, Ordering::Relaxed);
}

fn gives_up(signal: Signal) -> bool {
    match ALONE.load(Ordering::Relaxed) {
        true => signal == Signal::SIGTERM,
        false => GIVES_UP.contains(&signal),
    }
}

/// Waits until there is something to read, but not after `until`: whether there
/// is.
///
/// # Errors
/// Where the user gives up by a signal that is blocked here, as all are once a
/// container was made. One that isn't ends this process anyway.
pub fn readable_by(fd: BorrowedFd<'_>, until: Option<Instant>) -> anyhow::Result<bool> {
    news_by(Some(fd), until)
}

/// Lets that time pass.
///
/// # Errors
/// As [`readable_by`].
pub fn pause(time: Duration) -> anyhow::Result<()> {
    news_by(None, Some(Instant::now() + time)).map(drop)
}

fn news_by(fd: Option<BorrowedFd<'_>>, until: Option<Instant>) -> anyhow::Result<bool> {
    let blocked = SigSet::thread_get_mask().context("ask which signals are blocked")?;
    let is_heard = |one: &Signal| gives_up(*one) && blocked.contains(*one);
    let heard: SigSet = GIVES_UP.into_iter().filter(is_heard).collect();
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&heard, flags).context("hear signals")?;
    loop {
        let all = [Some(signals.as_fd()), fd].into_iter().flatten();
        let mut polled: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut polled, patience(until)) {
            Ok(0) if until.is_some_and(|until| until <= Instant::now()) => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) if polled.get(1).is_some_and(|fd| fd.any().unwrap_or(true)) => return Ok(true),
            Ok(_) => {
                if let Some(info) = signals.read_signal().context("read a signal")? {
                    let signal = Signal::try_from(info.ssi_signo as i32)?;
                    bail!("stopped by {signal}");
                }
            }
            Err(errno) => return Err(errno).context("wait"),
        }
    }
}

/// Waits until there is news of one of them: of which. Unless the user gives up
/// first: a source on a dead network file system, or a helper that asks a server
/// which does not answer, must not make ctrl-C useless. Other signals go to
/// `early`.
pub fn wait_for<const N: usize>(
    awaited: [Option<Awaited<'_>>; N],
    signals: &SignalFd,
    early: &mut Vec<i32>,
) -> anyhow::Result<[bool; N]> {
    let until = awaited.iter().flatten().filter_map(|one| one.until).min();
    loop {
        let mut polled: Vec<_> =
            awaited.iter().flatten().map(|one| PollFd::new(one.fd, one.news)).collect();
        polled.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
        match poll(&mut polled, patience(until)) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno).context("wait for the child"),
        }
        let now = Instant::now();
        let mut polled = polled.into_iter();
        let ready = awaited.map(|one| {
            let Some(one) = one else { return false };
            let news = polled.next().and_then(|polled| polled.any()).unwrap_or(true);
            news || one.until.is_some_and(|until| until <= now)
        });
        if ready.contains(&true) {
            return Ok(ready);
        }
        while let Some(info) = signals.read_signal().context("read a signal")? {
            let number = info.ssi_signo as i32;
            if let Some(signal) = Signal::try_from(number).ok().filter(|it| gives_up(*it)) {
                return Err(anyhow!("stopped by {signal} before the payload ran"))
                    .exits_with(128 + number as u8);
            }
            early.push(number);
        }
    }
}

/// Whether there is something to read now.
pub fn is_readable(fd: BorrowedFd<'_>) -> bool {
    is_readable_within(fd, PollTimeout::ZERO)
}

/// Whether there is something to read before that time is over.
pub fn is_readable_within(fd: BorrowedFd<'_>, time: PollTimeout) -> bool {
    let mut polled = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut polled, time).is_ok_and(|ready| ready > 0)
}

/// How long until then, rounded up so that it has come by then.
pub fn patience(until: Option<Instant>) -> PollTimeout {
    let Some(until) = until else { return PollTimeout::NONE };
    let left = until.saturating_duration_since(Instant::now());
    let milliseconds = left.as_micros().div_ceil(1000);
    // Who polls looks again after the longest that there can be.
    i32::try_from(milliseconds).ok().and_then(|it| it.try_into().ok()).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::pipe;

    use super::*;

    #[test]
    fn each_is_told_in_its_place_and_a_past_moment_is_news() {
        let signals = SignalFd::new(&SigSet::empty()).unwrap();
        let (quiet, _writer) = pipe().unwrap();
        let (ended, writer) = pipe().unwrap();
        drop(writer);
        let past = Instant::now() - Duration::from_secs(1);
        let late = Awaited::until((quiet.as_fd(), PollFlags::POLLIN, past));
        let far = Instant::now() + Duration::from_secs(999);
        let early = Awaited::until((quiet.as_fd(), PollFlags::POLLIN, far));
        let ended = Awaited::readable(ended.as_fd());
        let wait =
            |awaited: [Option<Awaited>; 3]| wait_for(awaited, &signals, &mut Vec::new()).unwrap();
        assert_eq!(wait([None, Some(early), Some(ended)]), [false, false, true]);
        assert_eq!(wait([Some(late), None, Some(early)]), [true, false, false]);
        assert_eq!(wait([Some(ended), Some(late), None]), [true, true, false]);
    }
}
