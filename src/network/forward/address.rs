//! Addresses between the kernel's form and Rust's.

use std::net::SocketAddr;

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage};

/// The address, if it is one of IP. One of IPv4 in disguise, as sockets that
/// somebody has handed to us may have, is taken as what it is.
pub fn of(name: &SockaddrStorage) -> Option<SocketAddr> {
    let address = match name.family()? {
        AddressFamily::Inet => SocketAddr::from(*name.as_sockaddr_in()?),
        AddressFamily::Inet6 => SocketAddr::from(*name.as_sockaddr_in6()?),
        _ => return None,
    };
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}
