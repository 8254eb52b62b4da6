//! What is told to the service manager that has started us: sd_notify(3).
//!
//! Of what the program in the container says only that goes on which is about
//! itself. It can't name another main process, leave descriptors with the
//! manager, or change who else may speak.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, recv, sendto, socket,
};
use nix::unistd::getpid;

use crate::spec::background::Notify as Mode;
use crate::sys::Errno;

/// What the program may say: that it is ready, that it reads its settings again
/// and since when, that it ends, how it goes, that it lives, and that it takes
/// longer.
const ALLOWED: [&str; 8] = [
    "READY=1",
    "RELOADING=1",
    "MONOTONIC_USEC=",
    "STOPPING=1",
    "STATUS=",
    "ERRNO=",
    "WATCHDOG=1",
    "EXTEND_TIMEOUT_USEC=",
];

/// The longest message of it that is read, and the longest value in one.
const MOST: usize = 4096;
const LONGEST: usize = 512;

/// How many are passed on at once before the payload is looked at again.
const AT_ONCE: usize = 16;

/// How often a manager is tried that has no room: no poll tells when a socket has
/// some to which this one is not connected, as it may not be there yet.
const MOMENT: Duration = Duration::from_millis(50);

/// The way to the manager.
#[derive(Debug)]
pub struct Notify {
    manager: UnixAddr,
    outside: OwnedFd,
    mode: Mode,
    /// Whether a check has said that it is well, in this run.
    well: bool,
    /// What there was no room for yet, the first first.
    unsaid: VecDeque<String>,
}

impl Notify {
    /// To the manager that listens at `name`.
    ///
    /// # Errors
    /// A name that is none; what socket(2) says.
    pub fn new(name: &OsStr, mode: Mode) -> anyhow::Result<Self> {
        let manager = match name.as_bytes().split_first() {
            Some((b'@', rest)) => UnixAddr::new_abstract(rest),
            _ => UnixAddr::new(name),
        };
        let manager = manager.context("NOTIFY_SOCKET")?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let outside = socket(AddressFamily::Unix, SockType::Datagram, flags, None)
            .context("make a socket for the service manager")?;
        Ok(Self { manager, outside, mode, well: false, unsaid: VecDeque::new() })
    }

    /// Says that the payload runs, and that we are who stays with it.
    pub(super) fn begin(&mut self) {
        let main = format!("MAINPID={}", getpid());
        match self.mode {
            Mode::Conmon => self.tell(format!("READY=1\n{main}")),
            Mode::Container | Mode::Healthy => self.tell(main),
            Mode::Ignore => {}
        }
    }

    /// Hears that a check has said that the container is well.
    pub(super) fn well(&mut self) {
        if self.mode == Mode::Healthy && !std::mem::replace(&mut self.well, true) {
            self.tell("READY=1".to_owned());
        }
    }

    /// Says what there was no room for, and passes on what the program has said
    /// by now.
    pub(super) fn attend(&mut self, inside: Option<&OwnedFd>) {
        self.speak();
        let Some(inside) = inside else { return };
        let mut message = [0; MOST];
        for _ in 0..AT_ONCE {
            // The program waits as it would for the manager itself.
            if !self.unsaid.is_empty() {
                return;
            }
            // Descriptors that come with it the kernel closes, for which no room
            // is given; by that a barrier is passed, too.
            let Ok(length) = recv(inside.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT) else {
                return;
            };
            if let Some(told) = allowed(&message[..length]) {
                self.tell(told);
            }
        }
    }

    /// What to wait for, of what the program says.
    pub(super) fn news<'a>(&self, inside: &'a OwnedFd) -> Option<PollFd<'a>> {
        self.unsaid.is_empty().then(|| PollFd::new(inside.as_fd(), PollFlags::POLLIN))
    }

    /// When to attend to it at the latest.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.unsaid.is_empty()).then(|| Instant::now() + MOMENT)
    }

    fn tell(&mut self, text: String) {
        self.unsaid.push_back(text);
        self.speak();
    }

    /// A manager that does not listen is told nothing.
    fn speak(&mut self) {
        while let Some(text) = self.unsaid.front() {
            let (to, flags) = (&self.manager, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
            match sendto(self.outside.as_raw_fd(), text.as_bytes(), to, flags) {
                Err(Errno::EAGAIN) => return,
                _ => drop(self.unsaid.pop_front()),
            }
        }
    }
}

/// The lines of a message that may go on.
fn allowed(message: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(message).ok()?;
    let may = |line: &&str| {
        line.len() <= LONGEST
            && !line.contains(char::is_control)
            && ALLOWED.iter().any(|known| match known.ends_with('=') {
                true => line.starts_with(known),
                false => line == known,
            })
    };
    let lines: Vec<&str> = text.split('\n').filter(may).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_itself_goes_on_and_nothing_else() {
        let told = |text: &str| allowed(text.as_bytes()).unwrap_or_default();
        assert_eq!(told("READY=1\nSTATUS=up and well\n"), "READY=1\nSTATUS=up and well");
        assert_eq!(told("MAINPID=1\nREADY=1\nFDSTORE=1\nFDNAME=x"), "READY=1");
        assert_eq!(told("STATUS=a\x1b[2J\nWATCHDOG=1"), "WATCHDOG=1");
        for text in [
            "MAINPID=1",
            "NOTIFYACCESS=all",
            "WATCHDOG=trigger",
            "WATCHDOG_USEC=1",
            "BARRIER=1",
            "READY=0",
            "ready=1",
            " READY=1",
            "X_READY=1",
            "",
        ] {
            assert_eq!(told(text), "", "{text:?}");
        }
        assert_eq!(told(&format!("STATUS={}", "x".repeat(LONGEST))), "");
        assert_eq!(allowed(b"READY=1\n\xff"), None);
    }
}
