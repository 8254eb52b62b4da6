//! What a helper says: read so that it is never held up, and the end of it
//! kept for who asks why.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::error::is_harmful;
use crate::sys::fd;

/// Its standard error.
pub struct Words {
    /// Until its end.
    pipe: Option<OwnedFd>,
    /// The last bytes, up to the usage.
    text: Vec<u8>,
    /// Whether the usage has begun: nothing is kept of it.
    is_usage: bool,
}

/// The most that is kept.
const KEPT: usize = 4096;

/// What slirp4netns says when all is well, and pasta of every line where there
/// is no log of the system's.
const CHATTER: [&str; 4] =
    ["sent tapfd=", "received tapfd=", "WARNING: Support for", "Failed to send "];

/// What both say after what is wrong with their options: how they are used, at
/// length.
const USAGE: &[u8] = b"\nUsage: ";

impl Words {
    /// Of a pipe.
    pub fn new(pipe: OwnedFd) -> Self {
        // Where this fails, a read may wait; it is only made when told to.
        let _ = fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        Self { pipe: Some(pipe), text: Vec::new(), is_usage: false }
    }

    /// What there is to poll, until its end.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes in what has come: true at its end.
    pub fn read(&mut self) -> bool {
        let mut part = [0; 1024];
        while let Some(pipe) = &self.pipe {
            match fd::read(pipe.as_fd(), &mut part) {
                Ok(1..) if self.is_usage => {}
                Ok(length @ 1..) => self.keep(&part[..length]),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return false,
                Ok(_) | Err(_) => self.pipe = None,
            }
        }
        true
    }

    fn keep(&mut self, part: &[u8]) {
        self.text.extend_from_slice(part);
        if let Some(at) = self.text.windows(USAGE.len()).position(|bytes| bytes == USAGE) {
            self.text.truncate(at + 1);
            self.is_usage = true;
        }
        let surplus = self.text.len().saturating_sub(KEPT);
        self.text.drain(..surplus);
    }

    /// Whether there is a line with nothing but this number.
    pub fn have_line(&self, number: u32) -> bool {
        let number = number.to_string();
        let complete = self.text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let mut lines = self.text[..complete].split(|byte| *byte == b'\n');
        lines.any(|line| line.trim_ascii() == number.as_bytes())
    }

    /// The last of its lines that mean something, as one, for a terminal.
    pub fn told(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.text);
        let means = |line: &&str| {
            let chatter = CHATTER.iter().any(|chatter| line.starts_with(chatter));
            let number = line.bytes().all(|byte| byte.is_ascii_digit());
            !chatter && !number
        };
        let lines: Vec<&str> = text.lines().map(str::trim).filter(means).collect();
        let last = &lines[lines.len().saturating_sub(4)..];
        let told: String =
            last.join("; ").chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect();
        (!told.is_empty()).then_some(told)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};

    use super::*;

    #[test]
    fn what_is_wrong_is_told_and_not_how_it_is_used() {
        let (reader, mut writer) = pipe().unwrap();
        let mut words = Words::new(reader.into());
        let said = "pasta: unrecognized option '--nope'\nFailed to send 51 bytes to syslog\nUsa";
        writer.write_all(said.as_bytes()).unwrap();
        assert!(!words.read());
        writer.write_all(b"ge: pasta [OPTION]...\n").unwrap();
        writer.write_all(&b"  --option  does\n".repeat(500)).unwrap();
        drop(writer);
        assert!(words.read());
        assert_eq!(words.told().unwrap(), "pasta: unrecognized option '--nope'");
    }

    #[test]
    fn what_was_said_is_kept_and_never_waited_for() {
        let (reader, mut writer) = pipe().unwrap();
        let mut words = Words::new(reader.into());
        assert!(!words.read());
        writer.write_all(b"sent tapfd=5 for tap0\n12\nbad \x1b[2J thing\n34").unwrap();
        assert!(!words.read());
        assert!(words.have_line(12) && !words.have_line(34) && !words.have_line(2));
        assert_eq!(words.told().unwrap(), "bad  [2J thing");
        writer.write_all(&[b'x'; 3 * KEPT]).unwrap();
        drop(writer);
        assert!(words.read() && words.fd().is_none());
        assert_eq!(words.told().unwrap().len(), KEPT);
    }
}
