//! The doorstep at which a container waits for its start, from outside.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, anyhow, bail};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::channel::Channel;
use super::hooks::Files;
use super::wait::readable_by;
use crate::child::report::{HookEnd, Part, Report};
use crate::error::{Explain, MORE_FILES};
use crate::plan::step::Gate;
use crate::state::DOORSTEP;
use crate::sys::Errno;
use crate::sys::process::Ended;

/// How long a start waits until it is let in: longer than the container hears a
/// few before it who say nothing.
const PATIENCE: TimeVal = TimeVal::new(20, 0);

/// Makes it, for the child to inherit.
///
/// # Errors
/// What bind(2) says.
pub fn make(directory: BorrowedFd<'_>) -> anyhow::Result<OwnedFd> {
    let made = || {
        let listener = endpoint(SockFlag::empty())?;
        bind(listener.as_raw_fd(), &address(directory)?)?;
        listen(&listener, Backlog::new(16)?)?;
        Ok::<_, Errno>(listener)
    };
    made().context("make the socket at which the container waits for its start")
}

/// Whether somebody waits there.
///
/// # Errors
/// Where that can't be found out.
pub fn is_attended(directory: BorrowedFd<'_>) -> anyhow::Result<bool> {
    // It goes again without a word, and is not taken for a start.
    match knock(directory, SockFlag::SOCK_NONBLOCK) {
        // There is no room for more who knock, for somebody who listens still
        // does not come, as in a control group that is frozen.
        Err(Errno::EAGAIN) => Ok(true),
        knocked => Ok(knocked.context(KNOCK)?.is_some()),
    }
}

/// What became of a start.
#[derive(Debug)]
pub enum Start {
    /// The payload runs.
    Running,
    /// Nobody waits for it.
    Unattended,
    /// The payload could not be executed.
    Refused(Part, Errno),
    /// The hook that has this place in its list has failed.
    Hook(u32, HookEnd),
    /// It was killed before it had done all that comes before the payload.
    Killed,
}

/// What comes before the payload.
#[derive(Debug)]
pub struct Before<'a> {
    /// How many hooks it runs.
    pub hooks: usize,
    /// What these are told.
    pub files: Option<&'a Files>,
    /// It loads a filter then that has a listener.
    pub listens: bool,
}

/// Lets the payload run; `listened` hands the listener of its filter over.
///
/// # Errors
/// Where the container can't be heard; what `listened` says.
pub fn start(
    directory: BorrowedFd<'_>,
    before: Before<'_>,
    listened: impl Fn(OwnedFd) -> anyhow::Result<()>,
) -> anyhow::Result<Start> {
    let Before { mut hooks, files, mut listens } = before;
    let child = match knock(directory, SockFlag::empty()) {
        Ok(Some(child)) => child,
        Ok(None) => return Ok(Start::Unattended),
        Err(Errno::EAGAIN) => bail!("the container does not come to its doorstep: is it frozen?"),
        Err(errno) => return Err(errno).context(KNOCK),
    };
    let child = Channel::from(child);
    child.open(Gate::Started);
    if let Some(files) = files {
        files.hand_over(&child);
    }
    let mut heard = false;
    loop {
        readable_by(child.as_fd(), None)?;
        match child.next() {
            Ok(Some((Report::Arrived(Gate::Started), _))) => heard = true,
            Ok(Some((Report::Stopped { part, errno, .. }, _))) => {
                return Ok(Start::Refused(part, errno));
            }
            Ok(Some((Report::Hook(_, HookEnd::Ended(Ended::Exited(0))), _))) => {
                hooks = hooks.saturating_sub(1);
            }
            Ok(Some((Report::Hook(number, end), _))) => return Ok(Start::Hook(number, end)),
            Ok(Some((Report::Listener, Some(listener)))) => {
                listened(listener)?;
                listens = false;
                child.open(Gate::Listened);
            }
            Ok(Some((Report::Listener, None))) => {
                return Err(anyhow!("no descriptor is left for the listener of its filter"))
                    .hint(MORE_FILES);
            }
            Ok(Some(_)) => {}
            Ok(None) if heard && (hooks > 0 || listens) => return Ok(Start::Killed),
            Ok(None) if heard => return Ok(Start::Running),
            // Somebody else was let in, and the doorstep was closed behind them.
            Ok(None) => return Ok(Start::Unattended),
            Err(_) if !heard => return Ok(Start::Unattended),
            Err(error) => return Err(error),
        }
    }
}

const KNOCK: &str = "knock at the container's doorstep";

/// A visitor, if anybody listens; `EAGAIN` where there is no room for one more,
/// at once or after [`PATIENCE`].
fn knock(directory: BorrowedFd<'_>, flags: SockFlag) -> Result<Option<OwnedFd>, Errno> {
    let visitor = endpoint(flags)?;
    setsockopt(&visitor, sockopt::SendTimeout, &PATIENCE)?;
    match connect(visitor.as_raw_fd(), &address(directory)?) {
        Ok(()) => Ok(Some(visitor)),
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn endpoint(flags: SockFlag) -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC | flags, None)
}

/// By the descriptor of its directory: the path of that may be longer than a
/// socket's can be (unix(7)).
fn address(directory: BorrowedFd<'_>) -> Result<UnixAddr, Errno> {
    let number = directory.as_fd().as_raw_fd();
    UnixAddr::new(format!("/proc/self/fd/{number}/{DOORSTEP}").as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_come_to_the_door_is_there() {
        let path = std::env::temp_dir().join(format!("sublet-doorstep-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let directory = OwnedFd::from(std::fs::File::open(&path).unwrap());
        assert!(!is_attended(directory.as_fd()).unwrap());
        let doorstep = make(directory.as_fd()).unwrap();
        // More than there is room for.
        for _ in 0..100 {
            assert!(is_attended(directory.as_fd()).unwrap());
        }
        drop(doorstep);
        assert!(!is_attended(directory.as_fd()).unwrap());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
