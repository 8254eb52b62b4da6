//! The doorstep at which a container waits for its start, from outside.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};

use super::channel::Channel;
use crate::child::report::{Part, Report};
use crate::plan::step::Gate;
use crate::state::DOORSTEP;
use crate::sys::Errno;

/// Makes it, for the child to inherit.
///
/// # Errors
/// What bind(2) says.
pub fn make(directory: BorrowedFd<'_>) -> anyhow::Result<OwnedFd> {
    let made = || {
        let listener = endpoint()?;
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
    Ok(knock(directory)?.is_some())
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
}

/// Lets the payload run.
///
/// # Errors
/// Where the container can't be heard.
pub fn start(directory: BorrowedFd<'_>) -> anyhow::Result<Start> {
    let Some(child) = knock(directory)? else { return Ok(Start::Unattended) };
    let child = Channel::from(child);
    child.open(Gate::Started);
    let mut heard = false;
    loop {
        match child.next() {
            Ok(Some((Report::Arrived(Gate::Started), _))) => heard = true,
            Ok(Some((Report::Stopped { part, errno, .. }, _))) => {
                return Ok(Start::Refused(part, errno));
            }
            Ok(Some(_)) => {}
            Ok(None) if heard => return Ok(Start::Running),
            // Somebody else was let in, and the doorstep was closed behind them.
            Ok(None) => return Ok(Start::Unattended),
            Err(_) if !heard => return Ok(Start::Unattended),
            Err(error) => return Err(error),
        }
    }
}

fn knock(directory: BorrowedFd<'_>) -> anyhow::Result<Option<OwnedFd>> {
    let knocked = || {
        let visitor = endpoint()?;
        connect(visitor.as_raw_fd(), &address(directory)?)?;
        Ok::<_, Errno>(visitor)
    };
    match knocked() {
        Ok(visitor) => Ok(Some(visitor)),
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno).context("knock at the container's doorstep"),
    }
}

fn endpoint() -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
}

/// By the descriptor of its directory: the path of that may be longer than a
/// socket's can be (unix(7)).
fn address(directory: BorrowedFd<'_>) -> Result<UnixAddr, Errno> {
    let number = directory.as_fd().as_raw_fd();
    UnixAddr::new(format!("/proc/self/fd/{number}/{DOORSTEP}").as_str())
}
