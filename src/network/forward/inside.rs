//! The container's side: going into its network, and sockets there.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::anyhow;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use super::listen::{Listener, Listeners};
use super::route::{Change, MARK, Router};
use crate::error::Explain;
use crate::plan::network::{Driver, Network};
use crate::spec::network;
use crate::spec::port::Protocol;
use crate::sys::{Errno, Result, confine, process, socket as options};

/// The addresses at which services in the container are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    /// Of IPv4.
    pub v4: Option<Ipv4Addr>,
    /// Of IPv6.
    pub v6: Option<Ipv6Addr>,
}

impl Inside {
    /// Those of a container that has a loopback interface and nothing else.
    pub const LOOPBACK: Self =
        Self { v4: Some(Ipv4Addr::LOCALHOST), v6: Some(Ipv6Addr::LOCALHOST) };

    /// Those of a container that was asked for with one network and has got
    /// another. slirp4netns gives it an address of its own (of IPv6 one that is
    /// made up inside); pasta gives it the host's, which are not known here.
    ///
    /// # Errors
    /// Where there is nothing to be published.
    pub fn of(
        asked: &network::Network,
        network: &Network,
    ) -> std::result::Result<Self, Unpublished> {
        let helper = match network {
            Network::Host => return Err(Unpublished::Host),
            Network::Joined(_) => return Err(Unpublished::Joined),
            Network::None if *asked == network::Network::None => return Err(Unpublished::None),
            Network::None => return Ok(Self::LOOPBACK),
            Network::Helped(helper) => helper,
        };
        Ok(match helper.driver {
            Driver::Slirp4netns { cidr, .. } => Self { v4: Some(cidr.address(100)), v6: None },
            Driver::Pasta { .. } => Self::LOOPBACK,
        })
    }

    /// The address for a client: of its family, if there is one, and of the
    /// other.
    fn for_client(&self, client: IpAddr) -> [Option<IpAddr>; 2] {
        let (v4, v6) = (self.v4.map(IpAddr::from), self.v6.map(IpAddr::from));
        if client.is_ipv4() { [v4, v6] } else { [v6, v4] }
    }

    /// Whether services see the own addresses of the clients that come to
    /// `bound`, where those are kept at all.
    pub fn keeps(&self, bound: IpAddr) -> bool {
        let same_family = if bound.is_ipv4() { self.v4.is_some() } else { self.v6.is_some() };
        is_kept(bound) && same_family
    }

    fn all(&self) -> impl Iterator<Item = IpAddr> {
        [self.v4.map(IpAddr::from), self.v6.map(IpAddr::from)].into_iter().flatten()
    }
}

/// Why a container has no ports that could be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpublished {
    /// It has the host's network.
    Host,
    /// It is to have none.
    None,
    /// It has somebody else's, who may publish.
    Joined,
}

impl Unpublished {
    /// It, for people.
    pub(super) fn told<T>(self) -> anyhow::Result<T> {
        let (network, hint) = match self {
            Self::Host => ("host", "what listens in the container listens on the host"),
            Self::None => ("none", "--network loopback has nothing but published ports"),
            Self::Joined => ("container or ns", "publish ports of the container whose it is"),
        };
        Err(anyhow!("ports have no effect with --network {network}")).hint(hint)
    }
}

/// What services in the container see of the clients' addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The clients' own, but for those of this machine's loopback.
    Kept,
    /// The container's own; why.
    Masked(String),
}

/// CAP_NET_BIND_SERVICE, CAP_NET_ADMIN and CAP_NET_RAW: to have a client's
/// address and port, and a route to it.
const RIGHTS: u64 = 1 << 10 | 1 << 12 | 1 << 13;

/// Goes into the network of a container by a descriptor that setns(2) takes: a
/// pidfd of a process in it. Of the rights there, keeps what is needed.
///
/// # Errors
/// What setns(2) says.
pub fn enter(target: BorrowedFd<'_>) -> Result<()> {
    process::join(target, libc::CLONE_NEWUSER | libc::CLONE_NEWNET)?;
    confine::no_new_privileges()?;
    confine::bound_capabilities(0)?;
    confine::set_capabilities(RIGHTS, RIGHTS, 0)?;
    // Both were undone by the change of rights (commit_creds).
    confine::hide_memory()?;
    confine::parent_death_signal(libc::SIGKILL)?;
    // Two descriptors a connection, and more while it is busy.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}

/// Makes sockets in the container's network.
pub struct Dialer {
    inside: Inside,
    /// Where clients' addresses are kept.
    router: Option<Router>,
}

impl Dialer {
    /// Prepares the present network namespace.
    pub fn new(inside: Inside, listeners: &Listeners) -> (Self, Seen) {
        match routes(&inside, listeners) {
            Ok(router) => (Self { inside, router: Some(router) }, Seen::Kept),
            Err(why) => (Self { inside, router: None }, Seen::Masked(why)),
        }
    }

    /// Makes sockets in the present network, for services on its loopback.
    pub fn to_loopback() -> Self {
        Self { inside: Inside::LOOPBACK, router: None }
    }

    /// A way to a port of the container for a client, the best first.
    pub fn ways(&self, client: SocketAddr, port: u16) -> impl Iterator<Item = Way> {
        let keeps = self.router.is_some() && is_kept(client.ip());
        self.inside.for_client(client.ip()).into_iter().flatten().map(move |ip| Way {
            to: SocketAddr::new(ip, port),
            from: Some(client).filter(|_| keeps && ip.is_ipv4() == client.is_ipv4()),
        })
    }

    /// Has what is sent from one more port of UDP look for clients. The rule
    /// stays when the port is published no more: there are no clients then.
    pub fn publish(&self, listener: &Listener) -> Result<()> {
        let Some(router) = &self.router else { return Ok(()) };
        if listener.protocol == Protocol::Udp {
            let port = (listener.container, listener.container);
            self.inside.all().try_for_each(|own| router.ports(own, port))?;
        }
        Ok(())
    }

    /// Has the answers of a service of UDP find the client, or no longer.
    pub fn client(&self, change: Change, way: &Way) -> Result<()> {
        match (&self.router, way.from) {
            (Some(router), Some(from)) => router.client(change, from.ip(), way.to.ip()),
            _ => Ok(()),
        }
    }
}

/// How a client is connected with a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The service.
    pub to: SocketAddr,
    /// The client's own address, if it is kept.
    pub from: Option<SocketAddr>,
}

