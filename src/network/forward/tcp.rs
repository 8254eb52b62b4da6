//! One TCP connection: a client's socket and one to the service, and what goes
//! from each to the other.
//!
//! An end of file goes on as an end of file, and a reset as a reset, when all
//! that came before has. What one side does not take is left in the other's buffers, but for
//! one pipe full.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{Shutdown, getsockopt, setsockopt, shutdown, sockopt};

use super::inside::Way;
use super::pipe::{Pipe, Pool};
use crate::spec::port::Protocol;
use crate::sys::{Errno, Result};

/// How often one connection may fill a pipe before it is another's turn.
const TURN: usize = 16;

/// Which of the two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's, on the host.
    Client,
    /// That to the service, in the container.
    Service,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Service,
            Self::Service => Self::Client,
        }
    }
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It waits for news.
    Wait,
    /// It has more to do.
    Again,
    /// Its socket to the service is a new one.
    Another,
    /// It is over.
    Over,
}

/// A connection.
pub struct Connection {
    client: End,
    service: End,
    /// From the client to the service.
    up: Stream,
    /// From the service to the client.
    down: Stream,
    /// The ways that are left if this one fails, until it has not.
    ways: Option<Vec<Way>>,
    /// The side that has broken off; the other is to hear what it said before.
    broken: Option<Side>,
    /// Whether it waits for its next turn.
    pub waits: bool,
}

/// Who may still hear something when one side has broken off.
#[derive(PartialEq, Eq)]
enum Left {
    Other,
    Nobody,
}

/// Which socket of a stream has failed.
enum Broken {
    Source,
    Target,
}

struct End {
    socket: OwnedFd,
    /// Whether there may be something to read, and room to write: true until
    /// the kernel says that there is not.
    readable: bool,
    writable: bool,
}

#[derive(Default)]
struct Stream {
    pipe: Option<Pipe>,
    /// Nothing more comes.
    ended: bool,
    /// And the other side has been told so.
    told: bool,
}

impl Connection {
    /// Connects a client by the first of the ways that is open.
    ///
    /// # Errors
    /// What the last way says; the client's connection is reset.
    pub fn new(client: OwnedFd, ways: impl Iterator<Item = Way>) -> Result<Self> {
        let mut ways: Vec<Way> = ways.collect();
        // Taken from the end.
        ways.reverse();
        match next_way(&mut ways) {
            Ok(service) => Ok(Self {
                client: End::new(client)?,
                service: End::new(service)?,
                up: Stream::default(),
                down: Stream::default(),
                ways: Some(ways),
                broken: None,
                waits: false,
            }),
            Err(errno) => {
                let _ = end_badly(client.as_fd());
                Err(errno)
            }
        }
    }

