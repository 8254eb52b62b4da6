//! One TCP connection: a client's socket and one to the service, and what goes
//! from each to the other.
//!
//! An end of file goes on as an end of file, when all before it has; a reset as
//! a reset. What one side does not take is left in the other's buffers, but for
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
    /// Whether it waits for its next turn.
    pub waits: bool,
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
    /// And the other side knows.
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
                client: End::new(client),
                service: End::new(service),
                up: Stream::default(),
                down: Stream::default(),
                ways: Some(ways),
                waits: false,
            }),
            Err(errno) => {
                reset(client.as_fd());
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
        } else if failed {
            return self.abort();
        }
        self.turn(pool)
    }

    /// Moves what can be moved.
    pub fn turn(&mut self, pool: &mut Pool) -> Next {
        if self.ways.is_some() {
            return Next::Wait;
        }
        let up = self.up.pump(&mut self.client, &mut self.service, pool);
        let down = self.down.pump(&mut self.service, &mut self.client, pool);
        match (up, down) {
            (Err(_), _) | (_, Err(_)) => self.abort(),
            _ if self.up.told && self.down.told => Next::Over,
            (Ok(true), _) | (_, Ok(true)) => Next::Again,
            _ => Next::Wait,
        }
    }

    fn another_way(&mut self) -> Next {
        match self.ways.as_mut().map(next_way) {
            Some(Ok(socket)) => {
                self.service = End::new(socket);
                Next::Another
            }
            _ => self.abort(),
        }
    }

    /// Lets both sides know that it has not ended well.
    pub fn abort(&self) -> Next {
        reset(self.client.socket.as_fd());
        reset(self.service.socket.as_fd());
        Next::Over
    }

    /// Gives back what it was lent.
    pub fn finish(self, pool: &mut Pool) {
        [self.up, self.down].into_iter().filter_map(|stream| stream.pipe).for_each(|pipe| {
            pool.put(pipe);
        });
    }
}

impl End {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, readable: false, writable: false }
    }
}

impl Stream {
    /// Moves what can be moved: whether there may be more at once.
    fn pump(&mut self, from: &mut End, to: &mut End, pool: &mut Pool) -> Result<bool> {
        for _ in 0..TURN {
            let held = self.pipe.as_ref().map_or(0, |pipe| pipe.held);
            if held == 0 {
                if self.ended || !from.readable {
                    break;
                }
                let pipe = match &mut self.pipe {
                    Some(pipe) => pipe,
                    none => none.insert(pool.take()?),
                };
                match pipe.fill(&from.socket) {
                    Ok(0) => self.ended = true,
                    Ok(_) => {}
                    Err(Errno::EAGAIN) => from.readable = false,
                    Err(errno) => return Err(errno),
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
                    Err(errno) => return Err(errno),
                }
            }
        }
        let empty = self.pipe.take_if(|pipe| pipe.held == 0);
        empty.into_iter().for_each(|pipe| pool.put(pipe));
        if self.pipe.is_some() {
            return Ok(to.writable);
        }
        if self.ended && !self.told {
            self.told = true;
            match shutdown(to.socket.as_raw_fd(), Shutdown::Write) {
                // It has gone already, and its error comes as news.
                Ok(()) | Err(Errno::ENOTCONN) => {}
                Err(errno) => return Err(errno),
            }
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
fn reset(socket: BorrowedFd<'_>) {
    let now = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = setsockopt(&socket, sockopt::Linger, &now);
}
