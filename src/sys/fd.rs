//! Descriptors: reading, writing, moving, closing without a Rust file.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Result, call};

/// Writes once: how many bytes were taken.
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the kernel reads as many bytes as the slice has.
    unsafe { Ok(call!(libc::SYS_write, fd.as_raw_fd(), bytes.as_ptr(), bytes.len())? as usize) }
}

/// Reads once: how many bytes came, 0 at the end.
pub fn read(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most as many bytes as the slice has.
    unsafe { Ok(call!(libc::SYS_read, fd.as_raw_fd(), bytes.as_mut_ptr(), bytes.len())? as usize) }
}

/// Makes the directory behind `fd` the current one.
pub fn change_directory(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: a number only.
    unsafe { call!(libc::SYS_fchdir, fd.as_raw_fd())? };
    Ok(())
}

/// Whether any of the descriptors can be read or has hung up; waits for it if
/// told to. poll(2).
pub fn wait_readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    patience: Patience,
) -> Result<[bool; N]> {
    let mut polled =
        fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let nanos = match patience {
        Patience::None => 0,
        Patience::Moment => 2_000_000,
        Patience::Seconds => 5_000_000_000,
        Patience::Nanos(nanos) => nanos,
        Patience::Endless => 0,
    };
    let time = libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as _,
        tv_nsec: (nanos % 1_000_000_000) as _,
    };
    let limit = match patience {
        Patience::Endless => std::ptr::null(),
        _ => &raw const time,
    };
    // SAFETY: the kernel reads and writes as many structures as there are, and
    // reads the time, if there is one.
    unsafe { call!(libc::SYS_ppoll, polled.as_mut_ptr(), N, limit, 0, 0)? };
    Ok(polled.map(|polled| polled.revents != 0))
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    None,
    /// Two milliseconds.
    Moment,
    /// Five seconds: as long as a process that has only to go on may take.
    Seconds,
    /// So many nanoseconds.
    Nanos(u64),
    /// As long as it takes.
    Endless,
}

/// Waits at most `milliseconds` for news of a file of a kernel file system that
/// tells them (`POLLPRI`), since it was last read through this descriptor: true
/// if there are any. poll(2).
pub fn wait_news(fd: BorrowedFd<'_>, milliseconds: u64) -> Result<bool> {
    let mut polled = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
    let limit = libc::timespec {
        tv_sec: (milliseconds / 1000) as _,
        tv_nsec: (milliseconds % 1000 * 1_000_000) as _,
    };
    // SAFETY: the kernel reads and writes one structure and reads the time.
    unsafe { call!(libc::SYS_ppoll, &raw mut polled, 1, &raw const limit, 0, 0)? };
    Ok(polled.revents != 0)
}

/// Reads once from the byte `offset` on, wherever the file stands; pread(2).
pub fn read_at(fd: BorrowedFd<'_>, bytes: &mut [u8], offset: u64) -> Result<usize> {
    // SAFETY: the kernel writes at most as many bytes as the slice has.
    unsafe {
        let (data, length) = (bytes.as_mut_ptr(), bytes.len());
        Ok(call!(libc::SYS_pread64, fd.as_raw_fd(), data, length, offset)? as usize)
    }
}

/// Goes back to the beginning of a file; lseek(2).
pub fn rewind(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_lseek, fd.as_raw_fd(), 0, libc::SEEK_SET)? };
    Ok(())
}

/// Takes away all that is in a file; ftruncate(2).
pub fn empty(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_ftruncate, fd.as_raw_fd(), 0)? };
    Ok(())
}

