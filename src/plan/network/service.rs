//! Where services of the host are reached from inside.
//!
//! At one address of the loopback interface, which leads nowhere else: what
//! listens there are sockets of ours, one for each service, made with the
//! namespace and before anything runs in it.

use std::net::Ipv4Addr;

use super::closed::Requests;

/// The address: link-local (RFC 3927), so that it is nobody's outside, and the
/// one that podman has for the host.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);

// linux/rtnetlink.h and linux/if_addr.h.
const RTM_NEWADDR: u16 = 20;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const INET: u8 = 2;
const SCOPE_HOST: u8 = 254;

/// The number that the loopback interface has in every network namespace.
const LOOPBACK: u32 = 1;

/// Adds the address to the loopback interface. As one of this host alone it is
/// never the source of what goes elsewhere.
pub fn address(requests: &mut Requests) {
    let mut body = vec![INET, 32, 0, SCOPE_HOST];
    body.extend(LOOPBACK.to_ne_bytes());
    let octets = ADDRESS.octets();
    requests.push(RTM_NEWADDR, body, &[(IFA_LOCAL, &octets), (IFA_ADDRESS, &octets)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_request_is_as_the_kernel_reads_it() {
        let mut requests = Requests::default();
        address(&mut requests);
        let parts: [&[u8]; 4] = [
            &[40, 0, 0, 0, 20, 0, 5, 6, 1, 0, 0, 0, 0, 0, 0, 0],
            &[2, 32, 0, 254, 1, 0, 0, 0],
            &[8, 0, 2, 0, 169, 254, 1, 2],
            &[8, 0, 1, 0, 169, 254, 1, 2],
        ];
        assert_eq!((requests.bytes, requests.count), (parts.concat(), 1));
    }
}
