//! Whether anything is in a cgroup or below it, whether it stands still, and its
//! end.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::libc;

use super::deadline::Deadline;
use super::refused::{Attempt, Refused};
use super::tree::Directory;
use crate::sys::fd;

const EVENTS: &str = "cgroup.events";

impl Directory {
    /// Whether a process is here or below that has not ended.
    ///
    /// # Errors
    /// ENOENT for the root of the tree, ENODEV once it is removed.
    pub fn populated(&self) -> Result<bool, Refused> {
        Ok(value(&self.read(EVENTS)?, "populated") == Some(true))
    }

    /// Waits until no process is here or below; false if one still is at the
    /// deadline.
    ///
    /// # Errors
    /// As [`populated`](Self::populated).
    pub fn await_empty(&self, deadline: Deadline) -> Result<bool, Refused> {
        self.await_event("populated", false, deadline)
    }

    /// Kills every process here and below, those that are being forked too:
    /// cgroup.kill, of Linux 5.14. It doesn't wait for their ends; frozen ones
    /// end, too.
    ///
    /// # Errors
    /// ENODEV once it is removed.
    pub fn kill(&self) -> Result<(), Refused> {
        self.write("cgroup.kill", "1")
    }

    /// Stops all processes here and below where they are, until
    /// [`thaw`](Self::thaw).
    ///
    /// # Errors
    /// ETIMEDOUT where they don't all stand still at the deadline: one waits
    /// in the kernel for something that doesn't come. They stay told to.
    pub fn freeze(&self, deadline: Deadline) -> Result<(), Refused> {
        self.set_frozen("1", true, "frozen", deadline)
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// ETIMEDOUT where a cgroup above is frozen.
    pub fn thaw(&self, deadline: Deadline) -> Result<(), Refused> {
        self.set_frozen("0", false, "thawed", deadline)
    }

    fn set_frozen(
        &self,
        content: &str,
        frozen: bool,
        state: &'static str,
        deadline: Deadline,
    ) -> Result<(), Refused> {
        self.write("cgroup.freeze", content)?;
        match self.await_event("frozen", frozen, deadline)? {
            true => Ok(()),
            false => Err(self.refused(Attempt::Await(state), Errno::ETIMEDOUT)),
        }
    }

    /// Waits until `key` is `wanted`. The kernel tells news of this file by
    /// POLLPRI to who has read it before through the same descriptor.
    fn await_event(&self, key: &str, wanted: bool, deadline: Deadline) -> Result<bool, Refused> {
        let wait = || {
            let events = self.open_file(EVENTS, libc::O_RDONLY)?;
            loop {
                let mut text = [0; 256];
                let length = fd::read_at(events.as_fd(), &mut text, 0)?;
                if value(&String::from_utf8_lossy(&text[..length]), key) == Some(wanted) {
                    return Ok(true);
                }
                let left = deadline.milliseconds();
                match fd::wait_news(events.as_fd(), left) {
                    Ok(true) | Err(Errno::EINTR) if left > 0 => {}
                    Err(errno) if errno != Errno::EINTR => return Err(errno),
                    _ => return Ok(false),
                }
            }
        };
        wait().map_err(|errno| self.refused(Attempt::Read(EVENTS.to_owned()), errno))
    }
}

/// A line `KEY 0` or `KEY 1`.
fn value(text: &str, key: &str) -> Option<bool> {
    match text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))? {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_by_name() {
        let text = "populated 1\nfrozen 0\nfrozenness 1\nodd 2\n";
        assert_eq!(value(text, "populated"), Some(true));
        assert_eq!(value(text, "frozen"), Some(false));
        assert_eq!(value(text, "odd"), None);
        assert_eq!(value("", "frozen"), None);
    }
}
