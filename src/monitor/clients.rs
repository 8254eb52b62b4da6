//! Those who are attached to a payload in the background.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use crate::control::{Answer, ENDED, ERR, LONGEST, Listener, OUT, Request};
use crate::launch::patience;
use crate::log::Stream;
use crate::sys::{Errno, fd};

/// How long the payload waits for somebody who takes nothing; from then on what
/// it says is left out for him until he does.
const PATIENCE: Duration = Duration::from_secs(1);

/// All of them, and where others come.
#[derive(Debug)]
pub struct Clients {
    listener: Listener,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    attached: bool,
    /// What it has not taken, and since when.
    waiting: Option<(Vec<u8>, Instant)>,
    /// How much was left out since.
    lost: usize,
}

impl Clients {
    /// Nobody yet.
    pub fn new(listener: Listener) -> Self {
        Self { listener, clients: Vec::new() }
    }

    /// What to wait for.
    pub fn interests(&self) -> impl Iterator<Item = PollFd<'_>> {
        let client = |client: &Client| match client.waiting {
            Some(_) => PollFlags::POLLIN | PollFlags::POLLOUT,
            None => PollFlags::POLLIN,
        };
        let clients = self.clients.iter().map(move |it| PollFd::new(it.socket.as_fd(), client(it)));
        clients.chain([PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)])
    }

    /// Until when the payload waits for one of them.
    pub fn awaited(&self) -> Option<Instant> {
        let until = |client: &Client| Some(client.waiting.as_ref()?.1 + PATIENCE);
        let now = Instant::now();
        self.clients.iter().filter_map(until).filter(|until| *until > now).max()
    }

    /// Lets others in, hears what is asked, and gives what was not taken.
    /// `input` is how the payload is spoken to, and whether by a terminal.
    pub fn attend(&mut self, input: (Option<BorrowedFd<'_>>, bool)) {
        while let Some(socket) = self.listener.accept() {
            self.clients.push(Client { socket, attached: false, waiting: None, lost: 0 });
        }
        self.clients.retain_mut(|client| client.hear(input) && client.go_on());
    }

    /// Gives what was said to all of them.
    pub fn tell(&mut self, stream: Stream, bytes: &[u8]) {
        let kind = match stream {
            Stream::Out => OUT,
            Stream::Err => ERR,
        };
        self.clients.retain_mut(|client| !client.attached || client.give(kind, bytes));
    }

    /// Tells them with what code it has ended. Who does not take the rest in
    /// time does not get it.
    pub fn end(mut self, code: u8) {
        for client in self.clients.iter_mut().filter(|client| client.attached) {
            let until = Instant::now() + PATIENCE;
            while client.waiting.is_some() && client.go_on() && Instant::now() < until {
                let mut ready = [PollFd::new(client.socket.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut ready, patience(Some(until)));
            }
            let _ = fd::write(client.socket.as_fd(), &[ENDED, code]);
        }
    }
}

impl Client {
    /// Hears what it asks; false if it has gone.
    fn hear(&mut self, (input, terminal): (Option<BorrowedFd<'_>>, bool)) -> bool {
        let mut packet = [0; LONGEST];
        match fd::receive(self.socket.as_fd(), &mut packet) {
            Ok((0, _)) => false,
            Ok((length, _)) => {
                let answer = match serde_json::from_slice(&packet[..length]) {
                    Ok(Request::Attach) => Answer::Attached { terminal },
                    Err(error) => Answer::Refused(error.to_string()),
                };
                self.attached |= matches!(answer, Answer::Attached { .. });
                let bytes = serde_json::to_vec(&answer).unwrap_or_default();
                match (input, &answer) {
                    (Some(input), Answer::Attached { .. }) => {
                        fd::send_with_descriptor(self.socket.as_fd(), &bytes, input).is_ok()
                    }
                    _ => fd::write(self.socket.as_fd(), &bytes).is_ok(),
                }
            }
            Err(errno) => matches!(errno, Errno::EAGAIN | Errno::EINTR),
        }
    }

    /// Gives it what was said; false if it has gone.
    fn give(&mut self, kind: u8, bytes: &[u8]) -> bool {
        if self.waiting.is_some() {
            self.lost += bytes.len();
            return true;
        }
        let mut packet = Vec::with_capacity(bytes.len() + 1);
        packet.push(kind);
        packet.extend_from_slice(bytes);
        self.send(packet, Instant::now())
    }

    /// Gives it what it has not taken; false if it has gone.
    fn go_on(&mut self) -> bool {
        let Some((packet, since)) = self.waiting.take() else { return true };
        if !self.send(packet, since) {
            return false;
        }
        if self.waiting.is_none() && self.lost > 0 {
            let told = format!("\r\n[sublet: {} bytes are left out here]\r\n", self.lost);
            self.lost = 0;
            return self.give(ERR, told.as_bytes());
        }
        true
    }

    fn send(&mut self, packet: Vec<u8>, since: Instant) -> bool {
        match fd::write(self.socket.as_fd(), &packet) {
            Ok(_) => true,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => {
                self.waiting = Some((packet, since));
                true
            }
            Err(_) => false,
        }
    }
}
