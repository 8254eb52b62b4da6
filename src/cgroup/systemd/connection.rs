//! A connection to a bus or to a manager: bytes out, messages in, a deadline.
//!
//! Nothing here waits but [`Connection::wait`], and that not beyond the
//! deadline.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, getsockopt, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use nix::unistd::{Uid, geteuid};

use super::failure::Failure;
use super::wire::Message;
use crate::host::bus::Bus;
use crate::host::ids::{outside, parse_map};

/// What is read at a time.
const CHUNK: usize = 8 << 10;
/// The most that one look takes in, in chunks: a peer that never stops talking is
/// left for the deadline to end. The answer may lie behind the ends of many others'
/// jobs, and is there in time whenever we look.
const LOOK: usize = 32;
/// The most of the answer to our authentication. The specification has a line
/// of it at `OK ` and 32 digits.
const MOST_GREETING: usize = 512;

#[derive(Debug)]
pub(super) struct Connection {
    socket: UnixStream,
    /// What is still to be written.
    outgoing: Vec<u8>,
    /// What is to be written once the peer has accepted who we are.
    held: Vec<u8>,
    /// What was read and is no whole message yet.
    incoming: Vec<u8>,
    greeted: Greeted,
    deadline: Instant,
    patience: Duration,
}

/// Whether the peer has accepted who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeted {
    NotYet,
    /// It has asked for more than the kernel tells, and has been told.
    Asked,
    Yes,
}

impl Connection {
    /// Connects and says who we are.
    pub(super) fn open(bus: &Bus, patience: Duration) -> Result<Self, Failure> {
        let deadline = Instant::now() + patience;
        let socket = reach(bus, deadline).map_err(Failure::unreachable)?;
        let mut connection = Self::over(socket, patience);
        connection.write()?;
        Ok(connection)
    }

    pub(super) fn over(socket: UnixStream, patience: Duration) -> Self {
        Self {
            socket,
            outgoing: greeting(known_uid()),
            held: Vec::new(),
            incoming: Vec::new(),
            greeted: Greeted::NotYet,
            deadline: Instant::now() + patience,
            patience,
        }
    }

    /// Takes `messages` to be written as soon as the peer has accepted us, and
    /// begins to be impatient only now.
    ///
    /// A bus would take them with the authentication. systemd's own socket does
    /// not: it reads 256 bytes of an authentication at a time, and a message
    /// that came in those lies there until more comes.
    pub(super) fn say(&mut self, messages: Vec<u8>) -> Result<(), Failure> {
        self.held = messages;
        self.deadline = Instant::now() + self.patience;
        self.exchange()?;
        self.greet().map(drop)
    }

    /// Says more to who has had all of what was to be said, and is impatient
    /// only after `patience` from now on; whether there is an answer to wait
    /// for. To who has had none of it nothing is said.
    pub(super) fn say_last(&mut self, messages: Vec<u8>, patience: Duration) -> bool {
        if self.greeted != Greeted::Yes {
            return false;
        }
        self.outgoing.extend(messages);
        self.patience = patience;
        self.deadline = Instant::now() + patience;
        self.write().is_ok()
    }

    /// Is impatient only after `times` as long, from now on.
    pub(super) fn bear(&mut self, times: u32) {
        self.patience *= times;
        self.deadline = Instant::now() + self.patience;
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn interest(&self) -> PollFlags {
        match self.outgoing.is_empty() {
            true => PollFlags::POLLIN,
            false => PollFlags::POLLIN | PollFlags::POLLOUT,
        }
    }

    /// Writes and reads what can be without waiting.
    pub(super) fn exchange(&mut self) -> Result<End, Failure> {
        self.write()?;
        self.read()
    }

    /// The next message that has come in full.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Failure> {
        if self.greet()? != Greeted::Yes {
            return Ok(None);
        }
        Message::take(&mut self.incoming)
            .map_err(|why| Failure::broken(format!("it sent what is no message of D-Bus: {why}")))
    }

    /// Whether `waiting_for` may still come.
    pub(super) fn may_wait(&self, end: End, waiting_for: &str) -> Result<(), Failure> {
        let waiting_for = match self.greeted {
            Greeted::NotYet | Greeted::Asked => "the answer to our authentication",
            Greeted::Yes => waiting_for,
        };
        if end == End::HungUp {
            return Err(Failure::broken(format!("it hung up before {waiting_for}")));
        }
        if Instant::now() >= self.deadline {
            return Err(Failure::late(waiting_for, self.patience));
        }
        Ok(())
    }

