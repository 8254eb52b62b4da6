//! Routes back: what the container sends to a client comes to us, though the
//! client's address is not one of this namespace. rtnetlink(7), ip-rule(8).
//!
//! Two tables beside those that the namespace has. Connections carry a mark,
//! which the kernel hands on to the sockets that accept them
//! (tcp_fwmark_accept): for them all addresses are local. UDP has nothing of
//! the kind: what comes from a published port looks into the second table, and
//! there only the clients of the moment are local, so that the container may
//! still send from that port to everybody else.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::sys::{Errno, Result};

/// What marks our connections. Numbers that nobody has reason to choose.
pub const MARK: u32 = 0x7375_626c;
/// The table in which everything is local.
const ALL: u32 = 0x7375_6200;
/// The table of the clients of UDP.
const CLIENTS: u32 = 0x7375_6201;
/// Between the kernel's own rules, whose first (of what is local) is 0 and the
/// next (main) 32766.
const PRIORITY: u32 = 1000;

/// `linux/fib_rules.h`.
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
const FR_ACT_TO_TBL: u8 = 1;

/// Asks the kernel for routes and rules of the namespace that it was made in.
pub struct Router {
    socket: OwnedFd,
    loopback: u32,
}

/// Whether a route is to be there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is.
    Add,
    /// It is not.
    Remove,
}

impl Router {
    /// Of the present namespace.
    pub fn new() -> Result<Self> {
        let protocol = SockProtocol::NetlinkRoute;
        let kind = SockType::Raw;
        let socket = socket(AddressFamily::Netlink, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
        let loopback = nix::net::if_::if_nametoindex("lo")?;
        Ok(Self { socket, loopback })
    }

    /// Has all that is marked come to us, of the family that an address of the
    /// container's is given of.
    pub fn marked(&self, own: IpAddr) -> Result<()> {
        let mut rule = Message::rule(own, ALL);
        rule.number(FRA_FWMARK, MARK).number(FRA_FWMASK, u32::MAX);
        self.ask(rule)?;
        let mut route = Message::route(Change::Add, own, 0);
        route.number(libc::RTA_TABLE, ALL).number(libc::RTA_OIF, self.loopback);
        self.ask(route)
    }

    /// Has what is sent from these ports of UDP look for clients.
    pub fn ports(&self, own: IpAddr, (first, last): (u16, u16)) -> Result<()> {
        let mut rule = Message::rule(own, CLIENTS);
        rule.attribute(FRA_IP_PROTO, &[libc::IPPROTO_UDP as u8]);
        let [a, b] = first.to_ne_bytes();
        let [c, d] = last.to_ne_bytes();
        rule.attribute(FRA_SPORT_RANGE, &[a, b, c, d]);
        self.ask(rule)
    }

    /// Makes an address that of a client, or not any more. `own` is the address
    /// that the container answers from.
    pub fn client(&self, change: Change, client: IpAddr, own: IpAddr) -> Result<()> {
        let length = if client.is_ipv4() { 32 } else { 128 };
        let mut route = Message::route(change, client, length);
        route.number(libc::RTA_TABLE, CLIENTS).number(libc::RTA_OIF, self.loopback);
        route.address(libc::RTA_DST, client);
        // Else the kernel takes the client's, which is local now.
        route.address(libc::RTA_PREFSRC, own);
        self.ask(route)
    }

    /// What is there already is as good as added, and what is not as removed.
    fn ask(&self, message: Message) -> Result<()> {
        let bytes = message.finish();
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.socket.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())?;
        let mut answer = [0; 1024];
        let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // A header of 16 bytes, then an errno: NLMSG_ERROR, netlink(7).
        let errno = answer[..length].get(16..20).ok_or(Errno::EBADMSG)?;
        match -i32::from_ne_bytes(errno.try_into().map_err(|_| Errno::EBADMSG)?) {
            0 | libc::EEXIST | libc::ESRCH => Ok(()),
            errno => Err(Errno::from_raw(errno)),
        }
    }
}

/// A request, laid out as the kernel reads it.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: i32, body: [u8; 12]) -> Self {
        let mut bytes = vec![0; 4]; // its length, at the end
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(((flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
        bytes.extend([0; 8]); // sequence and port: one question at a time
        bytes.extend(body);
        Self(bytes)
    }

    /// `struct fib_rule_hdr`: look into `table`.
    fn rule(own: IpAddr, table: u32) -> Self {
        let mut body = [0; 12];
        (body[0], body[7]) = (family(own), FR_ACT_TO_TBL);
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut rule = Self::new(libc::RTM_NEWRULE, flags, body);
        rule.number(FRA_PRIORITY, PRIORITY).number(FRA_TABLE, table);
        rule
    }

    /// `struct rtmsg`: addresses with so many bits in common are local.
    fn route(change: Change, destination: IpAddr, bits: u8) -> Self {
        let mut body = [0; 12];
        (body[0], body[1]) = (family(destination), bits);
        (body[5], body[6]) = (libc::RTPROT_STATIC, libc::RT_SCOPE_HOST);
        body[7] = libc::RTN_LOCAL;
        match change {
            Change::Add => {
                Self::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, body)
            }
            Change::Remove => Self::new(libc::RTM_DELROUTE, 0, body),
        }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.0.extend((4 + value.len() as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    fn address(&mut self, kind: u16, ip: IpAddr) -> &mut Self {
        match ip {
            IpAddr::V4(ip) => self.attribute(kind, &ip.octets()),
            IpAddr::V6(ip) => self.attribute(kind, &ip.octets()),
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

fn family(ip: IpAddr) -> u8 {
    (if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_length_and_is_aligned() {
        let mut rule = Message::rule(IpAddr::from([10, 0, 2, 100]), ALL);
        rule.attribute(FRA_IP_PROTO, &[17]);
        let bytes = rule.finish();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len());
        // The last attribute: its length without the padding, its kind, 17.
        let [a, b] = 5_u16.to_ne_bytes();
        let [c, d] = FRA_IP_PROTO.to_ne_bytes();
        assert_eq!(bytes[bytes.len() - 8..], [a, b, c, d, 17, 0, 0, 0]);
    }
}
