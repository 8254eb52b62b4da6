//! Descriptors: reading, writing, moving, closing without a Rust file.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Result, call, check};

/// Writes all of `bytes`.
pub fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(fd, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(super::Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Room for one descriptor in a control message, aligned as cmsg(3) wants it.
#[repr(C)]
struct ControlBuffer {
    header: libc::cmsghdr,
    descriptor: libc::c_int,
    padding: libc::c_int,
}

/// Sends one packet with a descriptor through a Unix socket; unix(7).
pub fn send_with_descriptor(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fd: BorrowedFd<'_>,
) -> Result<()> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: `cmsghdr` and `msghdr` are numbers and pointers for which zero
    // is a value; CMSG_LEN is arithmetic. The kernel reads `bytes` through
    // `part`, and the control message, which is laid out by its own type.
    unsafe {
        let mut control =
            ControlBuffer { header: std::mem::zeroed(), descriptor: fd.as_raw_fd(), padding: 0 };
        control.header.cmsg_level = libc::SOL_SOCKET;
        control.header.cmsg_type = libc::SCM_RIGHTS;
        control.header.cmsg_len = libc::CMSG_LEN(size_of::<libc::c_int>() as u32) as _;
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<ControlBuffer>() as _;
        check(libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) as _)?;
    }
    Ok(())
}

/// Receives one packet, and the descriptor that came with it. A length of 0 is
/// the end: the other side has closed.
pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: as above; the kernel writes at most `bytes.len()` bytes and one
    // control message into the room given. A descriptor that has arrived is
    // new and owned by nobody.
    unsafe {
        let mut control = ControlBuffer { header: std::mem::zeroed(), descriptor: -1, padding: 0 };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<ControlBuffer>() as _;
        let flags = libc::MSG_CMSG_CLOEXEC;
        let length = check(libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) as _)?;
        let came = message.msg_controllen as usize >= size_of::<libc::cmsghdr>()
            && control.header.cmsg_type == libc::SCM_RIGHTS
            && control.descriptor >= 0;
        let fd = came.then(|| OwnedFd::from_raw_fd(control.descriptor));
        Ok((length as usize, fd))
    }
}

/// Makes `target`, a standard descriptor, refer to what `fd` refers to; it
/// stays open across exec.
pub fn install(fd: BorrowedFd<'_>, target: RawFd) -> Result<()> {
    // SAFETY: dup3 touches no memory. `target` is one of 0, 1 and 2, which no
    // `OwnedFd` of this program stands for.
    unsafe {
        if fd.as_raw_fd() == target {
            check(libc::fcntl(target, libc::F_SETFD, 0).into())?;
        } else {
            check(libc::dup2(fd.as_raw_fd(), target).into())?;
        }
    }
    Ok(())
}

/// Marks every descriptor from `first` upwards to be closed by the next exec,
/// whoever opened it and however; close_range(2).
pub fn close_from_on_exec(first: u32) -> Result<()> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from `first` to `last`.
///
/// # Safety
///
/// No `OwnedFd` of a closed descriptor may be used or dropped afterwards.
pub unsafe fn close_all(first: u32, last: u32) -> Result<()> {
    close_range(first, last, 0)
}

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> Result<()> {
    // SAFETY: touches no memory. With CLOEXEC nothing is closed yet; without
    // it the caller of `close_all` has promised that nobody is left to care.
    unsafe { call!(libc::SYS_close_range, first, last, flags)? };
    Ok(())
}

/// The calling process's descriptor 0, 1 or 2, borrowed.
pub fn standard(number: RawFd) -> BorrowedFd<'static> {
    debug_assert!((0..=2).contains(&number));
    // SAFETY: the standard descriptors are open for the life of the program
    // (Rust's runtime opens /dev/null for those that were not) and are never
    // closed by it.
    unsafe { BorrowedFd::borrow_raw(number) }
}