    /// Waits until there is something to do, or the deadline has come.
    pub(super) fn wait(&self) -> Result<(), Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // Rounded up: else the last millisecond would be spent in a loop.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
        let mut ready = [PollFd::new(self.socket.as_fd(), self.interest())];
        match poll(&mut ready, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(Failure::broken(format!("wait: {}", errno.desc()))),
        }
    }

    fn write(&mut self) -> Result<(), Failure> {
        while !self.outgoing.is_empty() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(self.socket.as_raw_fd(), &self.outgoing, flags) {
                Ok(written) => drop(self.outgoing.drain(..written)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                // It may have said why before it hung up: reading tells.
                Err(Errno::EPIPE | Errno::ECONNRESET) => self.outgoing.clear(),
                Err(errno) => return Err(Failure::broken(format!("write: {}", errno.desc()))),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<End, Failure> {
        let mut chunk = [0; CHUNK];
        for _ in 0..LOOK {
            let flags = MsgFlags::MSG_DONTWAIT;
            match recv(self.socket.as_raw_fd(), &mut chunk, flags) {
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(End::HungUp),
                Ok(read) => self.incoming.extend(&chunk[..read]),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(Failure::broken(format!("read: {}", errno.desc()))),
            }
        }
        Ok(End::Open)
    }

    /// Takes the answer to the authentication off what was read, one line, and
    /// lets go of what was held for it.
    fn greet(&mut self) -> Result<Greeted, Failure> {
        if self.greeted == Greeted::Yes {
            return Ok(Greeted::Yes);
        }
        let not_yet = self.greeted;
        let end = self.incoming.windows(2).take(MOST_GREETING).position(|two| two == b"\r\n");
        let Some(end) = end else {
            return match self.incoming.len() > MOST_GREETING {
                true => Err(Failure::broken("its answer to the authentication has no end")),
                false => Ok(not_yet),
            };
        };
        let line = String::from_utf8_lossy(&self.incoming[..end]).into_owned();
        if line == "DATA" && self.greeted == Greeted::NotYet {
            // It asks, once, for what we have said already.
            self.incoming.drain(..end + 2);
            self.greeted = Greeted::Asked;
            return self.greet();
        }
        if line != "OK" && !line.starts_with("OK ") {
            return Err(Failure::broken(format!("it answered our authentication with {line:?}")));
        }
        self.incoming.drain(..end + 2);
        self.greeted = Greeted::Yes;
        self.outgoing.append(&mut self.held);
        // It is asked only now, however long we have looked elsewhere.
        self.deadline = Instant::now() + self.patience;
        self.write()?;
        Ok(Greeted::Yes)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    HungUp,
}

/// Our side of the authentication, which is complete without hearing the
/// other's: a zero byte, who we are (the decimal uid, in hexadecimal; the
/// kernel tells the peer whether that is true), and that messages follow. Who
/// can't know what the peer calls him leaves that to the kernel alone.
fn greeting(uid: Option<Uid>) -> Vec<u8> {
    let Some(uid) = uid else { return b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n".to_vec() };
    let hex: String = uid.to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
    format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n").into_bytes()
}

/// Our uid, unless we are in a user namespace in which it is another than above:
/// the peer may be in either.
fn known_uid() -> Option<Uid> {
    let uid = geteuid();
    let map = std::fs::read("/proc/self/uid_map").ok().and_then(|text| parse_map(&text));
    let same = map.is_none_or(|map| outside(&map, uid.as_raw()) == Some(uid.as_raw()));
    same.then_some(uid)
}

/// Connects to the socket. Where the queue of a peer that accepts nobody is
/// full, connect(2) waits for as long as a write may, which is set before.
fn reach(bus: &Bus, deadline: Instant) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let address = UnixAddr::new(&bus.path)?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would mean for ever.
        let micros = left.as_micros().max(1) as i64;
        let left = TimeVal::new(micros / 1_000_000, micros % 1_000_000);
        setsockopt(&socket, sockopt::SendTimeout, &left)?;
        match connect(socket.as_raw_fd(), &address) {
            Ok(()) => break,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(errno) => return Err(errno.into()),
        }
    }
    // The path may lead to another socket by now than when it was looked at.
    let peer = getsockopt(&socket, sockopt::PeerCredentials)?.uid();
    if peer != 0 && peer != geteuid().as_raw() {
        return Err(io::Error::other(format!("uid {peer} listens there, neither you nor root")));
    }
    Ok(UnixStream::from(socket))
}
