//! The forwarder's loop: one thread, epoll(7), nothing that blocks.
//!
//! Beside news of sockets it gets orders of the launcher: ports more and less.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{Shutdown, shutdown};

use super::address;
use super::inside::{Dialer, keep_near};
use super::listen::Listeners;
use super::order::Order;
use super::pipe::Pool;
use super::slab::Slab;
use super::tcp::{Connection, Next, Side};
use super::udp::Flows;
use crate::spec::port::Protocol;
use crate::sys::{Errno, Result, socket};

/// How much news is taken at a time.
const NEWS: usize = 256;

/// How many clients are let in before it is another's turn.
const TURN: usize = 64;

/// How long nobody is let in when the machine has no room, unless a connection
/// ends before.
const PAUSE: Duration = Duration::from_millis(100);

/// How long clients may take, after the container's end, to be given what services
/// have said before.
pub const LAST: Duration = Duration::from_secs(5);

/// Whom news is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Launcher,
    Listener(usize),
    Client(usize),
    Service(usize),
    Flow(usize),
}

impl Of {
    /// As the kernel keeps it for us: the kind in the lowest bits.
    fn number(self) -> u64 {
        let (kind, at) = match self {
            Self::Launcher => (0, 0),
            Self::Listener(at) => (1, at),
            Self::Client(at) => (2, at),
            Self::Service(at) => (3, at),
            Self::Flow(at) => (4, at),
        };
        (at as u64) << 3 | kind
    }

    fn from_number(number: u64) -> Self {
        let at = (number >> 3) as usize;
        match number & 7 {
            1 => Self::Listener(at),
            2 => Self::Client(at),
            3 => Self::Service(at),
            4 => Self::Flow(at),
            _ => Self::Launcher,
        }
    }
}

/// What the forwarder has.
struct Server<'a> {
    epoll: Epoll,
    launcher: BorrowedFd<'a>,
    listeners: Listeners,
    dialer: Dialer,
    connections: Slab<Box<Connection>>,
    /// Those that have more to do.
    again: Vec<usize>,
    pool: Pool,
    flows: Flows,
    /// How many descriptors there may be.
    room: usize,
    /// Whether clients are let in: no, until then at least.
    pause: Option<Instant>,
    /// Until when it goes on for those who are there; no others come.
    closing: Option<Instant>,
}

