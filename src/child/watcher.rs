//! The process that takes the payload along when the launcher is killed.
//!
//! `PR_SET_PDEATHSIG` alone does not: a payload that changes its uid, or asks
//! for it, has none any more (prctl(2)). The watcher never runs anything of
//! the container's and cannot be seen from there, so nothing in it can be
//! talked out of its job. Being a process of the same program it also keeps the
//! launcher's own program file busy (ETXTBSY) until the last process of the
//! container is gone: nothing inside can overwrite it (CVE-2019-5736).
//!
//! It also keeps a scope of systemd's, which is gone with its last process,
//! until the launcher has read what the container used.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::unistd::{Pid, pipe2};

use super::sweep::UserNamespace;
use crate::sys::fd::Patience;
use crate::sys::process::{self, Made, exit_now};
use crate::sys::stack::Stack;
use crate::sys::tty::Lent;
use crate::sys::{Errno, Result, fd};

/// The watcher, from the launcher's side.
pub struct Watcher {
    process: Made,
    /// What it runs on where it has the launcher's memory.
    stack: Option<Stack>,
    /// What it reads.
    watched: Box<Watched>,
    /// The other end of what it waits for in the end.
    hold: Option<OwnedFd>,
}

/// How long it stays, and whose memory it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// Until the payload has ended, in the launcher's memory.
    WithPayload,
    /// Until it is dropped, with a copy of the memory: it may be in a control
    /// group whose memory is limited, and when the kernel picks a process to
    /// kill, all that share its memory go with it.
    UntilDropped,
}

/// Whom it watches, by descriptors that it has a copy of.
struct Watched {
    launcher: OwnedFd,
    payload: OwnedFd,
    /// What to sweep in the end, where the payload's end is not everybody's.
    sweep: Option<UserNamespace>,
    /// The caller's terminal, which the launcher puts into raw mode.
    terminal: Option<Lent>,
    /// Hangs up when it may go.
    held: Option<OwnedFd>,
}

impl Watcher {
    /// Starts the watcher of `payload`, a process that this one has made; in
    /// the end it sweeps the user namespace that is given. Should we be killed,
    /// the terminal that is given has its present modes again.
    ///
    /// All signals must be blocked: the watcher is not to be interrupted.
    ///
    /// # Errors
    /// What clone3(2) says, and `EMFILE`.
    pub fn start(
        payload: BorrowedFd<'_>,
        sweep: Option<UserNamespace>,
        terminal: Option<BorrowedFd<'_>>,
        stay: Stay,
    ) -> Result<Self> {
        let launcher = process::open_pidfd(nix::unistd::getpid())?;
        let payload = payload.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
        let terminal = terminal.map(Lent::new).transpose()?;
        let (held, hold, stack) = match stay {
            Stay::WithPayload => (None, None, Some(Stack::new()?)),
            Stay::UntilDropped => {
                let (held, hold) = pipe2(OFlag::O_CLOEXEC)?;
                (Some(held), Some(hold), None)
            }
        };
        let watched = Box::new(Watched { launcher, payload, sweep, terminal, held });
        // SAFETY: stack and `watched` are kept in what is returned, whose drop
        // waits for the watcher's end first.
        let process = unsafe { make(stack.as_ref(), &watched)? };
        Ok(Self { process, stack, watched, hold })
    }

    /// Its id, good as long as this value.
    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// Ready to be read once the watcher has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.pidfd.as_fd()
    }

    /// Starts another in the place of one that was killed.
    ///
    /// # Errors
    /// What clone3(2) says.
    pub fn replace(&mut self) -> Result<()> {
        let _ = process::wait(self.pidfd());
        // SAFETY: as in `start`; the one that ran on the stack has ended.
        self.process = unsafe { make(self.stack.as_ref(), &self.watched)? };
        Ok(())
    }
}

/// Makes the process, with a copy of the memory where there is no stack for it.
///
/// # Safety
///
/// Both arguments must live until it has ended, with nobody else on the stack.
/// There must be one thread only.
unsafe fn make(stack: Option<&Stack>, watched: &Watched) -> Result<Made> {
    let argument = std::ptr::from_ref(watched).cast();
    let Some(stack) = stack else {
        // SAFETY: promised by the caller; `watch` makes system calls only, and
        // does not return.
        return match unsafe { process::clone_copying(0, None)? } {
            None => watch(argument),
            Some(made) => Ok(made),
        };
    };
    // SAFETY: promised by the caller; `watch` makes system calls only.
    unsafe { process::clone_sharing(0, stack, watch, argument) }
}

impl Drop for Watcher {
    /// Lets the watcher go, and reaps it: it ends by itself once the payload
    /// has.
    fn drop(&mut self) {
        self.hold = None;
        let _ = process::wait(self.process.pidfd.as_fd());
    }
}

extern "C" fn watch(watched: *const ()) -> ! {
    // SAFETY: `start` passes a `Watched` that outlives this process and that
    // nobody changes.
    let Watched { launcher, payload, sweep, terminal, held } =
        unsafe { &*watched.cast::<Watched>() };
    // Away from the launcher's process group: what kills that must not kill
    // the watcher with it.
    let _ = process::new_session();
    let lent = terminal.as_ref().map_or(payload.as_raw_fd(), Lent::number);
    let held = held.as_ref().unwrap_or(payload);
    let swept = sweep.as_ref().map_or(payload.as_fd(), AsFd::as_fd).as_raw_fd();
    let mut kept = [launcher.as_raw_fd(), payload.as_raw_fd(), lent, held.as_raw_fd(), swept];
    // A pipe among the rest would never see its end.
    // SAFETY: the table of descriptors is the watcher's own (no CLONE_FILES);
    // it uses those in `kept` only, and drops nothing.
    unsafe { fd::close_all_but(&mut kept) };
    let ended = wait_for([launcher.as_fd(), payload.as_fd()]);
    // A launcher that lives gives the terminal back itself.
    if let (Ok([true, _]), Some(terminal)) = (ended, terminal) {
        terminal.give_back();
    }
    // Whoever it was: a payload that has ended takes no signal.
    let _ = process::send_signal(payload.as_fd(), nix::libc::SIGKILL);
    // Stays until every process of the pid namespace is gone, which is when
    // the kernel lets its first one be waited for.
    let _ = wait_for([payload.as_fd()]);
    if let Some(namespace) = sweep {
        namespace.sweep();
    }
    let _ = wait_for([held.as_fd()]);
    exit_now(0)
}

/// Waits until one of them has ended: which have.
fn wait_for<const N: usize>(processes: [BorrowedFd<'_>; N]) -> Result<[bool; N]> {
    loop {
        match fd::wait_readable(processes, Patience::Endless) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
