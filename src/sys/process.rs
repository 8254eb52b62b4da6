//! Making, watching and ending processes: clone3(2), pidfd_open(2), waitid(2).

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use super::raw::{check, clone_into};
use super::stack::Stack;
use super::{Errno, Result, call};

/// A process that was made: its id as the maker sees it, and a descriptor that
/// refers to it for good, whatever becomes of the id.
pub struct Made {
    /// The id, its own until it is waited for.
    pub pid: Pid,
    /// The descriptor.
    pub pidfd: OwnedFd,
}

/// `clone_args` for a child with a pidfd, stored at `pidfd`.
fn arguments(flags: u64, pidfd: &mut libc::c_int) -> libc::clone_args {
    // SAFETY: plain numbers for which zero means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = std::ptr::from_mut(pidfd) as u64;
    // A sibling's death is told in the way that this process's own is.
    let is_sibling = flags & libc::CLONE_PARENT as u64 != 0;
    args.exit_signal = if is_sibling { 0 } else { libc::SIGCHLD as u64 };
    args
}

fn made(pid: isize, pidfd: libc::c_int) -> Made {
    // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Made { pid: Pid::from_raw(pid as i32), pidfd }
}

/// From Linux 5.7; linux/sched.h.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Makes a child with a copy of this memory, born in the control group at the
/// directory `cgroup`; `None` is returned in the child. clone3(2).
///
/// # Errors
/// `EACCES` and its like where that group is not this process's to put
/// somebody into, `EBUSY` where it can't hold processes, `ENOSYS` where a
/// filter refuses the call.
///
/// # Safety
///
/// As [`clone_copying`].
pub unsafe fn clone_into_group(cgroup: BorrowedFd<'_>) -> Result<Option<Made>> {
    let mut pidfd = -1;
    let mut args = arguments(CLONE_INTO_CGROUP, &mut pidfd);
    args.cgroup = cgroup.as_raw_fd() as u64;
    // SAFETY: as in `clone_copying`.
    let pid = unsafe { call!(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>())? };
    Ok((pid != 0).then(|| made(pid, pidfd)))
}

