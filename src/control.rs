//! The control socket of a container in the background: `control` in its
//! directory.
//!
//! A Unix socket that keeps packets apart (`SOCK_SEQPACKET`). Whoever connects
//! has to be the same user, and sends a [`Request`] as JSON; the supervisor
//! sends an [`Answer`], as JSON too, and a descriptor where one is promised.
//! To those who are attached packets follow that begin with a byte: `o` or `e`,
//! and what the payload has said on that stream, or `x` and its exit code, the
//! last one.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, bind, connect as connect_to, getsockopt, socket,
};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use serde::{Deserialize, Serialize};

use crate::sys::{Errno, Result};

/// Its name in the container's directory.
const NAME: &str = "control";

/// The longest request or answer.
pub const LONGEST: usize = 4096;

/// The first byte of a packet.
pub const OUT: u8 = b'o';
/// The same, of what was said on standard error.
pub const ERR: u8 = b'e';
/// The same, of the last one.
pub const ENDED: u8 = b'x';

/// What is asked of a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// To hear what the payload says, and to get, with the answer, the
    /// descriptor by which it is spoken to.
    Attach,
}

/// What a supervisor says to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done; whether the payload has a terminal, whose other end the
    /// descriptor is then. Without one the payload takes no input.
    Attached {
        /// It has.
        terminal: bool,
    },
    /// It is not, and why.
    Refused(String),
}

/// The supervisor's end.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// The socket's address. A whole path may be longer than one can be (unix(7)).
fn address(directory: BorrowedFd<'_>) -> Result<UnixAddr> {
    UnixAddr::new(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()).as_str())
}

fn packets(flags: SockFlag) -> Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC | flags, None)
}

impl Listener {
    /// Makes it in a directory that is the user's alone, in the place of one
    /// that a killed supervisor has left.
    ///
    /// # Errors
    /// What bind(2) says.
    pub fn make(directory: BorrowedFd<'_>) -> Result<Self> {
        match unlinkat(directory, NAME, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        let listener = packets(SockFlag::SOCK_NONBLOCK)?;
        bind(listener.as_raw_fd(), &address(directory)?)?;
        let own = Mode::S_IRUSR | Mode::S_IWUSR;
        fchmodat(directory, NAME, own, FchmodatFlags::FollowSymlink)?;
        crate::sys::socket::listen(listener.as_fd(), 16)?;
        Ok(Self(listener))
    }

    /// Who has come, if somebody of the same user has: a socket that does not
    /// block.
    pub fn accept(&self) -> Option<OwnedFd> {
        let (client, _) = crate::sys::socket::accept(self.0.as_fd()).ok()?;
        let peer = getsockopt(&client, PeerCredentials).ok()?;
        (peer.uid() == geteuid().as_raw()).then_some(client)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Connects to the supervisor of the container that has this directory.
///
/// # Errors
/// `ENOENT` and `ECONNREFUSED` where there is none.
pub fn connect(directory: BorrowedFd<'_>) -> Result<OwnedFd> {
    let socket = packets(SockFlag::empty())?;
    connect_to(socket.as_raw_fd(), &address(directory)?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fd;

    #[test]
    fn packets_go_to_and_fro_however_long_the_path_is() {
        let long = format!("sublet-control.{}.{}", std::process::id(), "x".repeat(150));
        let path = std::env::temp_dir().join(long);
        std::fs::create_dir(&path).unwrap();
        let directory = std::fs::File::open(&path).unwrap();
        assert_eq!(connect(directory.as_fd()).unwrap_err(), Errno::ENOENT);
        drop(Listener::make(directory.as_fd()).unwrap());
        assert_eq!(connect(directory.as_fd()).unwrap_err(), Errno::ECONNREFUSED);
        let listener = Listener::make(directory.as_fd()).unwrap();
        assert!(listener.accept().is_none());
        let mode = std::fs::metadata(path.join(NAME)).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
        let client = connect(directory.as_fd()).unwrap();
        let server = listener.accept().unwrap();
        let request = serde_json::to_vec(&Request::Attach).unwrap();
        fd::write_all(client.as_fd(), &request).unwrap();
        let mut packet = [0; LONGEST];
        let (length, _) = fd::receive(server.as_fd(), &mut packet).unwrap();
        assert_eq!(packet[..length], request);
        assert_eq!(request, b"\"attach\"");
        std::fs::remove_dir_all(&path).unwrap();
    }
}
