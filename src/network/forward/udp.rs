//! UDP: each client has a socket of its own in the container, for as long as it
//! or the service says something.

use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recv, recvmsg, send, sendmsg,
};

use super::address;
use super::inside::{Dialer, Way};
use super::listen::{Listener, Listeners};
use super::route::Change;
use super::slab::Slab;
use crate::spec::port::Protocol;
use crate::sys::{Errno, Result};

/// How long a flow without an answer is kept, and one with: those of the
/// kernel's connection tracking (nf_conntrack_udp_timeout).
const UNANSWERED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(120);

/// How many datagrams are taken before it is another's turn.
const TURN: usize = 64;

/// What is said between a client and a service.
struct Flow {
    key: Key,
    socket: OwnedFd,
    way: Way,
    heard: Instant,
    answered: bool,
}

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The number of the listener.
    listener: usize,
    client: SocketAddr,
    /// The host's address that the client knows, where the listener has many.
    host: Option<IpAddr>,
}

/// All flows.
pub struct Flows {
    flows: Slab<Flow>,
    numbers: HashMap<Key, usize>,
    /// How many flows come from an address that has a route.
    clients: HashMap<(IpAddr, IpAddr), usize>,
    most: usize,
    next_look: Option<Instant>,
    buffer: Vec<u8>,
}

impl Flows {
    /// At most so many at a time.
    pub fn new(most: usize) -> Self {
        Self {
            flows: Slab::default(),
            numbers: HashMap::new(),
            clients: HashMap::new(),
            most,
            next_look: None,
            buffer: Vec::new(),
        }
    }

