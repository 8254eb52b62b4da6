//! What happens between fork and exec of a program that a test starts.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};

use nix::errno::Errno;

/// A change to the process that is about to become the program.
#[derive(Clone, Debug)]
pub enum Before {
    /// The descriptor is there under this number, and survives exec.
    Inherit { fd: RawFd, at: RawFd },
    /// The number is not open.
    Close(RawFd),
    /// The signal is ignored.
    Ignore(i32),
    /// The signal is blocked.
    Block(i32),
    /// Leads a session whose terminal is standard input.
    OwnTerminal,
    /// A user namespace of its own, unmapped.
    UserNamespace,
}

impl Before {
    /// System calls only: this runs in a forked copy of a process with threads.
    fn perform(&self) -> Result<(), Errno> {
        // SAFETY: every call takes numbers, or a set that is initialised here,
        // and all of them are async-signal-safe.
        let result = unsafe {
            match *self {
                Self::Inherit { fd, at } => libc::dup2(fd, at),
                Self::Close(fd) => libc::close(fd),
                Self::Ignore(signal) => match libc::signal(signal, libc::SIG_IGN) {
                    libc::SIG_ERR => -1,
                    _ => 0,
                },
                Self::Block(signal) => {
                    let mut set = std::mem::zeroed();
                    libc::sigemptyset(&mut set);
                    libc::sigaddset(&mut set, signal);
                    libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())
                }
                Self::OwnTerminal => {
                    libc::setsid();
                    libc::ioctl(0, libc::TIOCSCTTY, 0)
                }
                Self::UserNamespace => libc::unshare(libc::CLONE_NEWUSER),
            }
        };
        Errno::result(result).map(drop)
    }
}

/// Has `command` go through `changes` in order before it becomes the program.
pub fn prepare(command: &mut Command, changes: Vec<Before>) {
    // SAFETY: the closure makes async-signal-safe calls only and allocates
    // nothing.
    unsafe {
        command.pre_exec(move || {
            // What starts the tests in the background may ignore SIGINT.
            for signal in 1..=libc::SIGRTMAX() {
                libc::signal(signal, libc::SIG_DFL);
            }
            for change in &changes {
                change.perform()?;
            }
            Ok(())
        });
    }
}

/// A program that is being started is for a moment a copy of the test, and
/// holds what the test is writing; what is open for writing cannot be executed.
static STARTING: RwLock<()> = RwLock::new(());

/// Starts a program; it is executed when this returns.
pub fn start(command: &mut Command) -> io::Result<Child> {
    let _others_too = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Runs a program to its end, for what it prints.
pub fn output(command: &mut Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    start(command)?.wait_with_output()
}

/// Writes a file that may be executed.
pub fn place<T>(write: impl FnOnce() -> io::Result<T>) -> T {
    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    write().expect("write an executable file")
}

/// Takes charge of a descriptor that a call has just returned.
pub fn own(new: RawFd) -> OwnedFd {
    // SAFETY: the caller has it from the kernel and hands it to nobody else.
    unsafe { OwnedFd::from_raw_fd(new) }
}

/// Sends a signal by number, real-time ones included.
pub fn kill(pid: u32, signal: i32) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::kill(pid as i32, signal) }).map(drop)
}

/// How many bytes wait to be read.
pub fn waiting(fd: RawFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: the request writes one int, which `count` is.
    let result = unsafe { libc::ioctl(fd, libc::FIONREAD, &mut count) };
    Errno::result(result).expect("FIONREAD");
    count as usize
}

/// Gives a terminal a size and tells its foreground programs.
pub fn resize(fd: RawFd, rows: u16, columns: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request reads one winsize, which `size` is.
    let result = unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &size) };
    Errno::result(result).expect("TIOCSWINSZ");
}
