//! Making, watching and ending processes: clone3(2), pidfd_open(2), waitid(2).

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::{Errno, Result, call, check};

/// What clone3 returned: which of the two processes this is.
pub enum Cloned {
    /// The new process.
    Child,
    /// The caller.
    Parent {
        /// The new process's id, as the caller sees it.
        pid: Pid,
        /// Refers to the new process for good, whatever becomes of its id.
        pidfd: OwnedFd,
    },
}

/// Makes a child in new namespaces, `CLONE_NEW*`, with a pidfd for it.
///
/// # Safety
///
/// As fork(2): the calling process must have one thread, and the child must
/// neither allocate nor return into code that belongs to the parent.
pub unsafe fn clone(namespaces: u64) -> Result<Cloned> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: `clone_args` is plain numbers for which zero means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM the child has its own copy of all memory, its
    // stack included, so both processes return from here soundly; the kernel
    // writes one int behind `args.pidfd`.
    let pid = unsafe { call!(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>())? };
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent { pid: Pid::from_raw(pid as i32), pidfd })
}

/// A descriptor for the process `pid`, which must still be the one meant.
pub fn open_pidfd(pid: Pid) -> Result<OwnedFd> {
    // SAFETY: numbers only; the answer is a new descriptor.
    unsafe {
        let fd = call!(libc::SYS_pidfd_open, pid.as_raw(), 0)?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Sends a signal, real-time ones too, to the process behind a pidfd.
pub fn send_signal(process: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo means "as kill(2) would"; nothing is written.
    unsafe { call!(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, info, 0)? };
    Ok(())
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It called exit.
    Exited(i32),
    /// A signal killed it.
    Killed(i32),
}

/// Waits for the child behind a pidfd to end, and reaps it.
pub fn wait(child: BorrowedFd<'_>) -> Result<Ended> {
    loop {
        // SAFETY: `siginfo_t` is plain memory for which zeroes are a value;
        // waitid fills it, and after it has answered 0 the fields of SIGCHLD
        // are the ones in use.
        let answer = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let id = child.as_raw_fd() as libc::id_t;
            check(
                libc::waitid(libc::P_PIDFD, id, &raw mut info, libc::WEXITED | libc::__WALL).into(),
            )
            .map(|_| (info.si_code, info.si_status()))
        };
        match answer {
            Ok((libc::CLD_EXITED, status)) => return Ok(Ended::Exited(status)),
            Ok((_, signal)) => return Ok(Ended::Killed(signal)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reaps whatever child has ended, without waiting: its id and how it ended.
pub fn reap_any() -> Result<Option<(Pid, Ended)>> {
    let mut status = 0;
    // SAFETY: waitpid writes one int.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
    if check(pid.into())? == 0 {
        return Ok(None);
    }
    let ended = if libc::WIFEXITED(status) {
        Ended::Exited(libc::WEXITSTATUS(status))
    } else {
        Ended::Killed(libc::WTERMSIG(status))
    };
    Ok(Some((Pid::from_raw(pid), ended)))
}

/// Takes the next pending signal of `set`, all of which must be blocked.
pub fn next_signal(set: &nix::sys::signal::SigSet) -> Result<i32> {
    // SAFETY: the kernel reads the set; no siginfo is asked for.
    let number = unsafe { libc::sigwaitinfo(set.as_ref(), std::ptr::null_mut()) };
    check(number.into()).map(|_| number)
}

/// Sends a signal to a child that has not been reaped, whose id is therefore
/// still its own. One that has ended needs no signal: errors are of no account.
pub fn kill(child: Pid, signal: i32) {
    // SAFETY: numbers only.
    unsafe { libc::kill(child.as_raw(), signal) };
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
pub fn monotonic_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Gives every signal its default disposition again and blocks none.
///
/// Both survive exec (signal(7)), and Rust's runtime ignores SIGPIPE.
pub fn reset_signals() -> Result<()> {
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL installs no handler. SIGKILL, SIGSTOP and the two
        // that the C library keeps for itself answer EINVAL, as they should.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    nix::sys::signal::SigSet::empty().thread_set_mask()
}

/// The signals that are forwarded to the payload: all that can be caught, but
/// for those that a fault of our own raises and SIGCHLD, which is about us.
pub fn forwarded_signals() -> nix::sys::signal::SigSet {
    use Signal::*;
    let mut set = nix::sys::signal::SigSet::all();
    for own in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGCHLD] {
        set.remove(own);
    }
    set
}

/// Strings laid out as execve(2) wants them: made before the clone, because it
/// takes the heap.
#[derive(Debug)]
pub struct StringArray {
    strings: Vec<CString>,
    /// Into `strings`, whose buffers never move, and a null pointer.
    pointers: Vec<*const libc::c_char>,
}

impl StringArray {
    /// Lays the strings out.
    pub fn new(strings: Vec<CString>) -> Self {
        let pointers =
            strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect();
        Self { strings, pointers }
    }

    /// The strings, in order.
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }
}

/// Replaces this process by the program at `path`. Returns only on failure.
pub fn exec(path: &CStr, argv: &StringArray, envp: &StringArray) -> Errno {
    // SAFETY: both arrays hold pointers to the NUL-terminated strings that
    // they own, with a null pointer at the end; the kernel only reads.
    unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    Errno::last()
}

/// Ends this process at once, running nothing that the parent left to run.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes a number and does not return.
    unsafe { libc::_exit(code) }
}
