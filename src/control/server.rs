//! The launcher's side.

use std::cell::RefCell;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, bind, getsockopt, socket, sockopt,
};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::NAME;
use crate::sys::{Errno, Result, socket as sockets};

/// The launcher's end.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    /// In place of which who has come is sent away where there is no room for
    /// him: he would be news for as long as he waits.
    spare: RefCell<Option<OwnedFd>>,
}

/// The socket's address. A whole path may be longer than one can be (unix(7)).
pub(super) fn address(directory: BorrowedFd<'_>) -> Result<UnixAddr> {
    UnixAddr::new(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()).as_str())
}

impl Listener {
    /// Makes it in a directory that is the user's alone, in the place of one
    /// that a killed launcher has left.
    ///
    /// # Errors
    /// What bind(2) says.
    pub fn make(directory: BorrowedFd<'_>) -> Result<Self> {
        match unlinkat(directory, NAME, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind(listener.as_raw_fd(), &address(directory)?)?;
        let own = Mode::S_IRUSR | Mode::S_IWUSR;
        fchmodat(directory, NAME, own, FchmodatFlags::FollowSymlink)?;
        sockets::listen(listener.as_fd(), 64)?;
        Ok(Self { spare: RefCell::new(listener.try_clone().ok()), socket: listener })
    }

    /// The next who has come and may ask: a socket that does not block. Others
    /// are sent away.
    pub fn accept(&self) -> Option<OwnedFd> {
        loop {
            match sockets::accept(self.socket.as_fd()) {
                Ok((client, _)) if is_own(client.as_fd()) => return Some(client),
                Ok(_) | Err(Errno::ECONNABORTED | Errno::EINTR) => {}
                // Told also where nobody has come: accept(2) takes a descriptor
                // before it looks.
                Err(Errno::EMFILE) if self.spare.take().is_some() => {
                    let sent_away = sockets::accept(self.socket.as_fd()).map(drop);
                    self.spare.replace(self.socket.try_clone().ok());
                    if sent_away.is_err() {
                        return None;
                    }
                }
                // Nobody, or there is no room.
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether a client may ask: root, or the same user in the same user namespace.
/// A container on `host`, or with the directory as a volume, has the socket
/// before its eyes, and its processes are the user too; but they are in a
/// namespace below. The kernel notes a process's id when it connects, and we
/// look at once.
fn is_own(client: BorrowedFd<'_>) -> bool {
    let Ok(peer) = getsockopt(&client, sockopt::PeerCredentials) else { return false };
    let own = geteuid().as_raw();
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    let same = || {
        let theirs = namespace(&peer.pid().to_string());
        theirs.is_some() && theirs == namespace("self")
    };
    match peer.uid() {
        0 if own != 0 => true,
        uid => uid == own && same(),
    }
}
