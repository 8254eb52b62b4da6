//! The host's side: sockets that are bound before there is a container, so that
//! a port that can't be had fails the start.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, anyhow, ensure};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, getsockname, getsockopt, setsockopt,
    socket, sockopt,
};

use super::address;
use super::handed::Handed;
use super::holder;
use super::inside::keep_near;
use super::slab::Slab;
use crate::error::{Explain, MORE_FILES};
use crate::host::advice::{Hole, table};
use crate::plan::network::service;
use crate::spec::port::{Port, Protocol, Source};
use crate::sys::{Errno, socket as options};

/// How many clients may wait to be let in; the kernel takes less where
/// net.core.somaxconn is less.
const BACKLOG: i32 = 4096;

/// The sockets of all published ports, by number. Dropped, the ports are free.
#[derive(Debug, Default)]
pub struct Listeners(Slab<Listener>);

/// The socket of one published port.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    /// What it is bound to.
    pub bound: SocketAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port of the container that it leads to.
    pub container: u16,
}

/// What was bound, as people read it: `127.0.0.1:8080 -> 80/tcp`.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}/{}", self.bound, self.container, self.protocol)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listeners {
    /// Binds every port, and takes those sockets that sublet was started with.
    ///
    /// # Errors
    /// The first port that can't be had: why, and what would help.
    pub fn bind(ports: &[Port]) -> anyhow::Result<Self> {
        let handed = Handed::from_environment();
        let mut listeners = Self::default();
        for port in ports {
            let listener = match &port.source {
                Source::Host(ip, number) => open(*ip, *number, port),
                Source::Handed(name) => take(name, &handed, port),
            };
            listeners.insert(listener.with_context(|| format!("publish {port}"))?);
        }
        Ok(listeners)
    }

    /// Sockets that listen in a container, each for the port of that number
    /// here.
    pub fn made(sockets: Vec<(OwnedFd, u16)>) -> Self {
        let made = |(socket, port)| Listener {
            socket,
            bound: (service::ADDRESS, port).into(),
            protocol: Protocol::Tcp,
            container: port,
        };
        let mut listeners = Self::default();
        sockets.into_iter().map(made).for_each(|listener| _ = listeners.insert(listener));
        listeners
    }

    /// Each of them, in the order in which they were asked for.
    pub fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.numbered().map(|(_, listener)| listener)
    }

    /// The same with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &Listener)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// That of a number, as long as it is there.
    pub fn get(&self, at: usize) -> Option<&Listener> {
        self.0.get(at)
    }

    /// One more: its number.
    pub fn insert(&mut self, listener: Listener) -> usize {
        self.0.insert(listener)
    }

    /// Takes one out. Its number is no other's before [`reuse`](Self::reuse).
    pub fn remove(&mut self, at: usize) -> Option<Listener> {
        self.0.remove(at)
    }

    /// Lets the numbers of those that were taken out be given again.
    pub fn reuse(&mut self) {
        self.0.reuse();
    }

    /// Takes all of them over: their numbers here.
    pub fn append(&mut self, other: Self) -> Vec<usize> {
        other.0.into_values().map(|listener| self.0.insert(listener)).collect()
    }
}

impl Listener {
    /// A socket that was bound and prepared by somebody else of ours.
    ///
    /// # Errors
    /// Where it is none of IP.
    pub fn adopt(socket: OwnedFd, protocol: Protocol, container: u16) -> anyhow::Result<Self> {
        let bound = local(socket.as_fd())?;
        Ok(Self { socket, bound, protocol, container })
    }
}

fn open(ip: IpAddr, number: Option<u16>, port: &Port) -> anyhow::Result<Listener> {
    let wanted = SocketAddr::new(ip, number.unwrap_or(0));
    let socket = bound(wanted, port.protocol).or_else(|errno| refused(errno, wanted, port))?;
    let bound = local(socket.as_fd())?;
    Ok(Listener { socket, bound, protocol: port.protocol, container: port.container })
}