impl Way {
    /// A socket on this way, connected or about to be.
    ///
    /// # Errors
    /// What connect(2) says.
    pub fn connect(&self, protocol: Protocol) -> Result<OwnedFd> {
        match self.connect_from(protocol, self.from) {
            // The client has a connection with that service by another
            // published port, from the same port of its own.
            Err(Errno::EADDRINUSE | Errno::EADDRNOTAVAIL) if self.from.is_some() => {
                let any = self.from.map(|from| SocketAddr::new(from.ip(), 0));
                self.connect_from(protocol, any)
            }
            other => other,
        }
    }

    fn connect_from(&self, protocol: Protocol, from: Option<SocketAddr>) -> Result<OwnedFd> {
        let family = if self.to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let kind = match protocol {
            Protocol::Tcp => SockType::Stream,
            Protocol::Udp => SockType::Datagram,
        };
        let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
        if protocol == Protocol::Tcp {
            setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
            keep_near(socket.as_fd())?;
        }
        if let Some(from) = from {
            setsockopt(&socket, sockopt::Mark, &MARK)?;
            setsockopt(&socket, sockopt::ReuseAddr, &true)?;
            match from {
                SocketAddr::V4(_) => setsockopt(&socket, sockopt::IpTransparent, &true)?,
                SocketAddr::V6(_) => options::transparent6(socket.as_fd())?,
            }
            bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
        }
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(self.to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
            Err(errno) => Err(errno),
        }
    }
}

/// How much a socket holds whose other end is on this machine. A quarter of it
/// makes the forwarder wait for who takes it more often, and the way to the
/// service a third slower; more, as the kernel would give, is not faster: by the
/// time that somebody reads it, the processor's cache has lost it. What
/// net.core.rmem_max does not allow, there is less.
const NEAR: usize = 1024 * 1024;

/// Has a socket hold what is good for another end on this machine.
pub fn keep_near(socket: BorrowedFd<'_>) -> Result<()> {
    setsockopt(&socket, sockopt::RcvBuf, &NEAR)?;
    setsockopt(&socket, sockopt::SndBuf, &NEAR)
}

/// Whether a client's address means the same inside. Loopback's does not: what
/// comes from there is not the container's own, which services may trust. Nor
/// does one that is good on one link only.
fn is_kept(client: IpAddr) -> bool {
    let on_link = matches!(client, IpAddr::V6(ip) if ip.is_unicast_link_local());
    !client.is_loopback() && !on_link
}

/// Sets up the routes back; why not, where that can't be.
fn routes(inside: &Inside, listeners: &Listeners) -> std::result::Result<Router, String> {
    // Connections that are accepted, and what the kernel itself answers, carry
    // the mark of who has asked.
    let mut switches = vec!["ipv4/tcp_fwmark_accept", "ipv4/fwmark_reflect"];
    if inside.v6.is_some() {
        switches.push("ipv6/fwmark_reflect");
    }
    for switch in switches {
        let path = format!("/proc/sys/net/{switch}");
        fs::write(&path, "1").map_err(|error| format!("write {path}: {error}"))?;
    }
    let told = |errno: Errno| format!("set up the route back: {}", errno.desc());
    let router = Router::new().map_err(told)?;
    for own in inside.all() {
        router.marked(own).map_err(told)?;
        for ports in ranges(listeners) {
            router.ports(own, ports).map_err(told)?;
        }
    }
    Ok(router)
}

/// The ports of UDP in the container, neighbours together.
fn ranges(listeners: &Listeners) -> Vec<(u16, u16)> {
    let udp = listeners.iter().filter(|listener| listener.protocol == Protocol::Udp);
    let mut ports: Vec<u16> = udp.map(|listener| listener.container).collect();
    ports.sort_unstable();
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match ranges.last_mut() {
            Some((_, last)) if u32::from(port) <= u32::from(*last) + 1 => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    ranges
}
