//! What the launcher tells the forwarder: packets with a line of text and a
//! descriptor each.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::listen::Listener;
use crate::spec::port::Protocol;
use crate::sys::{Errno, Result, fd};

/// An order.
#[derive(Debug)]
pub enum Order {
    /// Serve one port more.
    Publish(Listener),
    /// One less: the one that is bound there. The descriptor is somebody's who
    /// waits for it to be closed.
    Withdraw(SocketAddr, Protocol, Option<OwnedFd>),
}

/// More than any order takes.
const LONGEST: usize = 128;

/// Has one port more be served.
///
/// # Errors
/// `EAGAIN` where the forwarder does not take it for too long; what sendmsg(2)
/// says.
pub fn publish(forwarder: BorrowedFd<'_>, listener: &Listener) -> Result<()> {
    let text = format!("publish {} {}", listener.protocol, listener.container);
    uninterrupted(|| fd::send_with_descriptor(forwarder, text.as_bytes(), listener.as_fd()))
}

/// Has one port less be served, and then `until_done` be closed.
///
/// # Errors
/// As for [`publish`].
pub fn withdraw(
    forwarder: BorrowedFd<'_>,
    bound: SocketAddr,
    protocol: Protocol,
    until_done: BorrowedFd<'_>,
) -> Result<()> {
    let text = format!("withdraw {protocol} {bound}");
    uninterrupted(|| fd::send_with_descriptor(forwarder, text.as_bytes(), until_done))
}

fn uninterrupted(mut send: impl FnMut() -> Result<()>) -> Result<()> {
    loop {
        match send() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

impl Order {
    /// The next one; none where the launcher is gone.
    ///
    /// # Errors
    /// What recvmsg(2) says; `EBADMSG` for what is no order.
    pub fn receive(launcher: BorrowedFd<'_>) -> Result<Option<Self>> {
        let mut packet = [0; LONGEST];
        let (length, descriptor) = match fd::receive(launcher, &mut packet) {
            Ok((0, _)) | Err(Errno::ECONNRESET) => return Ok(None),
            received => received?,
        };
        let text = std::str::from_utf8(&packet[..length]).map_err(|_| Errno::EBADMSG)?;
        Self::read(text, descriptor).map(Some).ok_or(Errno::EBADMSG)
    }

    fn read(text: &str, descriptor: Option<OwnedFd>) -> Option<Self> {
        let mut words = text.split(' ');
        let (verb, protocol, what) = (words.next()?, words.next()?, words.next()?);
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return None,
        };
        match verb {
            "publish" => {
                let container = what.parse().ok()?;
                Listener::adopt(descriptor?, protocol, container).ok().map(Self::Publish)
            }
            "withdraw" => Some(Self::Withdraw(what.parse().ok()?, protocol, descriptor)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
    }

    #[test]
    fn what_is_ordered_arrives() {
        let (ours, theirs) = pair();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let bound = socket.local_addr().unwrap();
        let listener = Listener::adopt(socket.into(), Protocol::Tcp, 80).unwrap();
        publish(ours.as_fd(), &listener).unwrap();
        let Some(Order::Publish(got)) = Order::receive(theirs.as_fd()).unwrap() else {
            panic!("another order");
        };
        assert_eq!((got.bound, got.protocol, got.container), (bound, Protocol::Tcp, 80));

        let (waiter, waited_for) = pair();
        withdraw(ours.as_fd(), bound, Protocol::Udp, waited_for.as_fd()).unwrap();
        drop(waited_for);
        let order = Order::receive(theirs.as_fd()).unwrap();
        let Some(Order::Withdraw(there, Protocol::Udp, Some(_))) = &order else {
            panic!("{order:?}");
        };
        assert_eq!(*there, bound);
        let ended = |fd: &OwnedFd| fd::wait_readable([fd.as_fd()], fd::Patience::None).unwrap()[0];
        assert!(!ended(&waiter), "it is closed before it is done");
        drop(order);
        assert!(ended(&waiter));
        drop(ours);
        assert!(Order::receive(theirs.as_fd()).unwrap().is_none());
    }

    #[test]
    fn what_is_no_order_is_not_obeyed() {
        for text in ["", "publish", "publish tcp", "publish sctp 80", "withdraw tcp x", "x tcp 80"]
        {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            assert!(Order::read(text, Some(socket.into())).is_none(), "{text:?}");
        }
        assert!(Order::read("publish tcp 80", None).is_none());
    }
}
