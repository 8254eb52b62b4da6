//! What closes the address at which slirp4netns passes questions for names on.
//!
//! With libslirp 4.7 only questions for names pass. Earlier ones pass on what
//! is sent to any port, and where the host's resolver listens on the host's
//! loopback, to all else that listens there (slirp4netns(1)). So rules of the
//! container's network namespace let packets go there for names only,
//! whatever passes them on. They are made before there is a tap.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Requests for rtnetlink(7), one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// The messages.
    pub bytes: Vec<u8>,
    /// How many there are; each is answered.
    pub count: usize,
}

/// The address for names of IPv6 that slirp4netns has; it can't be chosen.
const IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3);

/// The port for names.
const NAMES: u16 = 53;

// linux/rtnetlink.h, linux/netlink.h and linux/fib_rules.h.
const RTM_NEWRULE: u16 = 32;
const NLM_F_REQUEST_ACK_CREATE_EXCL: u16 = 0x1 | 0x4 | 0x400 | 0x200;
const FRA_DST: u16 = 1;
const FRA_PRIORITY: u16 = 6;
const FRA_IP_PROTO: u16 = 22;
const FRA_DPORT_RANGE: u16 = 24;
const TO_TABLE: u8 = 1;
const PROHIBIT: u8 = 8;
const MAIN: u8 = 254;
const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Lets packets to `resolver` go for names only, and none to its kin of IPv6.
pub fn but_for_names(resolver: Ipv4Addr) -> Requests {
    let mut requests = Requests::default();
    let to = resolver.octets();
    for (priority, protocol) in [(100, UDP), (101, TCP)] {
        let port = [NAMES.to_ne_bytes(), NAMES.to_ne_bytes()].concat();
        let only = [(FRA_IP_PROTO, &[protocol][..]), (FRA_DPORT_RANGE, &port)];
        requests.add(INET, &to, priority, (TO_TABLE, MAIN), &only);
    }
    requests.add(INET, &to, 102, (PROHIBIT, 0), &[]);
    requests.add(INET6, &IPV6.octets(), 102, (PROHIBIT, 0), &[]);
    requests
}

impl Requests {
    /// One rule: what goes `to` an address, and is what `only` says, is looked
    /// up in a table or prohibited.
    fn add(
        &mut self,
        family: u8,
        to: &[u8],
        priority: u32,
        (action, table): (u8, u8),
        only: &[(u16, &[u8])],
    ) {
        let body = vec![family, to.len() as u8 * 8, 0, 0, table, 0, 0, action, 0, 0, 0, 0];
        let priority = priority.to_ne_bytes();
        let first = [(FRA_DST, to), (FRA_PRIORITY, &priority[..])];
        self.push(RTM_NEWRULE, body, &[&first, only].concat());
    }

    /// One request to make something: what is told of it, and its attributes.
    pub(super) fn push(&mut self, kind: u16, mut body: Vec<u8>, attributes: &[(u16, &[u8])]) {
        for (kind, value) in attributes {
            let length = 4 + value.len() as u16;
            body.extend(length.to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.count += 1;
        let length = 16 + body.len() as u32;
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(NLM_F_REQUEST_ACK_CREATE_EXCL.to_ne_bytes());
        self.bytes.extend((self.count as u32).to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_the_kernel_reads_it() {
        let requests = but_for_names(Ipv4Addr::new(10, 0, 2, 3));
        assert_eq!(requests.count, 4);
        let mut rest = requests.bytes.as_slice();
        for _ in 0..requests.count {
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            assert_eq!(length % 4, 0);
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        if cfg!(target_endian = "little") {
            let first: [&[u8]; 7] = [
                &[60, 0, 0, 0, 32, 0, 5, 6, 1, 0, 0, 0, 0, 0, 0, 0],
                &[2, 32, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0],
                &[8, 0, 1, 0, 10, 0, 2, 3],
                &[8, 0, 6, 0, 100, 0, 0, 0],
                &[5, 0, 22, 0, 17, 0, 0, 0],
                &[8, 0, 24, 0, 53, 0, 53, 0],
                &[],
            ];
            assert_eq!(requests.bytes[..60], first.concat());
        }
    }
}