/// Makes a child with a copy of this memory, in new namespaces, `CLONE_NEW*`;
/// `None` is returned in the child. With `CLONE_PARENT` it becomes a child of
/// this process's own parent. clone3(2).
///
/// It is born in the control group at the directory `cgroup`, if the kernel
/// puts it there, else in this process's.
///
/// # Safety
///
/// As fork(2): the child must neither allocate nor return into code that
/// belongs to the parent.
pub unsafe fn clone_copying(
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Option<Made>> {
    let mut pidfd = -1;
    let mut args = arguments(namespaces, &mut pidfd);
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child has its own copy of all memory, its
    // stack included, so both processes return from here soundly; the kernel
    // writes one int behind `args.pidfd`.
    let answer = unsafe { call!(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    let pid = match answer {
        // SAFETY: as promised by the caller; there is no child yet.
        Err(_) if cgroup.is_some() => return unsafe { clone_copying(namespaces, None) },
        // A filter can't look into a structure, so those of containers, our
        // own too where it is loaded already, let the older call through
        // alone. It stores a pidfd in the place of `parent_tid`.
        Err(Errno::ENOSYS) => {
            let flags = args.flags | args.exit_signal;
            // SAFETY: as above; without a stack the child has a copy of this.
            unsafe { call!(libc::SYS_clone, flags, 0, args.pidfd, 0, 0)? }
        }
        answer => answer?,
    };
    Ok((pid != 0).then(|| made(pid, pidfd)))
}

/// Makes a child with a copy of this memory, as fork(2) does: its id, or `None`
/// in the child.
///
/// By clone(2), whose flags a system call filter can read: every filter that
/// lets processes be made lets this one, and clone3 is refused by many.
///
/// # Safety
///
/// As [`clone_copying`].
pub unsafe fn fork() -> Result<Option<Pid>> {
    // SAFETY: as above; no stack, thread id or thread-local storage is given.
    let pid = unsafe { call!(libc::SYS_clone, libc::SIGCHLD)? };
    Ok((pid != 0).then(|| Pid::from_raw(pid as i32)))
}

/// Makes a child that shares this memory and runs `entry(argument)` on a stack
/// of its own, beside this process; `flags` are `CLONE_NEW*`, or `CLONE_PARENT`
/// for a sibling. clone3(2), CLONE_VM.
///
/// Nothing is copied, neither now nor by the first write to each page
/// afterwards, which is a tenth of a millisecond of every start.
///
/// # Safety
///
/// `stack` and what `argument` leads to must live until the child has executed
/// a program or ended. `entry` may not allocate, and may use nothing
/// thread-local: `errno` is, so not the C library.
pub unsafe fn clone_sharing(
    flags: u64,
    stack: &Stack,
    entry: extern "C" fn(*const ()) -> !,
    argument: *const (),
) -> Result<Made> {
    let mut pidfd = -1;
    let mut args = arguments(flags | libc::CLONE_VM as u64, &mut pidfd);
    (args.stack, args.stack_size) = stack.area();
    let new = [&raw const args as usize, size_of::<libc::clone_args>(), 0, 0, 0];
    // SAFETY: the arguments name CLONE_VM and a stack; the rest is promised by
    // the caller.
    let answer = unsafe { check(clone_into(libc::SYS_clone3, new, entry, argument)) };
    let pid = match answer {
        // As in `clone_copying`; this call wants the stack's upper end. Filters
        // that were written before there was the newer call say that it is not
        // permitted.
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let flags = (args.flags | args.exit_signal) as usize;
            let top = (args.stack + args.stack_size) as usize;
            let old = [flags, top, args.pidfd as usize, 0, 0];
            // SAFETY: as above.
            unsafe { check(clone_into(libc::SYS_clone, old, entry, argument))? }
        }
        answer => answer?,
    };
    Ok(made(pid, pidfd))
}

/// Makes a thread of this process that runs `entry(argument)` on a stack of its
/// own, and ends by [`end_thread`] or with the process. clone(2), CLONE_THREAD.
///
/// # Safety
///
/// As [`clone_sharing`]; `stack` must live until the process has executed a
/// program or ended, for when the thread is off it nobody is told.
pub unsafe fn make_thread(
    stack: &Stack,
    entry: extern "C" fn(*const ()) -> !,
    argument: *const (),
) -> Result<()> {
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    let (base, size) = stack.area();
    let arguments = [flags as usize, (base + size) as usize, 0, 0, 0];
    // SAFETY: the arguments name CLONE_VM and the stack's upper end, as this
    // call wants it; the rest is promised by the caller.
    unsafe { check(clone_into(libc::SYS_clone, arguments, entry, argument))? };
    Ok(())
}

/// Ends this thread alone; _exit(2), "C library/kernel differences".
pub fn end_thread() -> ! {
    // SAFETY: takes a number, and does not return, unless a filter refuses it.
    let _ = unsafe { call!(libc::SYS_exit, 0) };
    trap()
}

/// Has the kernel kill us when the thread that has made us ends, if it has not
/// already. PR_SET_PDEATHSIG(2const).
pub fn die_with_parent() -> Result<()> {
    let parent = getppid();
    super::confine::parent_death_signal(libc::SIGKILL)?;
    if getppid() != parent {
        nix::sys::signal::raise(Signal::SIGKILL)?;
    }
    Ok(())
}

/// Lets others have the processor. sched_yield(2).
pub fn give_way() {
    // SAFETY: takes nothing.
    let _ = unsafe { call!(libc::SYS_sched_yield) };
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
    wait_with(child, 0)
}

/// Waits for the child behind a pidfd to end, and leaves it to be reaped.
pub fn wait_and_leave(child: BorrowedFd<'_>) -> Result<Ended> {
    wait_with(child, libc::WNOWAIT)
}

fn wait_with(child: BorrowedFd<'_>, options: i32) -> Result<Ended> {
    loop {
        // SAFETY: `siginfo_t` is plain memory for which zeroes are a value;
        // waitid fills it, and after it has answered 0 the fields of SIGCHLD
        // are the ones in use.
        let answer = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::__WALL | options;
            let child = child.as_raw_fd();
            call!(libc::SYS_waitid, libc::P_PIDFD, child, &raw mut info, options, 0)
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

/// Goes into a namespace of the kinds that are given, `CLONE_NEW*`: that which
/// the descriptor stands for, or those of the process behind a pidfd. setns(2).
pub fn join(whose: BorrowedFd<'_>, kinds: i32) -> Result<()> {
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_setns, whose.as_raw_fd(), kinds)? };
    Ok(())
}

/// Goes into new namespaces of the kinds that are given, `CLONE_NEW*`;
/// unshare(2).
pub fn unshare(kinds: i32) -> Result<()> {
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_unshare, kinds)? };
    Ok(())
}