/// Forwards until the launcher, at the other end of `launcher`, is gone; and then,
/// for no longer than [`LAST`], what services have said before.
///
/// # Errors
/// What epoll(7) says.
pub fn serve(launcher: BorrowedFd<'_>, listeners: Listeners, dialer: Dialer) -> Result<()> {
    let (room, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(1 << 20);
    let mut server = Server {
        epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
        launcher,
        listeners,
        dialer,
        connections: Slab::default(),
        again: Vec::new(),
        pool: Pool::default(),
        flows: Flows::new((room / 8).clamp(1, 4096)),
        room,
        pause: None,
        closing: None,
    };
    server.watch(launcher, Of::Launcher, EpollFlags::EPOLLIN)?;
    for (at, listener) in server.listeners.numbered() {
        server.watch(listener.as_fd(), Of::Listener(at), EpollFlags::EPOLLIN)?;
    }
    server.run()
}

impl Server<'_> {
    fn run(&mut self) -> Result<()> {
        let mut news = [EpollEvent::empty(); NEWS];
        loop {
            let count = match self.epoll.wait(&mut news, self.patience()) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => return Err(errno),
            };
            for event in &news[..count] {
                match Of::from_number(event.data()) {
                    Of::Launcher => match Order::receive(self.launcher)? {
                        Some(order) => self.obey(order)?,
                        None => self.close()?,
                    },
                    Of::Listener(at) => self.listened(at)?,
                    Of::Client(at) => self.news(at, Side::Client, event.events()),
                    Of::Service(at) => self.news(at, Side::Service, event.events()),
                    Of::Flow(at) => self.flows.hear_service(at, &self.listeners),
                }
            }
            for at in std::mem::take(&mut self.again) {
                self.turn(at);
            }
            // None of the news can be of those that are over now.
            self.connections.reuse();
            self.flows.reuse();
            self.listeners.reuse();
            let now = Instant::now();
            self.flows.expire(now, &self.dialer);
            if self.pause.is_some_and(|until| until <= now) {
                self.let_in(true)?;
            }
            // Who has not heard all by then is reset.
            if self.closing.is_some_and(|until| self.connections.len() == 0 || until <= now) {
                return Ok(());
            }
        }
    }

    fn patience(&self) -> EpollTimeout {
        if !self.again.is_empty() {
            return EpollTimeout::ZERO;
        }
        let moments = [self.pause, self.flows.until(), self.closing];
        let Some(until) = moments.into_iter().flatten().min() else {
            return EpollTimeout::NONE;
        };
        // Rounded up: not to come too early, and again and again.
        let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
    }

    fn watch(&self, socket: BorrowedFd<'_>, of: Of, news: EpollFlags) -> Result<()> {
        self.epoll.add(socket, EpollEvent::new(news, of.number()))
    }

    /// How many connections there may be. Listeners have their descriptors
    /// already, and flows an eighth. A connection takes two, and two more for a
    /// pipe while one side is slow.
    fn most(&self) -> usize {
        let room = self.room.saturating_sub(self.listeners.len() + 64);
        (room - room / 8).div_ceil(4)
    }

    /// Does what the launcher wants. What can't be done for want of room is a
    /// reason to end: the next forwarder begins with all that is to be.
    fn obey(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Publish(listener) => {
                self.dialer.publish(&listener)?;
                let open = self.pause.is_none() || listener.protocol == Protocol::Udp;
                let at = self.listeners.insert(listener);
                let news = if open { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
                let Some(listener) = self.listeners.get(at) else { return Ok(()) };
                self.watch(listener.as_fd(), Of::Listener(at), news)
            }
            Order::Withdraw(bound, protocol, _until_done) => {
                let found = self
                    .listeners
                    .numbered()
                    .find(|(_, listener)| (listener.bound, listener.protocol) == (bound, protocol));
                found.map(|(at, _)| at).map_or(Ok(()), |at| self.withdraw(at))
            }
        }
    }

    fn withdraw(&mut self, at: usize) -> Result<()> {
        self.flows.end_all_of(at, &self.dialer);
        let Some(listener) = self.listeners.remove(at) else { return Ok(()) };
        // Others may have the socket too, and so it may outlive our descriptor.
        self.epoll.delete(listener)
    }

    /// Frees the ports, says so, and goes on only for clients who have not yet
    /// been given all that services have said: of a program that has ended the
    /// kernel sends that, too.
    fn close(&mut self) -> Result<()> {
        self.epoll.delete(self.launcher)?;
        let numbers: Vec<usize> = self.listeners.numbered().map(|(at, _)| at).collect();
        numbers.into_iter().try_for_each(|at| self.withdraw(at))?;
        self.pause = None;
        self.closing = Some(Instant::now() + LAST);
        let _ = shutdown(self.launcher.as_raw_fd(), Shutdown::Both);
        let all: Vec<usize> = self.connections.iter().map(|(at, _)| at).collect();
        all.into_iter().for_each(|at| self.go_on(at, Next::Wait));
        Ok(())
    }

    fn listened(&mut self, at: usize) -> Result<()> {
        let Some(listener) = self.listeners.get(at) else { return Ok(()) };
        if listener.protocol == Protocol::Udp {
            let watch = |socket: BorrowedFd<'_>, flow: usize| {
                self.epoll
                    .add(socket, EpollEvent::new(EpollFlags::EPOLLIN, Of::Flow(flow).number()))
            };
            self.flows.hear_clients((at, listener), &self.dialer, watch);
            return Ok(());
        }
        for _ in 0..TURN {
            if self.connections.len() >= self.most() {
                return self.let_in(false);
            }
            match self.accept(at) {
                Ok(()) => {}
                Err(Errno::EAGAIN) => break,
                // No room for its socket, which waits on.
                Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                    return self.let_in(false);
                }
                // That client is gone, or its service is not there.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn accept(&mut self, at: usize) -> Result<()> {
        let listener = self.listeners.get(at).ok_or(Errno::EAGAIN)?;
        let (client, name) = socket::accept(listener.as_fd())?;
        let from = address::of(&name).ok_or(Errno::EAFNOSUPPORT)?;
        if from.ip().is_loopback() && !listener.bound.ip().is_loopback() {
            keep_near(client.as_fd())?;
        }
        let ways = self.dialer.ways(from, listener.container);
        let connection = Box::new(Connection::new(client, ways)?);
        let at = self.connections.insert(connection);
        if let Some(connection) = self.connections.get_mut(at) {
            for (side, of) in [(Side::Client, Of::Client(at)), (Side::Service, Of::Service(at))] {
                let event = EpollEvent::new(EDGES, of.number());
                if let Err(errno) = self.epoll.add(connection.socket(side), event) {
                    connection.abort();
                    self.end(at);
                    return Err(errno);
                }
            }
        }
        Ok(())
    }

    /// Starts or stops letting clients in; the kernel lets them wait.
    fn let_in(&mut self, open: bool) -> Result<()> {
        self.pause = (!open).then(|| Instant::now() + PAUSE);
        let news = if open { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
        for (at, listener) in self.listeners.numbered() {
            if listener.protocol == Protocol::Tcp {
                let mut event = EpollEvent::new(news, Of::Listener(at).number());
                self.epoll.modify(listener, &mut event)?;
            }
        }
        Ok(())
    }

    fn news(&mut self, at: usize, side: Side, news: EpollFlags) {
        if let Some(connection) = self.connections.get_mut(at) {
            let next = connection.news(side, news, &mut self.pool);
            self.go_on(at, next);
        }
    }

    fn turn(&mut self, at: usize) {
        if let Some(connection) = self.connections.get_mut(at) {
            connection.waits = false;
            let next = connection.turn(&mut self.pool);
            self.go_on(at, next);
        }
    }

    fn go_on(&mut self, at: usize, next: Next) {
        let Some(connection) = self.connections.get_mut(at) else { return };
        match next {
            Next::Wait if self.closing.is_some() && connection.is_answered() => self.end(at),
            Next::Wait => {}
            Next::Again if connection.waits => {}
            Next::Again => {
                connection.waits = true;
                self.again.push(at);
            }
            Next::Another => {
                let socket = connection.socket(Side::Service);
                let event = EpollEvent::new(EDGES, Of::Service(at).number());
                if self.epoll.add(socket, event).is_err() {
                    connection.abort();
                    self.end(at);
                }
            }
            Next::Over => self.end(at),
        }
    }

    fn end(&mut self, at: usize) {
        if let Some(connection) = self.connections.remove(at) {
            connection.finish(&mut self.pool);
        }
    }
}

/// News comes once, when something changes.
const EDGES: EpollFlags = EpollFlags::EPOLLIN
    .union(EpollFlags::EPOLLOUT)
    .union(EpollFlags::EPOLLRDHUP)
    .union(EpollFlags::EPOLLET);
