//! System calls by number, and the few libc calls that `nix` does not wrap.
//!
//! What is called here is meant to be refused; the kernel checks every
//! pointer, so a call that reads nothing of this process and is given invalid
//! addresses can do no harm.

use std::fs::File;
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;

/// Makes the system call `number`.
///
/// # Safety
/// The call must not change memory or descriptors that Rust code relies on.
pub unsafe fn call(number: i64, args: [usize; 6]) -> Result<i64, Errno> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: passed on to the caller of this function.
    Errno::result(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// `ioctl` with a request of 64 bits as it is (`libc` and the kernel keep 32).
///
/// `argument` is read by the terminal driver only.
pub fn ioctl_byte(fd: i32, request: u64, argument: &mut u8) -> Result<i64, Errno> {
    let pointer: *mut u8 = argument;
    // SAFETY: both requests this is used for read one byte at the address,
    // which is a live byte of the caller.
    unsafe { call(libc::SYS_ioctl, [fd as usize, request as usize, pointer as usize, 0, 0, 0]) }
}

/// What a child that made one call came to.
pub enum Fate {
    /// The call came back.
    Returned(Result<i64, Errno>),
    /// The call did not come back: the child ended with this code.
    Exited(i32),
    /// The child was killed by this signal.
    Killed(i32),
}

/// Makes one system call in a child process of its own, for a second at most.
pub fn call_in_child(number: i64, args: [usize; 6]) -> Fate {
    in_child(|| {
        // SAFETY: this is a forked copy of a process with one thread; all it
        // does afterwards is to write its answer and leave.
        unsafe { call(number, args) }
    })
}

/// Runs `attempt` in a forked child and reports what it returned.
pub fn in_child(attempt: impl FnOnce() -> Result<i64, Errno>) -> Fate {
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    // SAFETY: the program has one thread, so the child may go on as a copy.
    match unsafe { nix::unistd::fork() }.expect("fork") {
        nix::unistd::ForkResult::Child => {
            drop(reader);
            nix::unistd::alarm::set(1);
            let answer = match attempt() {
                Ok(value) => [0, value],
                Err(errno) => [1, i64::from(errno as i32)],
            };
            let bytes: Vec<u8> = answer.iter().flat_map(|word| word.to_ne_bytes()).collect();
            // A call that closed the pipe cannot be told from one that never
            // came back; none that is tried does.
            let _ = nix::unistd::write(&writer, &bytes);
            // SAFETY: _exit runs nothing of the parent's copy.
            unsafe { libc::_exit(0) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            drop(writer);
            let mut bytes = [0; 16];
            let got = nix::unistd::read(&reader, &mut bytes);
            let status = nix::sys::wait::waitpid(child, None);
            if got == Ok(16) {
                let word = |at: usize| i64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8"));
                return Fate::Returned(match word(0) {
                    0 => Ok(word(8)),
                    _ => Err(Errno::from_raw(word(8) as i32)),
                });
            }
            match status {
                Ok(nix::sys::wait::WaitStatus::Signaled(_, signal, _)) => {
                    Fate::Killed(signal as i32)
                }
                Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => Fate::Exited(code),
                other => panic!("a child of the probe ended as {other:?}"),
            }
        }
    }
}

impl std::fmt::Display for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Returned(result) => f.write_str(&crate::outcome(*result)),
            Self::Exited(code) => write!(f, "exit {code}"),
            Self::Killed(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Waits for any of all signals that can be blocked (real-time ones too, which
/// `nix` has no set for) and returns its number. Call [`block_signals`] first.
pub fn next_signal() -> i32 {
    let all = all_signals();
    loop {
        // SAFETY: the set is initialised; no information is asked for.
        let signal = unsafe { libc::sigwaitinfo(&all, std::ptr::null_mut()) };
        if signal > 0 {
            return signal;
        }
    }
}

/// Where the handler writes the numbers of signals.
static ARRIVED: AtomicI32 = AtomicI32::new(-1);

extern "C" fn arrived(signal: libc::c_int) {
    let number = signal as u8;
    // SAFETY: write(2) is async-signal-safe, and one byte is read.
    unsafe { libc::write(ARRIVED.load(Ordering::Relaxed), (&raw const number).cast(), 1) };
}

/// Handles every signal that can be: its number is a byte of what is returned.
pub fn handle_signals() -> File {
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    ARRIVED.store(writer.into_raw_fd(), Ordering::Relaxed);
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the handler makes one async-signal-safe call. Those that
        // cannot be handled, or are the C library's own, give an error.
        unsafe { libc::signal(signal, arrived as *const () as libc::sighandler_t) };
    }
    File::from(reader)
}

/// Blocks every signal that can be.
pub fn block_signals() {
    let all = all_signals();
    // SAFETY: the set is initialised and the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &all, std::ptr::null_mut()) };
}

fn all_signals() -> libc::sigset_t {
    // SAFETY: a signal set is plain bytes, which sigfillset then sets.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        all
    }
}

/// Reads an address that is never mapped: dies by SIGSEGV.
pub fn fault() -> ! {
    // SAFETY: not sound and not meant to be: the process ends here. `ud2`
    // would do as well, but SIGSEGV is what people meet.
    unsafe {
        std::ptr::null::<u8>().read_volatile();
        libc::abort()
    }
}

/// Forgets who is to be told by which signal when the parent dies.
pub fn clear_parent_death_signal() {
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0, 0, 0, 0) };
}

/// Sets all three user ids by the bare system call.
pub fn set_uid(uid: u32) -> Result<i64, Errno> {
    let uid = uid as usize;
    // SAFETY: takes numbers only; the program has one thread.
    unsafe { call(libc::SYS_setresuid, [uid, uid, uid, 0, 0, 0]) }
}

/// Forks; true in the child.
pub fn fork() -> bool {
    // SAFETY: the program has one thread.
    unsafe { nix::unistd::fork() }.expect("fork").is_child()
}

/// Takes hold of another process as a debugger does, without stopping it;
/// ptrace(2), PTRACE_SEIZE.
pub fn seize(pid: i32) -> Result<(), Errno> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the request takes no addresses.
    Errno::result(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, none, none) }).map(drop)
}
