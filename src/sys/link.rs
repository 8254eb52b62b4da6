//! This process's network namespace and its interfaces: netdevice(7).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Errno, Result, call, fd};

/// The namespace that a socket belongs to, as a descriptor; `linux/sockios.h`,
/// from Linux 4.10.
const SIOCGSKNS: libc::c_ulong = 0x894c;

/// The user namespace that owns a namespace, as a descriptor; ioctl_ns(2).
const NS_GET_USERNS: libc::c_ulong = 0xb701;

/// The kind of a namespace, `CLONE_NEW*`, and the uid of who made a user
/// namespace; ioctl_ns(2).
const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
const NS_GET_OWNER_UID: libc::c_ulong = 0xb704;

/// Brings the loopback interface up; the kernel then gives it its addresses.
/// The descriptor is the namespace's, as setns(2) takes it.
pub fn loopback_up() -> Result<OwnedFd> {
    let (socket, mut request) = (socket()?, named(b"lo"));
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq: the name, terminated, and the
    // flags.
    unsafe { call!(libc::SYS_ioctl, socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request)? };
    // Asked of the socket, so that no procfs is needed.
    // SAFETY: takes a number; the answer is a new descriptor.
    unsafe {
        let namespace = call!(libc::SYS_ioctl, socket.as_raw_fd(), SIOCGSKNS, 0)?;
        Ok(OwnedFd::from_raw_fd(namespace as i32))
    }
}

/// The longest packet that an interface takes, in bytes.
pub fn mtu(interface: &str) -> Result<u32> {
    let (socket, mut request) = (socket()?, named(interface.as_bytes()));
    // SAFETY: SIOCGIFMTU reads one ifreq, its name terminated, and writes the
    // number into it.
    let mtu = unsafe {
        call!(libc::SYS_ioctl, socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request)?;
        request.ifr_ifru.ifru_mtu
    };
    u32::try_from(mtu).map_err(|_| Errno::ERANGE)
}

fn socket() -> Result<OwnedFd> {
    // SAFETY: socket(2) takes numbers; the answer is a new descriptor.
    unsafe {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        Ok(OwnedFd::from_raw_fd(call!(libc::SYS_socket, libc::AF_INET, kind, 0)? as i32))
    }
}

/// A request about the interface of that name, as much of it as a name may
/// have: terminated by a zero in any case.
fn named(name: &[u8]) -> libc::ifreq {
    // SAFETY: `ifreq` is plain bytes and numbers for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (place, byte) in request.ifr_name[..room].iter_mut().zip(name) {
        *place = *byte as libc::c_char;
    }
    request
}

/// Has the kernel answer requests about routes and rules of this process's
/// network namespace, one after another: the first error. rtnetlink(7).
pub fn request(requests: &[u8], mut count: usize) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    // SAFETY: socket(2) takes numbers; the answer is a new descriptor.
    let socket = unsafe {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let made = call!(libc::SYS_socket, libc::AF_NETLINK, kind, libc::NETLINK_ROUTE)?;
        OwnedFd::from_raw_fd(made as i32)
    };
    fd::write(socket.as_fd(), requests)?;
    let mut answers = [0; 4096];
    while count > 0 {
        let length = fd::read(socket.as_fd(), &mut answers)?;
        let mut rest = answers.get(..length).unwrap_or_default();
        // A header of sixteen bytes that begins with the length of all, and the
        // errno, negative, or zero (netlink(7), NLMSG_ERROR).
        while let (Some(length), Some(errno)) = (number(rest, 0), number(rest, 16)) {
            if errno != 0 {
                return Err(Errno::from_raw(errno.wrapping_neg()));
            }
            count = count.saturating_sub(1);
            let next = (length as usize).next_multiple_of(4).max(20);
            rest = rest.get(next..).unwrap_or_default();
        }
    }
    Ok(())
}

fn number(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The user namespace that owns the namespace behind a descriptor. It must be
/// ours or one below, else `EPERM`.
pub fn owner(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    // SAFETY: takes no memory; the answer is a new descriptor.
    unsafe {
        let owner = call!(libc::SYS_ioctl, namespace.as_raw_fd(), NS_GET_USERNS, 0)?;
        Ok(OwnedFd::from_raw_fd(owner as i32))
    }
}

/// The kind of the namespace behind a descriptor, `CLONE_NEW*`; `ENOTTY` where
/// it is none.
pub fn kind(namespace: BorrowedFd<'_>) -> Result<i32> {
    // SAFETY: takes no memory; the answer is a number.
    unsafe { Ok(call!(libc::SYS_ioctl, namespace.as_raw_fd(), NS_GET_NSTYPE, 0)? as i32) }
}

/// The uid of who made the user namespace behind a descriptor, as it is called
/// here.
pub fn maker(user_namespace: BorrowedFd<'_>) -> Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid.
    unsafe {
        call!(libc::SYS_ioctl, user_namespace.as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid)?;
    }
    Ok(uid)
}
