//! Terminals: ioctl_tty(2), pts(4).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
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

/// How many letters a line of a terminal has; `None` for what is no terminal,
/// or one that does not say.
pub fn width(fd: BorrowedFd<'_>) -> Option<u16> {
    size(fd).map(|(_, columns)| columns)
}

/// Rows and columns of a terminal; `None` as above.
pub fn size(fd: BorrowedFd<'_>) -> Option<(u16, u16)> {
    // SAFETY: `winsize` is plain numbers, of which zero is a value; the kernel
    // writes one.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        call!(libc::SYS_ioctl, fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size).ok()?;
        size
    };
    (size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Gives a terminal a window of so many rows and columns.
pub fn set_size(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one such structure.
    unsafe { call!(libc::SYS_ioctl, terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size)? };
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
    raw: Termios,
}

impl RawMode {
    /// Puts the terminal into raw mode: every key goes through unread. A
    /// background job is stopped by the kernel first, until it is brought to
    /// the foreground (termios(3), SIGTTOU).
    pub fn enter(terminal: BorrowedFd<'_>) -> Result<Self> {
        use nix::sys::termios::{cfmakeraw, tcgetattr};
        let terminal = terminal.try_clone_to_owned().map_err(|_| super::Errno::last())?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        set_modes(terminal.as_fd(), &raw)?;
        Ok(Self { terminal, before, raw })
    }

    /// Raw once more, after somebody else has had the terminal. One that has
    /// gone away needs no mode.
    pub fn again(&self) {
        let _ = set_modes(self.terminal.as_fd(), &self.raw);
    }

    /// As it was before, for somebody else to have it.
    pub fn leave(&self) {
        use nix::sys::termios::{SetArg, tcsetattr};
        // Nothing can be done about a terminal that has gone away.
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The modes of a terminal as the kernel has them: `struct termios` of
/// asm-generic/termbits.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct KernelModes {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    line: u8,
    characters: [u8; 19],
}

impl KernelModes {
    fn of(terminal: BorrowedFd<'_>) -> Result<Self> {
        let mut modes = Self::default();
        // SAFETY: TCGETS writes one such structure.
        unsafe { call!(libc::SYS_ioctl, terminal.as_raw_fd(), libc::TCGETS, &raw mut modes)? };
        Ok(modes)
    }

    /// Whether neither keys nor output mean anything, as after cfmakeraw(3).
    /// A shell that edits its line leaves signals and output on.
    fn are_raw(&self) -> bool {
        self.local & (libc::ICANON | libc::ISIG | libc::ECHO) == 0 && self.output & libc::OPOST == 0
    }
}

/// A terminal lent out, for a process that shares this memory to give back: no
/// function of the C library is used for that.
pub struct Lent {
    terminal: OwnedFd,
    before: KernelModes,
}

impl Lent {
    /// Notes the present modes.
    pub fn new(terminal: BorrowedFd<'_>) -> Result<Self> {
        let before = KernelModes::of(terminal)?;
        let terminal = terminal.try_clone_to_owned().map_err(|_| super::Errno::last())?;
        Ok(Self { terminal, before })
    }

    /// The descriptor that this takes.
    pub fn number(&self) -> i32 {
        self.terminal.as_raw_fd()
    }

    /// Brings the modes back, unless somebody else has been quicker. A process
    /// of another session, as the watcher is, may do so from wherever it is.
    pub fn give_back(&self) {
        let terminal = self.terminal.as_fd();
        if KernelModes::of(terminal).is_ok_and(|now| now.are_raw()) {
            // SAFETY: TCSETS reads one such structure.
            let _ = unsafe {
                call!(libc::SYS_ioctl, terminal.as_raw_fd(), libc::TCSETS, &raw const self.before)
            };
        }
    }
}

/// Sets the modes with SIGTTOU let through: while that is blocked, as all
/// signals of the launcher are, the kernel takes changes from a background job
/// and the shell in the foreground has a terminal that it does not know.
fn set_modes(terminal: BorrowedFd<'_>, modes: &Termios) -> Result<()> {
    use nix::sys::termios::{SetArg, tcsetattr};
    let ttou = SigSet::from(Signal::SIGTTOU);
    let before = ttou.thread_swap_mask(SigmaskHow::SIG_UNBLOCK)?;
    let set = tcsetattr(terminal, SetArg::TCSANOW, modes);
    before.thread_set_mask()?;
    set
}

/// Whether another job than ours has the terminal.
pub fn in_background(terminal: BorrowedFd<'_>) -> bool {
    // Not our controlling terminal: then there are no jobs.
    nix::unistd::tcgetpgrp(terminal).is_ok_and(|job| job != nix::unistd::getpgrp())
}

/// Stops this job as the kernel stops one that reads from the background; goes
/// on when it is let, at once where no shell could (setpgid(2), orphaned).
pub fn stop_as_background() {
    let ttin = SigSet::from(Signal::SIGTTIN);
    let Ok(before) = ttin.thread_swap_mask(SigmaskHow::SIG_UNBLOCK) else { return };
    let _ = nix::sys::signal::killpg(nix::unistd::getpgrp(), Signal::SIGTTIN);
    let _ = before.thread_set_mask();
}