/// A socket that is bound and, for TCP, listens.
fn bound(address: SocketAddr, protocol: Protocol) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    if address.is_ipv6() {
        options::only6(socket.as_fd())?;
    }
    if protocol == Protocol::Tcp {
        // What is left of former connections (TIME_WAIT) keeps no port from us.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    if protocol == Protocol::Tcp {
        options::listen(socket.as_fd(), BACKLOG)?;
    }
    prepare(socket.as_fd(), address, protocol)?;
    Ok(socket)
}

/// Sets what every connection inherits, or what tells which of our addresses a
/// packet came to.
fn prepare(socket: BorrowedFd<'_>, address: SocketAddr, protocol: Protocol) -> Result<(), Errno> {
    match protocol {
        Protocol::Tcp => {
            // What is passed on is passed on at once.
            setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
            // A client that has vanished is noticed some time.
            setsockopt(&socket, sockopt::KeepAlive, &true)?;
            // From there they come from this machine alone.
            if address.ip().is_loopback() { keep_near(socket) } else { Ok(()) }
        }
        Protocol::Udp if address.is_ipv4() => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true),
        Protocol::Udp => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true),
    }
}

fn local(socket: BorrowedFd<'_>) -> anyhow::Result<SocketAddr> {
    let name: SockaddrStorage = getsockname(socket.as_raw_fd()).context("ask for its address")?;
    address::of(&name).context("it has no IP address")
}

/// Why a port can't be had.
fn refused(errno: Errno, wanted: SocketAddr, port: &Port) -> anyhow::Result<OwnedFd> {
    let (number, inside) = (wanted.port(), port.container);
    let error = anyhow::Error::from(errno);
    match errno {
        Errno::EADDRINUSE => {
            let error = match holder::of(wanted, port.protocol) {
                Some(holder) => anyhow!("the port is taken by {holder}"),
                None => anyhow!("the port is taken"),
            };
            Err(error).hint(format!("leave {number} out to have any free port: -p {inside}"))
        }
        Errno::EACCES => {
            let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
            let first = first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024_u16);
            let other = u32::from(number) + 8000;
            let holes: [Hole; 4] =
                [("first", &first), ("port", &number), ("inside", &inside), ("other", &other)];
            table::network::LOW_PORTS.advice(&holes).refuse()
        }
        Errno::EADDRNOTAVAIL => Err(anyhow!("this machine has no address {}", wanted.ip()))
            .hint("those that it has: ip address"),
        Errno::EAFNOSUPPORT => {
            Err(anyhow!("this machine has no IPv6")).hint("publish on an IPv4 address")
        }
        Errno::EMFILE => Err(anyhow!("each published port takes an open file, and none is left"))
            .hint(MORE_FILES),
        _ => Err(error),
    }
}

/// A socket that somebody else has opened.
fn take(name: &str, handed: &anyhow::Result<Handed>, port: &Port) -> anyhow::Result<Listener> {
    let handed = handed.as_ref().map_err(|error| anyhow!("{error:#}"));
    let socket = handed.and_then(|handed| handed.take(name)).hint(
        "sockets come from a socket unit of systemd, whose FileDescriptorName= is NAME, or \
               from systemd-socket-activate --fdname=NAME",
    )?;
    let kind = getsockopt(&socket, sockopt::SockType).context("the descriptor is no socket")?;
    let listens = getsockopt(&socket, sockopt::AcceptConn).unwrap_or(false);
    match port.protocol {
        Protocol::Tcp => ensure!(
            kind == SockType::Stream && listens,
            "the socket does not listen for TCP connections"
        ),
        Protocol::Udp => {
            ensure!(kind == SockType::Datagram, "the socket is not one for UDP");
        }
    }
    let bound = local(socket.as_fd())?;
    ensure!(bound.port() != 0, "the socket is not bound");
    // The flag is the opening's, and so also of who has handed it to us.
    nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
        .context("set the socket to non-blocking")?;
    prepare(socket.as_fd(), bound, port.protocol).context("set the socket's options")?;
    Ok(Listener { socket, bound, protocol: port.protocol, container: port.container })
}
