//! Terminals: ioctl_tty(2), pts(4).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::termios::Termios;

use super::{Result, call};

/// `TIOCGPTPEER`: the other end of a pty by descriptor, so that no path, which
/// a container could have put something else at, is looked up (ioctl_tty(2)).
const TIOCGPTPEER: libc::c_ulong = 0x5441;

/// Opens the terminal side of the pty whose `master` this is.
pub fn open_peer(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    let unlock: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int; TIOCGPTPEER takes open(2) flags by
    // value and answers with a new descriptor.
    unsafe {
        call!(libc::SYS_ioctl, master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock)?;
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let fd = call!(libc::SYS_ioctl, master.as_raw_fd(), TIOCGPTPEER, flags)?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// The number of a pty, its name in `/dev/pts`.
pub fn pty_number(master: BorrowedFd<'_>) -> Result<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: TIOCGPTN writes one unsigned int.
    unsafe { call!(libc::SYS_ioctl, master.as_raw_fd(), libc::TIOCGPTN, &raw mut number)? };
    Ok(number)
}

/// Makes the terminal the controlling one of this session's leader.
pub fn make_controlling(terminal: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: TIOCSCTTY takes a number: 0, do not steal it from another.
    unsafe { call!(libc::SYS_ioctl, terminal.as_raw_fd(), libc::TIOCSCTTY, 0)? };
    Ok(())
}

/// Gives one terminal the window size of another.
pub fn copy_size(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: both calls work on the one `winsize`, plain numbers.
    unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        call!(libc::SYS_ioctl, from.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size)?;
        call!(libc::SYS_ioctl, to.as_raw_fd(), libc::TIOCSWINSZ, &raw const size)?;
    }
    Ok(())
}

/// Whether the descriptor is a terminal.
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    nix::unistd::isatty(fd).unwrap_or(false)
}

/// A terminal in raw mode; its former mode comes back when this is dropped.
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Puts the terminal into raw mode: every key goes through unread.
    pub fn enter(terminal: BorrowedFd<'_>) -> Result<Self> {
        use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
        let terminal = terminal.try_clone_to_owned().map_err(|_| super::Errno::last())?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&terminal, SetArg::TCSANOW, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        use nix::sys::termios::{SetArg, tcsetattr};
        // Nothing can be done about a terminal that has gone away.
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
    }
}
