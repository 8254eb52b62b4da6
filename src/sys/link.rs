//! This process's network namespace and its interfaces: netdevice(7).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{Result, call};

/// The namespace that a socket belongs to, as a descriptor; `linux/sockios.h`,
/// from Linux 4.10.
const SIOCGSKNS: libc::c_ulong = 0x894c;

/// Brings the loopback interface up; the kernel then gives it its addresses.
/// The descriptor is the namespace's, as setns(2) takes it.
pub fn loopback_up() -> Result<OwnedFd> {
    // SAFETY: socket(2) takes numbers; the answer is a new descriptor.
    let socket = unsafe {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        OwnedFd::from_raw_fd(call!(libc::SYS_socket, libc::AF_INET, kind, 0)? as i32)
    };
    // SAFETY: `ifreq` is plain bytes and numbers for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq: the name, terminated by the zeroes
    // above, and the flags.
    unsafe { call!(libc::SYS_ioctl, socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request)? };
    // Asked of the socket, so that no procfs is needed.
    // SAFETY: takes a number; the answer is a new descriptor.
    unsafe {
        let namespace = call!(libc::SYS_ioctl, socket.as_raw_fd(), SIOCGSKNS, 0)?;
        Ok(OwnedFd::from_raw_fd(namespace as i32))
    }
}
