//! The launcher's end of the channel to the child.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::child::report::Report;
use crate::plan::step::Gate;
use crate::sys::{Errno, fd};

/// The launcher's end. Packets, so that one report is one read.
pub struct Channel(OwnedFd);

/// Makes both ends: ours, and the child's.
pub fn pair() -> anyhow::Result<(Channel, OwnedFd)> {
    let (ours, childs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .context("make the channel to the child")?;
    Ok((Channel(ours), childs))
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl Channel {
    /// Lets the child pass. One that is gone has said why, or will be found
    /// dead.
    pub fn open(&self, gate: Gate) {
        let _ = fd::write_all(self.0.as_fd(), &[gate as u8]);
    }

    /// The same, with a descriptor that goes with the word. Where too many are
    /// on their way the word goes alone (unix(7), `ETOOMANYREFS`).
    pub fn open_with(&self, gate: Gate, descriptor: BorrowedFd<'_>) {
        if fd::send_with_descriptor(self.0.as_fd(), &[gate as u8], descriptor).is_err() {
            self.open(gate);
        }
    }

    /// The next report; `None` when the child has executed the payload, or
    /// has died.
    pub fn next(&self) -> anyhow::Result<Option<(Report, Option<OwnedFd>)>> {
        let mut packet = [0; Report::LENGTH];
        let received = match fd::receive(self.0.as_fd(), &mut packet) {
            // It ended before it read that a gate is open. The kernel says so
            // once, before what the child had sent (unix_release_sock).
            Err(Errno::ECONNRESET) => fd::receive(self.0.as_fd(), &mut packet),
            other => other,
        };
        let (length, descriptor) = received.context("hear from the child")?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::step::Phase;

    #[test]
    fn the_last_words_of_a_child_that_read_nothing_are_heard() {
        let (ours, childs) = pair().unwrap();
        fd::write_all(childs.as_fd(), &Report::Mark(Phase::Trees, 7).to_bytes()).unwrap();
        ours.open(Gate::Mapped);
        drop(childs);
        assert_eq!(ours.next().unwrap().unwrap().0, Report::Mark(Phase::Trees, 7));
        assert!(ours.next().unwrap().is_none());
    }
}
