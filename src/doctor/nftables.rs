//! One table of nftables, to see whether it can be made: netlink(7),
//! `linux/netfilter/nfnetlink.h` and `nf_tables.h`.

use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

use crate::sys::{Errno, Result, fd};

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_NEWTABLE: u16 = 0;
const NFTA_TABLE_NAME: u16 = 1;
const NFPROTO_IPV4: u8 = 2;

/// Makes a table in the network namespace that we are in.
///
/// # Errors
/// What the kernel answers.
pub fn make_table() -> Result<()> {
    let family = AddressFamily::Netlink;
    let protocol = SockProtocol::NetlinkNetFilter;
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    send(socket.as_raw_fd(), &batch(), MsgFlags::empty())?;
    // The kernel has answered by now: it does the work while we send.
    let mut answer = [0; 1024];
    while fd::wait_readable([socket.as_fd()], fd::Patience::Moment)? == [true] {
        let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        match verdict(&answer[..length]) {
            Some(0) => return Ok(()),
            Some(errno) => return Err(Errno::from_raw(errno)),
            None => {}
        }
    }
    Err(Errno::ETIMEDOUT)
}

/// The errno of the first answer.
fn verdict(bytes: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let errno = i32::from_ne_bytes(bytes.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(errno.wrapping_neg())
}

/// A begin, the table, an end.
fn batch() -> Vec<u8> {
    let fence = |kind| message(kind, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES, &[]);
    let name = b"sublet\0";
    let mut attribute = Vec::new();
    attribute.extend((4 + name.len() as u16).to_ne_bytes());
    attribute.extend(NFTA_TABLE_NAME.to_ne_bytes());
    attribute.extend(name);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    let kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE;
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
    let table = message(kind, flags, NFPROTO_IPV4, 0, &attribute);
    [fence(NFNL_MSG_BATCH_BEGIN), table, fence(NFNL_MSG_BATCH_END)].concat()
}

/// A header of netlink, one of nfnetlink, and attributes.
fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((20 + attributes.len() as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_their_lengths() {
        let bytes = batch();
        let mut rest = bytes.as_slice();
        let mut kinds = Vec::new();
        while !rest.is_empty() {
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            kinds.push(u16::from_ne_bytes(rest[4..6].try_into().unwrap()));
            rest = &rest[length.next_multiple_of(4)..];
        }
        assert_eq!(kinds, [16, 0x0a00, 17]);
        assert_eq!(verdict(&[]), None);
        let mut refused = vec![0; 36];
        refused[4] = 2;
        refused[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(verdict(&refused), Some(1));
    }
}
