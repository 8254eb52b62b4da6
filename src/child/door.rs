//! A child that is born in namespaces of others.
//!
//! Who has gone into another user namespace has lost what it was outside: its
//! ids, and its rights over its own files. So it is not the launcher that goes
//! but a doorkeeper, a copy of it, which makes the child there as the
//! launcher's own (`CLONE_PARENT`), and ends.
//!
//! Others are in that user namespace already, with all rights there, and may
//! see every process (`--pid host`). So nothing here runs in the launcher's
//! memory, and the copies, with the caller's environment in them, can be looked
//! into by nobody: they belong to the launcher's user namespace, which counts
//! for ptrace(2) in what is not dumpable.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;

use crate::sys::process::{self, Made, exit_now};
use crate::sys::{Errno, confine, fd, path};

/// Where the child is to be born.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a> {
    /// The user namespace; our own where it is `None`.
    pub user: Option<BorrowedFd<'a>>,
    /// The network.
    pub network: BorrowedFd<'a>,
    /// The text for /proc/self/oom_score_adj. The child itself can't write it:
    /// of who is not dumpable the file is root's.
    pub oom_score_adj: Option<&'a [u8]>,
}

/// What could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Part {
    /// Making or hearing the doorkeeper.
    Keeper = 0,
    /// Setting oom_score_adj.
    OomScoreAdj = 1,
    /// Going into the user namespace.
    User = 2,
    /// Going into the network.
    Network = 3,
    /// The clone.
    Clone = 4,
}

const PARTS: [Part; 5] = [Part::Keeper, Part::OomScoreAdj, Part::User, Part::Network, Part::Clone];

/// Why there is no child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What could not be done.
    pub part: Part,
    /// The kernel's answer.
    pub errno: Errno,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.part {
            Part::Keeper => "start the process that goes there",
            Part::OomScoreAdj => "write /proc/self/oom_score_adj",
            Part::User => "go into its user namespace",
            Part::Network => "go into it",
            Part::Clone => "make the container's own namespaces",
        })
    }
}

impl Part {
    fn failed(self, errno: Errno) -> Refused {
        Refused { part: self, errno }
    }
}

/// The length of what the doorkeeper says, in bytes: two numbers.
const WORD: usize = 8;

/// As [`process::clone_copying`], behind the door.
///
/// # Safety
///
/// As there; and no other thread may be.
pub unsafe fn clone_behind(
    door: Door<'_>,
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Option<Made>, Refused> {
    let failed = |errno| Part::Keeper.failed(errno);
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(failed)?;
    // SAFETY: promised by the caller; the copy makes system calls only, and
    // ends, or returns as the child that it has made.
    let Some(keeper) = (unsafe { process::clone_copying(0, None) }).map_err(failed)? else {
        // SAFETY: as above.
        return match unsafe { go(door, namespaces, cgroup) } {
            Ok(None) => Ok(None),
            Ok(Some(made)) => {
                let word = word(Part::Clone, made.pid.as_raw());
                match fd::send_with_descriptor(theirs.as_fd(), &word, made.pidfd.as_fd()) {
                    Ok(()) => exit_now(0),
                    Err(errno) => {
                        // Nobody would know of it.
                        let _ = process::send_signal(made.pidfd.as_fd(), nix::libc::SIGKILL);
                        let _ = fd::write_all(theirs.as_fd(), &refused(Part::Keeper, errno));
                        exit_now(1)
                    }
                }
            }
            Err(Refused { part, errno }) => {
                let _ = fd::write_all(theirs.as_fd(), &refused(part, errno));
                exit_now(1)
            }
        };
    };
    // Its end is waited for, and not the socket's, which the child has too.
    process::wait(keeper.pidfd.as_fd()).map_err(failed)?;
    if fd::wait_readable([ours.as_fd()], fd::Patience::None) != Ok([true]) {
        return Err(failed(Errno::ESRCH));
    }
    let mut said = [0; WORD];
    let (length, pidfd) = fd::receive(ours.as_fd(), &mut said).map_err(failed)?;
    let [part, number] = [0, 4].map(|at| {
        let bytes = [said[at], said[at + 1], said[at + 2], said[at + 3]];
        i32::from_ne_bytes(bytes)
    });
    match (length, number, pidfd) {
        (WORD, 1.., Some(pidfd)) => Ok(Some(Made { pid: Pid::from_raw(number), pidfd })),
        // The kernel leaves a descriptor out for which there is no room.
        (WORD, 1.., None) => Err(failed(Errno::EMFILE)),
        (WORD, ..=-1, _) => {
            let part = PARTS.into_iter().find(|known| *known as i32 == part);
            Err(part.unwrap_or(Part::Keeper).failed(Errno::from_raw(-number)))
        }
        _ => Err(failed(Errno::EPROTO)),
    }
}

/// What could not be done with which answer, or the child's id.
fn word(part: Part, number: i32) -> [u8; WORD] {
    let mut bytes = [0; WORD];
    bytes[..4].copy_from_slice(&(part as u32).to_ne_bytes());
    bytes[4..].copy_from_slice(&number.to_ne_bytes());
    bytes
}

fn refused(part: Part, errno: Errno) -> [u8; WORD] {
    word(part, -(errno as i32))
}

/// What the doorkeeper does: goes there, and makes the child.
///
/// # Safety
///
/// As [`process::clone_copying`].
unsafe fn go(
    door: Door<'_>,
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Option<Made>, Refused> {
    if let Some(text) = door.oom_score_adj {
        let file = path::open_typed(c"/proc/self/oom_score_adj", libc::O_WRONLY);
        let written = file.and_then(|file| fd::write_all(file.as_fd(), text));
        written.map_err(|errno| Part::OomScoreAdj.failed(errno))?;
    }
    confine::hide_memory().map_err(|errno| Part::User.failed(errno))?;
    if let Some(user) = door.user {
        let gone = process::join(user, libc::CLONE_NEWUSER);
        // With the rights that there are now, the kernel decides anew who may
        // look (commit_creds).
        let hidden = gone.and_then(|()| confine::hide_memory());
        hidden.map_err(|errno| Part::User.failed(errno))?;
    }
    let gone = process::join(door.network, libc::CLONE_NEWNET);
    gone.map_err(|errno| Part::Network.failed(errno))?;
    let flags = namespaces | libc::CLONE_PARENT as u64;
    // SAFETY: promised by the caller.
    unsafe { process::clone_copying(flags, cgroup) }.map_err(|errno| Part::Clone.failed(errno))
}
