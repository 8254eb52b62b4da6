//! The launcher's end of the channel to the child.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::child::report::Report;
use crate::plan::step::Gate;
use crate::sys::fd;

/// The launcher's end. Packets, so that one report is one read.
pub struct Channel(OwnedFd);

/// Makes both ends: ours, and the child's.
pub fn pair() -> anyhow::Result<(Channel, OwnedFd)> {
    let (ours, childs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .context("make the channel to the child")?;
    Ok((Channel(ours), childs))
}

impl Channel {
    /// Lets the child pass. One that is gone has said why, or will be found
    /// dead.
    pub fn open(&self, gate: Gate) {
        let _ = fd::write_all(self.0.as_fd(), &[gate as u8]);
    }

    /// The next report; `None` when the child has executed the payload, or
    /// has died.
    pub fn next(&self) -> anyhow::Result<Option<(Report, Option<OwnedFd>)>> {
        let mut packet = [0; Report::LENGTH];
        let (length, descriptor) =
            fd::receive(self.0.as_fd(), &mut packet).context("hear from the child")?;
        if length == 0 {
            return Ok(None);
        }
        let report =
            Report::from_bytes(&packet[..length]).context("hear from the child: not a report")?;
        Ok(Some((report, descriptor)))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