/// A descriptor that can be read while a child of this process has ended and is
/// not yet reaped; SIGCHLD must be blocked. signalfd(2).
pub fn children_ended() -> Result<OwnedFd> {
    let set: SignalBits = 1 << (libc::SIGCHLD - 1);
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the kernel reads one set of the size given; the answer is a new
    // descriptor.
    unsafe {
        let fd = call!(libc::SYS_signalfd4, -1_isize, &raw const set, SIGNAL_BYTES, flags)?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// A child that has ended, which keeps its id: of several the one that was made
/// first. Does not wait.
pub fn any_ended() -> Result<Option<Pid>> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: `siginfo_t` is plain memory for which zeroes are a value; waitid
    // fills it, and leaves the id 0 where no child has ended.
    let pid = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        call!(libc::SYS_waitid, libc::P_ALL, 0, &raw mut info, options, 0)?;
        info.si_pid()
    };
    Ok((pid != 0).then(|| Pid::from_raw(pid)))
}

/// Reaps whatever child has ended, without waiting: its id and how it ended.
pub fn reap_any() -> Result<Option<(Pid, Ended)>> {
    reap(Pid::from_raw(-1))
}

/// Reaps this child if it has ended, without waiting; -1 is any.
pub fn reap(child: Pid) -> Result<Option<(Pid, Ended)>> {
    let mut status: libc::c_int = 0;
    let options = libc::WNOHANG | libc::__WALL;
    let child = child.as_raw() as isize;
    // SAFETY: the kernel writes one int; no resource usage is asked for.
    let pid = unsafe { call!(libc::SYS_wait4, child, &raw mut status, options, 0)? };
    if pid == 0 {
        return Ok(None);
    }
    let ended = if libc::WIFEXITED(status) {
        Ended::Exited(libc::WEXITSTATUS(status))
    } else {
        Ended::Killed(libc::WTERMSIG(status))
    };
    Ok(Some((Pid::from_raw(pid as i32), ended)))
}

/// A set of signals as the kernel has it: one bit each, from signal 1.
type SignalBits = u64;

/// The size of such a set, which every call of the kernel wants to hear.
const SIGNAL_BYTES: usize = size_of::<SignalBits>();

/// Blocks every signal.
pub fn block_all_signals() -> Result<()> {
    set_blocked(SignalBits::MAX)
}

fn set_blocked(set: SignalBits) -> Result<()> {
    let how = libc::SIG_SETMASK;
    // SAFETY: the kernel reads one set of the size given.
    unsafe { call!(libc::SYS_rt_sigprocmask, how, &raw const set, 0, SIGNAL_BYTES)? };
    Ok(())
}

/// Takes the next pending signal, all being blocked.
pub fn next_signal() -> Result<i32> {
    let all = SignalBits::MAX;
    // SAFETY: the kernel reads one set; neither siginfo nor a limit is given.
    let number = unsafe { call!(libc::SYS_rt_sigtimedwait, &raw const all, 0, 0, SIGNAL_BYTES)? };
    Ok(number as i32)
}

