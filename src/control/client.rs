//! The side of who asks.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, anyhow, ensure};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, connect as connect_to, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::server::address;
use super::{Answer, LONGEST, Request};
use crate::error::Explain;
use crate::sys::{Errno, Result, fd};

/// How long an answer may take.
const PATIENCE: TimeVal = TimeVal::new(10, 0);

/// What has come of a request that was not refused.
#[derive(Debug)]
pub struct Asked {
    /// The answer.
    pub answer: Answer,
    /// What has come with it.
    pub descriptor: Option<OwnedFd>,
    /// The connection, by which more may come.
    pub socket: OwnedFd,
}

/// Connects to the launcher of the container that has this directory.
///
/// # Errors
/// `ENOENT` and `ECONNREFUSED` where there is none.
pub(crate) fn connect(directory: BorrowedFd<'_>) -> Result<OwnedFd> {
    let kind = SockType::SeqPacket;
    let socket = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &PATIENCE)?;
    setsockopt(&socket, sockopt::SendTimeout, &PATIENCE)?;
    connect_to(socket.as_raw_fd(), &address(directory)?)?;
    Ok(socket)
}

/// Asks the launcher of the container that has this directory; `None` where
/// there is none any more, or it takes no requests of ours.
///
/// # Errors
/// Why it has refused, in its own words and with its own hint; and where it
/// doesn't answer.
pub fn ask(directory: BorrowedFd<'_>, request: &Request) -> anyhow::Result<Option<Asked>> {
    let packet = serde_json::to_vec(request).context("write the request")?;
    ensure!(packet.len() <= LONGEST, "so much can't be asked for at once");
    let socket = match connect(directory) {
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(None),
        connected => patient(connected)?,
    };
    let mut answer = vec![0; LONGEST];
    let heard = fd::write_all(socket.as_fd(), &packet)
        .and_then(|()| fd::receive(socket.as_fd(), &mut answer));
    let (length, descriptor) = match heard {
        Ok((0, _)) | Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(None),
        heard => patient(heard)?,
    };
    match serde_json::from_slice(&answer[..length]).context("understand its launcher")? {
        Answer::Refused { why, hint: None } => Err(anyhow!(why)),
        Answer::Refused { why, hint: Some(hint) } => Err(anyhow!(why)).hint(hint),
        answer => Ok(Some(Asked { answer, descriptor, socket })),
    }
}

impl Asked {
    /// Waits until all is done that the request has led to.
    ///
    /// # Errors
    /// Where that takes too long.
    pub fn done(self) -> anyhow::Result<Answer> {
        patient(fd::read(self.socket.as_fd(), &mut [0]))?;
        Ok(self.answer)
    }
}

fn patient<T>(done: Result<T>) -> anyhow::Result<T> {
    match done {
        Err(Errno::EAGAIN) => Err(anyhow!("its launcher doesn't answer"))
            .hint("one that is stopped can't: kill -CONT its process"),
        done => done.context("ask its launcher"),
    }
}
