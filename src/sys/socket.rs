//! What `nix` has no safe name for: accept4(2), ipv6(7); and listen(2), where it
//! takes no more than the C library's SOMAXCONN, which is 128 with musl.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{SockaddrLike, SockaddrStorage};

use super::{Errno, Result, call};

/// Lets clients wait: as many as `backlog`, if the kernel's
/// net.core.somaxconn is not less. listen(2).
pub fn listen(socket: BorrowedFd<'_>, backlog: i32) -> Result<()> {
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_listen, socket.as_raw_fd(), backlog)? };
    Ok(())
}

/// A socket of TCP that listens at an address of IPv4, and does not block:
/// socket(2), bind(2), listen(2), without the heap.
pub fn listening(address: [u8; 4], port: u16, backlog: i32) -> Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: numbers only; the answer is a new descriptor.
    let socket = unsafe {
        let made = call!(libc::SYS_socket, libc::AF_INET, kind, 0)?;
        OwnedFd::from_raw_fd(made as i32)
    };
    let name = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address) },
        sin_zero: [0; 8],
    };
    // SAFETY: the kernel reads one address of the size given.
    unsafe { call!(libc::SYS_bind, socket.as_raw_fd(), &raw const name, size_of_val(&name))? };
    listen(socket.as_fd(), backlog)?;
    Ok(socket)
}

/// A socket for datagrams with a name in the current directory: socket(2),
/// bind(2), unix(7), without the heap.
///
/// # Errors
/// `ENAMETOOLONG`, and what bind(2) says.
pub fn datagrams_at(name: &CStr) -> Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: numbers only; the answer is a new descriptor.
    let socket = unsafe {
        let made = call!(libc::SYS_socket, libc::AF_UNIX, kind, 0)?;
        OwnedFd::from_raw_fd(made as i32)
    };
    // SAFETY: plain numbers, for which zero is a value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let name = name.to_bytes_with_nul();
    if name.len() > address.sun_path.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    for (place, byte) in address.sun_path.iter_mut().zip(name) {
        *place = *byte as libc::c_char;
    }
    let size = size_of_val(&address);
    // SAFETY: the kernel reads one address of the size given.
    unsafe { call!(libc::SYS_bind, socket.as_raw_fd(), &raw const address, size)? };
    Ok(socket)
}

/// Lets the next client in: a socket that does not block, and its address.
///
/// # Errors
/// What accept4(2) says.
pub fn accept(listener: BorrowedFd<'_>) -> Result<(OwnedFd, SockaddrStorage)> {
    // SAFETY: plain numbers, for which zero is a value.
    let mut name: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&name) as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let (at, number) = (&raw mut name, listener.as_raw_fd());
    // SAFETY: the kernel writes as much of an address as there is room for, and
    // its length. The answer is a new descriptor.
    unsafe {
        let socket = call!(libc::SYS_accept4, number, at, &raw mut length, flags)?;
        let socket = OwnedFd::from_raw_fd(socket as i32);
        let name = SockaddrStorage::from_raw(at.cast(), Some(length)).ok_or(Errno::EAFNOSUPPORT)?;
        Ok((socket, name))
    }
}

/// Lets the next client in, whoever it is, and waits for one; the socket does
/// block. accept4(2).
pub fn accept_anybody(listener: BorrowedFd<'_>) -> Result<OwnedFd> {
    // SAFETY: no address is asked for; the answer is a new descriptor.
    unsafe {
        let number = listener.as_raw_fd();
        let socket = call!(libc::SYS_accept4, number, 0, 0, libc::SOCK_CLOEXEC)?;
        Ok(OwnedFd::from_raw_fd(socket as i32))
    }
}

/// Sets an option whose value is a number; setsockopt(2).
fn set(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> Result<()> {
    let (value, size) = (&raw const value, size_of::<i32>());
    // SAFETY: the kernel reads one int.
    unsafe { call!(libc::SYS_setsockopt, socket.as_raw_fd(), level, name, value, size)? };
    Ok(())
}

/// Lets an IPv6 socket have an address of others; it takes CAP_NET_RAW.
pub fn transparent6(socket: BorrowedFd<'_>) -> Result<()> {
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT, 1)
}

/// Leaves IPv4 to other sockets.
pub fn only6(socket: BorrowedFd<'_>) -> Result<()> {
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)
}