/// Locks an open file or directory for as long as this opening of it lasts, in
/// whatever process; false where somebody else has it. flock(2).
pub fn try_lock(fd: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: numbers only.
    match unsafe { call!(libc::SYS_flock, fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } {
        Ok(_) => Ok(true),
        Err(super::Errno::EWOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Writes all of `bytes`.
pub fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write(fd, bytes) {
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
    stream_with_descriptor(socket, bytes, fd).map(drop)
}

/// The same through one of a stream: how many bytes went.
pub fn stream_with_descriptor(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fd: BorrowedFd<'_>,
) -> Result<usize> {
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
        let flags = libc::MSG_NOSIGNAL;
        let sent = call!(libc::SYS_sendmsg, socket.as_raw_fd(), &raw const message, flags)?;
        Ok(sent as usize)
    }
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
        // Without the padding, in which another descriptor would find room.
        message.msg_controllen = libc::CMSG_LEN(size_of::<libc::c_int>() as u32) as _;
        let flags = libc::MSG_CMSG_CLOEXEC;
        let length = call!(libc::SYS_recvmsg, socket.as_raw_fd(), &raw mut message, flags)?;
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
    // SAFETY: neither call touches memory. `target` is one of 0, 1 and 2, which no
    // `OwnedFd` of this program stands for.
    unsafe {
        if fd.as_raw_fd() == target {
            call!(libc::SYS_fcntl, target, libc::F_SETFD, 0)?;
        } else {
            call!(libc::SYS_dup3, fd.as_raw_fd(), target, 0)?;
        }
    }
    Ok(())
}

/// Lets a descriptor be inherited by the next exec.
pub fn keep_across_exec(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_fcntl, fd.as_raw_fd(), libc::F_SETFD, 0)? };
    Ok(())
}

/// Marks every descriptor from `first` upwards to be closed by the next exec,
/// whoever opened it and however; close_range(2).
pub fn close_from_on_exec(first: u32) -> Result<()> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes one descriptor of this process's table.
///
/// # Safety
///
/// No `OwnedFd` of it may be used or dropped in this process afterwards.
pub unsafe fn close(number: RawFd) {
    // SAFETY: a number only; the rest is promised by the caller.
    let _ = unsafe { call!(libc::SYS_close, number) };
}

/// Closes every descriptor from `first` to `last`.
///
/// # Safety
///
/// No `OwnedFd` of a closed descriptor may be used or dropped afterwards.
pub unsafe fn close_all(first: u32, last: u32) -> Result<()> {
    close_range(first, last, 0)
}

/// Closes every descriptor but those in `kept`, which it sorts.
///
/// # Safety
///
/// As [`close_all`].
pub unsafe fn close_all_but(kept: &mut [RawFd]) {
    // SAFETY: promised by the caller.
    unsafe { close_all_from(0, kept) }
}

/// The same for those from `first` upwards.
///
/// # Safety
///
/// As [`close_all`].
pub unsafe fn close_all_from(first: u32, kept: &mut [RawFd]) {
    kept.sort_unstable();
    let mut first = first;
    for number in kept.iter().map(|number| *number as u32) {
        if number > first {
            // SAFETY: promised by the caller.
            let _ = unsafe { close_all(first, number - 1) };
        }
        first = first.max(number + 1);
    }
    // SAFETY: promised by the caller.
    let _ = unsafe { close_all(first, u32::MAX) };
}

/// Another descriptor for what the number `number` refers to, if it is open.
pub fn duplicate(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: numbers only; the answer is a new descriptor.
    unsafe {
        let fd = call!(libc::SYS_fcntl, number, libc::F_DUPFD_CLOEXEC, 3)?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> Result<()> {
    // SAFETY: touches no memory. With CLOEXEC nothing is closed yet; without
    // it the caller of `close_all` has promised that nobody is left to care.
    unsafe { call!(libc::SYS_close_range, first, last, flags)? };
    Ok(())
}

/// Whether a descriptor of this number is open.
pub fn is_open(number: u32) -> bool {
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_fcntl, number, libc::F_GETFD).is_ok() }
}

/// The calling process's descriptor 0, 1 or 2, borrowed.
pub fn standard(number: RawFd) -> BorrowedFd<'static> {
    debug_assert!((0..=2).contains(&number));
    // SAFETY: the standard descriptors are open for the life of the program
    // (Rust's runtime opens /dev/null for those that were not) and are never
    // closed by it.
    unsafe { BorrowedFd::borrow_raw(number) }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    use nix::fcntl::OFlag;
    use nix::sys::socket::{
        AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
    };

    use super::super::Errno;
    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC;
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
    }

    /// Whoever sends several does not fill our table with them.
    #[test]
    fn one_descriptor_comes_and_no_other_stays() {
        let (ours, theirs) = pair();
        let (read_end, write_end) =
            nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
        let sent = [write_end.as_raw_fd(); 3];
        let control = [ControlMessage::ScmRights(&sent)];
        let part = [IoSlice::new(b"x")];
        sendmsg::<()>(theirs.as_raw_fd(), &part, &control, MsgFlags::empty(), None).unwrap();
        let mut packet = [0; 8];
        let (length, came) = receive(ours.as_fd(), &mut packet).unwrap();
        assert_eq!((&packet[..length], came.is_some()), (&b"x"[..], true));
        drop((came, write_end));
        // A child of another test may have a copy until its exec.
        let until = Instant::now() + Duration::from_secs(10);
        let mut left = read(read_end.as_fd(), &mut packet);
        while left == Err(Errno::EAGAIN) && Instant::now() < until {
            left = read(read_end.as_fd(), &mut packet);
        }
        assert_eq!(left, Ok(0), "somebody can write to it still");
    }
}