/// Sends a signal to this process or to a child that has not been reaped, whose
/// id is therefore still its own. One that has ended needs no signal: errors
/// are of no account.
pub fn kill(process: Pid, signal: i32) {
    // SAFETY: numbers only.
    let _ = unsafe { call!(libc::SYS_kill, process.as_raw(), signal) };
}

/// Starts a session of its own, without a terminal.
pub fn new_session() -> Result<()> {
    // SAFETY: takes nothing.
    unsafe { call!(libc::SYS_setsid)? };
    Ok(())
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
pub fn monotonic_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    let _ = unsafe { call!(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// `CLOCK_REALTIME`, in nanoseconds since 1970.
pub fn real_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    let _ = unsafe { call!(libc::SYS_clock_gettime, libc::CLOCK_REALTIME, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Gives SIGCHLD its default disposition: children wait to be waited for.
pub fn expect_children() -> Result<()> {
    set_default(libc::SIGCHLD)
}

/// Sets a signal to its default disposition.
fn set_default(number: i32) -> Result<()> {
    // The kernel's `struct sigaction`: handler, flags, restorer, mask. All
    // zero is SIG_DFL, no flags, nothing blocked.
    let default = [0_u64; 4];
    // SAFETY: the kernel reads one such structure, and writes none.
    unsafe { call!(libc::SYS_rt_sigaction, number, default.as_ptr(), 0, SIGNAL_BYTES)? };
    Ok(())
}

/// Gives every signal its default disposition again and blocks none.
///
/// Both survive exec (signal(7)), and Rust's runtime ignores SIGPIPE.
pub fn reset_signals() -> Result<()> {
    for number in 1..=64 {
        // SIGKILL and SIGSTOP answer EINVAL, as they should.
        let _ = set_default(number);
    }
    set_blocked(0)
}

/// The signals that are forwarded to the payload: all that can be caught, but
/// for those that a fault of our own raises and SIGCHLD, which is about us.
pub fn forwarded_signals() -> nix::sys::signal::SigSet {
    use Signal::*;
    let own = [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGCHLD].map(|own| own as i32);
    // What the caller has set to be ignored (nohup(1), `&` in a script) is not
    // for us to hear: a blocked signal would be queued all the same. SIGPIPE
    // is ignored by Rust's own start.
    let heard =
        |number: &i32| !own.contains(number) && (*number == SIGPIPE as i32 || !is_ignored(*number));
    let bits = (1..=64).filter(heard).fold(0, |bits, number| bits | 1 << (number - 1));
    // SAFETY: the C library's set is larger than the kernel's and begins with
    // it; zero is a value of the rest. The library's own functions would leave
    // out real-time signals that it wants for its threads, of which there are
    // none.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        (&raw mut set).cast::<SignalBits>().write(bits);
        nix::sys::signal::SigSet::from_sigset_t_unchecked(set)
    }
}

/// Whether a signal is ignored.
fn is_ignored(number: i32) -> bool {
    let mut action = [0_u64; 4];
    // SAFETY: the kernel writes one `struct sigaction`, and reads none.
    let asked =
        unsafe { call!(libc::SYS_rt_sigaction, number, 0, action.as_mut_ptr(), SIGNAL_BYTES) };
    asked.is_ok() && action[0] == libc::SIG_IGN as u64
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
    let answer = unsafe {
        call!(libc::SYS_execve, path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr())
    };
    answer.err().unwrap_or(Errno::UnknownErrno)
}

/// Ends this process at once, running nothing that the parent left to run.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: takes a number, and does not return (_exit(2)), unless a filter
    // refuses it.
    let _ = unsafe { call!(libc::SYS_exit_group, code) };
    trap()
}

/// Ends this process where it may call nothing: by an instruction that there is
/// not. Of a fault of its own the first process of a pid namespace dies, too.
fn trap() -> ! {
    // SAFETY: the instruction raises SIGILL, to which nobody listens here.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("ud2", options(noreturn, nostack));
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("udf #0", options(noreturn, nostack));
    }
}
