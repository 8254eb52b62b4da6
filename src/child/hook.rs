//! Programs that are run on the way to the payload, by the process that will be
//! it: before it has its root, or with all that confines it.
//!
//! Nobody else could: who waits for its start lets nobody look into it, and so
//! nobody into its namespaces (setns(2)). What is run has nothing of the
//! launcher's but the state on standard input and a file for what it says; and
//! it ends with the process that has started it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use nix::libc;

use super::confine::umask;
use super::report::{HookEnd, Report};
use super::{Child, Outcome};
use crate::plan::step::{Gate, Hook};
use crate::sys::fd::Patience;
use crate::sys::process::{self, Ended, Made, exit_now};
use crate::sys::stack::Stack;
use crate::sys::{Errno, Result, call, confine, fd};

/// What comes for hooks through the channel.
#[derive(Default)]
pub struct Told {
    /// The container's state, which nobody can change.
    pub state: Option<OwnedFd>,
    /// The file for what they say.
    pub words: Option<OwnedFd>,
}

/// What the process begins with that becomes the program.
struct Start<'a> {
    hook: &'a Hook,
    state: RawFd,
    words: RawFd,
    /// This process, as it sees itself.
    parent: isize,
    /// Why it could not become the program; 0 as long as it may.
    refused: AtomicI32,
}

/// Runs one, and tells how it ended. One that fails is the end of this process
/// too.
pub fn run(child: &mut Child, hook: &Hook) -> Outcome {
    match attempt(child, hook) {
        Ok(HookEnd::Ended(Ended::Exited(0))) => {}
        Ok(end) => fail(child, hook, end),
        Err(errno) => fail(child, hook, HookEnd::NotRun(errno)),
    }
    child.send(&Report::Hook(hook.number, HookEnd::Ended(Ended::Exited(0))))
}

fn fail(child: &Child, hook: &Hook, end: HookEnd) -> ! {
    let _ = child.send(&Report::Hook(hook.number, end));
    exit_now(127)
}

fn attempt(child: &mut Child, hook: &Hook) -> Result<HookEnd> {
    // The last of what comes.
    child.pass(Gate::Heard).map_err(|failure| failure.errno)?;
    let (Some(state), Some(words)) = (&child.told.state, &child.told.words) else {
        // The kernel leaves a descriptor out for which there is no room.
        return Err(Errno::EMFILE);
    };
    // An earlier one may have read it, and said something.
    fd::rewind(state.as_fd())?;
    fd::empty(words.as_fd())?;
    fd::rewind(words.as_fd())?;
    // SAFETY: takes nothing.
    let parent = unsafe { call!(libc::SYS_getpid)? };
    let (state, words) = (state.as_raw_fd(), words.as_raw_fd());
    let start = Start { hook, state, words, parent, refused: AtomicI32::new(0) };
    let stack = Stack::new()?;
    // SAFETY: `become_program` makes system calls only; `start` and `stack` are
    // there until it has ended, for `watch` waits for that or does not return.
    let made =
        unsafe { process::clone_sharing(0, &stack, become_program, (&raw const start).cast())? };
    let ended = watch(child, hook, &made);
    Ok(match start.refused.load(Relaxed) {
        0 => HookEnd::Ended(ended),
        errno => HookEnd::NotRun(Errno::from_raw(errno)),
    })
}

/// Waits for its end. Returns only if that comes by itself, and in time.
fn watch(child: &mut Child, hook: &Hook, made: &Made) -> Ended {
    let pidfd = made.pidfd.as_fd();
    let nanos = hook.seconds.map(|seconds| seconds.saturating_mul(1_000_000_000));
    let until = nanos.map(|nanos| process::monotonic_nanos().saturating_add(nanos));
    loop {
        let left = until.map(|until| until.saturating_sub(process::monotonic_nanos()));
        let patience = left.map_or(Patience::Endless, Patience::Nanos);
        match fd::wait_readable([pidfd, child.channel.as_fd()], patience) {
            Ok([true, _]) => match process::wait(pidfd) {
                Ok(ended) => return ended,
                Err(errno) => fail(child, hook, HookEnd::NotRun(errno)),
            },
            // Whoever was to hear of it has gone, and with them goes all that
            // was begun.
            Ok([_, true]) => {
                if !matches!(child.listen(), Ok(true)) {
                    end(made);
                    exit_now(1);
                }
            }
            Ok(_) if left == Some(0) => {
                end(made);
                fail(child, hook, HookEnd::TooLong);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => {
                end(made);
                fail(child, hook, HookEnd::NotRun(errno));
            }
        }
    }
}

/// Kills it, and waits for its end, but not for ever: one that has become
/// another user may not be ours to kill.
fn end(made: &Made) {
    process::kill(made.pid, libc::SIGKILL);
    if fd::wait_readable([made.pidfd.as_fd()], Patience::Seconds) == Ok([true]) {
        let _ = process::wait(made.pidfd.as_fd());
    }
}

extern "C" fn become_program(start: *const ()) -> ! {
    // SAFETY: `attempt` passes a `Start` that outlives this process.
    let start = unsafe { &*start.cast::<Start<'_>>() };
    let errno = try_to(start).err().unwrap_or(Errno::UnknownErrno);
    start.refused.store(errno as i32, Relaxed);
    exit_now(127)
}

/// Returns only on failure.
fn try_to(start: &Start<'_>) -> Result<()> {
    let hook = start.hook;
    confine::parent_death_signal(libc::SIGKILL)?;
    // SAFETY: takes nothing.
    if unsafe { call!(libc::SYS_getppid)? } != start.parent {
        return Err(Errno::ESRCH);
    }
    // Away from the container's terminal, if it has one.
    let _ = process::new_session();
    // SAFETY: this process has a copy of all descriptors, and both are open.
    let (state, words) =
        unsafe { (BorrowedFd::borrow_raw(start.state), BorrowedFd::borrow_raw(start.words)) };
    fd::install(state, 0)?;
    fd::install(words, 1)?;
    fd::install(words, 2)?;
    // Not only marked: for a moment of the exec a process shows what it is
    // about to close to those inside who may trace it.
    // SAFETY: in this table of descriptors no `OwnedFd` is used or dropped.
    unsafe { fd::close_all(3, u32::MAX)? };
    if let Some(mask) = hook.umask {
        umask(mask);
    }
    process::reset_signals()?;
    if let Some((filter, flags)) = &hook.filter {
        confine::load_filter(filter, *flags)?;
    }
    Err(process::exec(&hook.path, &hook.argv, &hook.envp))
}