    /// The socket on one side.
    pub fn socket(&self, side: Side) -> BorrowedFd<'_> {
        match side {
            Side::Client => self.client.socket.as_fd(),
            Side::Service => self.service.socket.as_fd(),
        }
    }

    /// Hears what the kernel says of one side.
    pub fn news(&mut self, side: Side, news: EpollFlags, pool: &mut Pool) -> Next {
        let end = match side {
            Side::Client => &mut self.client,
            Side::Service => &mut self.service,
        };
        let over = EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        end.readable |= news.intersects(over | EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP);
        end.writable |= news.intersects(over | EpollFlags::EPOLLOUT);
        let failed = news.contains(EpollFlags::EPOLLERR)
            && getsockopt(&end.socket, sockopt::SocketError) != Ok(0);
        if side == Side::Service && self.ways.is_some() {
            if failed {
                return self.another_way();
            }
            if news.contains(EpollFlags::EPOLLOUT) {
                self.ways = None;
            }
        } else if failed && self.break_off(side) == Left::Nobody {
            return self.abort();
        }
        self.turn(pool)
    }

    /// Moves what can be moved.
    pub fn turn(&mut self, pool: &mut Pool) -> Next {
        if self.ways.is_some() {
            return Next::Wait;
        }
        let mut more = false;
        for from in [Side::Client, Side::Service] {
            if self.broken.is_some_and(|broken| broken != from) {
                // Nobody is there to take it.
                continue;
            }
            let (stream, source, target) = match from {
                Side::Client => (&mut self.up, &mut self.client, &mut self.service),
                Side::Service => (&mut self.down, &mut self.service, &mut self.client),
            };
            match stream.pump(source, target, pool) {
                Ok(again) => more |= again,
                Err(Broken::Source) => return self.abort(),
                Err(Broken::Target) => match self.break_off(from.other()) {
                    Left::Nobody => return self.abort(),
                    Left::Other => {
                        more = true;
                        continue;
                    }
                },
            }
            if !stream.ended || stream.pipe.is_some() || stream.told {
                continue;
            }
            if self.broken.is_some() {
                return self.abort();
            }
            stream.told = true;
            // One that is gone says so by itself.
            let _ = end_well(target.socket.as_fd());
            let _ = shutdown(target.socket.as_raw_fd(), Shutdown::Write);
        }
        match more {
            _ if self.up.told && self.down.told => Next::Over,
            true => Next::Again,
            false => Next::Wait,
        }
    }

    /// Notes that a side takes nothing any more: who is left to hear what it
    /// has said before.
    fn break_off(&mut self, side: Side) -> Left {
        let (to, from) = match side {
            Side::Client => (&mut self.down, &self.up),
            Side::Service => (&mut self.up, &self.down),
        };
        *to = Stream::default();
        match self.broken.replace(side) {
            Some(other) if other != side => Left::Nobody,
            _ if from.told => Left::Nobody,
            _ => Left::Other,
        }
    }

    fn another_way(&mut self) -> Next {
        match self.ways.as_mut().map(next_way) {
            Some(Ok(socket)) => {
                let Ok(service) = End::new(socket) else { return self.abort() };
                self.service = service;
                Next::Another
            }
            _ => self.abort(),
        }
    }

    /// Lets both sides know that it has not ended well.
    pub fn abort(&self) -> Next {
        let _ = end_badly(self.client.socket.as_fd());
        let _ = end_badly(self.service.socket.as_fd());
        Next::Over
    }

    /// Whether the client has been given all that the service has said, to its
    /// end.
    pub fn is_answered(&self) -> bool {
        self.down.told
    }

    /// Gives back what it was lent.
    pub fn finish(self, pool: &mut Pool) {
        [self.up, self.down].into_iter().filter_map(|stream| stream.pipe).for_each(|pipe| {
            pool.put(pipe);
        });
    }
}

impl End {
    /// One that is closed before its time, because we are killed, is to be reset:
    /// an end of file would say that all has been said.
    fn new(socket: OwnedFd) -> Result<Self> {
        end_badly(socket.as_fd())?;
        Ok(Self { socket, readable: false, writable: false })
    }
}

impl Stream {
    /// Moves what can be moved: whether there may be more at once.
    fn pump(
        &mut self,
        from: &mut End,
        to: &mut End,
        pool: &mut Pool,
    ) -> std::result::Result<bool, Broken> {
        for _ in 0..TURN {
            let held = self.pipe.as_ref().map_or(0, |pipe| pipe.held);
            if held == 0 {
                if self.ended || !from.readable {
                    break;
                }
                let pipe = match &mut self.pipe {
                    Some(pipe) => pipe,
                    none => none.insert(pool.take().map_err(|_| Broken::Source)?),
                };
                match pipe.fill(&from.socket) {
                    Ok(0) => self.ended = true,
                    Ok(_) => {}
                    Err(Errno::EAGAIN) => from.readable = false,
                    Err(_) => return Err(Broken::Source),
                }
            }
            if let Some(pipe) = &mut self.pipe
                && pipe.held > 0
            {
                if !to.writable {
                    return Ok(false);
                }
                match pipe.drain(&to.socket) {
                    Ok(()) => {}
                    Err(Errno::EAGAIN) => to.writable = false,
                    Err(_) => return Err(Broken::Target),
                }
            }
        }
        let empty = self.pipe.take_if(|pipe| pipe.held == 0);
        empty.into_iter().for_each(|pipe| pool.put(pipe));
        if self.pipe.is_some() {
            return Ok(to.writable);
        }
        Ok(!self.ended && from.readable)
    }
}

fn next_way(ways: &mut Vec<Way>) -> Result<OwnedFd> {
    let mut last = Errno::EADDRNOTAVAIL;
    while let Some(way) = ways.pop() {
        match way.connect(Protocol::Tcp) {
            Ok(socket) => return Ok(socket),
            Err(errno) => last = errno,
        }
    }
    Err(last)
}

/// Has a connection be reset when its socket is closed.
fn end_badly(socket: BorrowedFd<'_>) -> Result<()> {
    setsockopt(&socket, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })
}

/// Has the kernel deliver what was written when the socket is closed.
fn end_well(socket: BorrowedFd<'_>) -> Result<()> {
    setsockopt(&socket, sockopt::Linger, &nix::libc::linger { l_onoff: 0, l_linger: 0 })
}