    /// Passes on what has come from clients. `watch` gets the sockets of new
    /// flows and their numbers.
    pub fn hear_clients(
        &mut self,
        (number, listener): (usize, &Listener),
        dialer: &Dialer,
        mut watch: impl FnMut(BorrowedFd<'_>, usize) -> Result<()>,
    ) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(1 << 16, 0);
        for _ in 0..TURN {
            match receive(listener, &mut buffer) {
                Ok((length, Some((client, host)))) => {
                    let host = host.filter(|_| listener.bound.ip().is_unspecified());
                    let key = Key { listener: number, client, host };
                    // What can't be passed on is lost, as in any network.
                    if let Ok(at) = self.flow(key, listener.container, dialer, &mut watch)
                        && let Some(flow) = self.flows.get_mut(at)
                    {
                        flow.heard = Instant::now();
                        flow.pass_on(&buffer[..length]);
                    }
                }
                Ok((_, None)) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        self.buffer = buffer;
    }

    /// Passes on what has come from the service of a flow.
    pub fn hear_service(&mut self, at: usize, listeners: &Listeners) {
        let Some(flow) = self.flows.get_mut(at) else { return };
        self.buffer.resize(1 << 16, 0);
        for _ in 0..TURN {
            let length = match recv(flow.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => length,
                // Nobody has that port: what was sent before is lost.
                Err(Errno::EINTR | Errno::ECONNREFUSED) => continue,
                Err(_) => return,
            };
            flow.heard = Instant::now();
            flow.answered = true;
            if let Some(listener) = listeners.get(flow.key.listener) {
                let _ = answer(listener.as_fd(), &self.buffer[..length], flow.key);
            }
        }
    }

    /// When the next flow may be over.
    pub fn until(&self) -> Option<Instant> {
        self.next_look
    }

    /// Ends the flows in which nothing has been said for long.
    pub fn expire(&mut self, now: Instant, dialer: &Dialer) {
        if self.next_look.is_none_or(|look| look > now) {
            return;
        }
        let silent = |flow: &Flow| now.saturating_duration_since(flow.heard) >= flow.patience();
        let over: Vec<_> = self.flows.iter().filter(|(_, flow)| silent(flow)).collect();
        let over: Vec<usize> = over.into_iter().map(|(at, _)| at).collect();
        over.into_iter().for_each(|at| self.end(at, dialer));
        self.next_look = self.flows.iter().map(|(_, flow)| flow.heard + flow.patience()).min();
    }

    /// Ends all flows of a listener.
    pub fn end_all_of(&mut self, listener: usize, dialer: &Dialer) {
        let of_it = self.flows.iter().filter(|(_, flow)| flow.key.listener == listener);
        let of_it: Vec<usize> = of_it.map(|(at, _)| at).collect();
        of_it.into_iter().for_each(|at| self.end(at, dialer));
    }

    /// Lets the numbers of flows that are over be given again.
    pub fn reuse(&mut self) {
        self.flows.reuse();
    }

    /// The number of a flow, which is made if there is none.
    fn flow(
        &mut self,
        key: Key,
        container: u16,
        dialer: &Dialer,
        watch: impl FnOnce(BorrowedFd<'_>, usize) -> Result<()>,
    ) -> Result<usize> {
        if let Some(at) = self.numbers.get(&key) {
            return Ok(*at);
        }
        if self.flows.len() >= self.most {
            let oldest = self.flows.iter().min_by_key(|(_, flow)| flow.heard).map(|(at, _)| at);
            oldest.into_iter().for_each(|at| self.end(at, dialer));
        }
        let mut last = Errno::EADDRNOTAVAIL;
        for way in dialer.ways(key.client, container) {
            let socket = match way.connect(Protocol::Udp) {
                Ok(socket) => socket,
                Err(errno) => {
                    last = errno;
                    continue;
                }
            };
            let users = self.clients.entry(way.key()).or_insert(0);
            if *users == 0 {
                dialer.client(Change::Add, &way)?;
            }
            *users += 1;
            let heard = Instant::now();
            let at = self.flows.insert(Flow { key, socket, way, heard, answered: false });
            self.numbers.insert(key, at);
            self.next_look.get_or_insert(heard + UNANSWERED);
            if let Some(flow) = self.flows.get_mut(at)
                && let Err(errno) = watch(flow.socket.as_fd(), at)
            {
                self.end(at, dialer);
                return Err(errno);
            }
            return Ok(at);
        }
        Err(last)
    }

    fn end(&mut self, at: usize, dialer: &Dialer) {
        let Some(flow) = self.flows.remove(at) else { return };
        self.numbers.remove(&flow.key);
        let client = flow.way.key();
        if let Some(users) = self.clients.get_mut(&client) {
            *users -= 1;
            if *users == 0 {
                self.clients.remove(&client);
                // It stays for a client that nobody hears of any more.
                let _ = dialer.client(Change::Remove, &flow.way);
            }
        }
    }
}

impl Way {
    /// What a route back is for.
    fn key(&self) -> (IpAddr, IpAddr) {
        (self.from.map_or(self.to, |from| from).ip(), self.to.ip())
    }
}

impl Flow {
    fn patience(&self) -> Duration {
        if self.answered { ANSWERED } else { UNANSWERED }
    }

    fn pass_on(&self, datagram: &[u8]) {
        let send = || send(self.socket.as_raw_fd(), datagram, MsgFlags::empty());
        // The error is about one that was sent before.
        if send() == Err(Errno::ECONNREFUSED) {
            let _ = send();
        }
    }
}

/// Who has sent a datagram, and to which of our addresses.
type Sender = (SocketAddr, Option<IpAddr>);

/// The next datagram: its length, and whence, if that is known.
fn receive(listener: &Listener, buffer: &mut [u8]) -> Result<(usize, Option<Sender>)> {
    let mut control = nix::cmsg_space!(libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let socket = listener.as_fd().as_raw_fd();
    let message = recvmsg(socket, &mut parts, Some(&mut control), MsgFlags::empty())?;
    let host = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::from(Ipv4Addr::from_bits(u32::from_be(info.ipi_spec_dst.s_addr))))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
        _ => None,
    });
    let client = message.address.as_ref().and_then(|name: &SockaddrStorage| address::of(name));
    Ok((message.bytes, client.map(|client| (client, host))))
}

/// Sends a client what the service says, from the address that it knows.
fn answer(listener: BorrowedFd<'_>, datagram: &[u8], to: Key) -> Result<usize> {
    let parts = [IoSlice::new(datagram)];
    let name = SockaddrStorage::from(to.client);
    let send = |control: &[ControlMessage<'_>]| {
        sendmsg(listener.as_raw_fd(), &parts, control, MsgFlags::empty(), Some(&name))
    };
    match to.host {
        Some(IpAddr::V4(ip)) => {
            let ipi_spec_dst = libc::in_addr { s_addr: ip.to_bits().to_be() };
            let ipi_addr = libc::in_addr { s_addr: 0 };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr };
            send(&[ControlMessage::Ipv4PacketInfo(&info)])
        }
        Some(IpAddr::V6(ip)) => {
            let ipi6_addr = libc::in6_addr { s6_addr: ip.octets() };
            let info = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 };
            send(&[ControlMessage::Ipv6PacketInfo(&info)])
        }
        None => send(&[]),
    }
}
