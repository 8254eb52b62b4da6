//! newuidmap or newgidmap, running.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, anyhow};
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::error::is_harmful;
use crate::host::Host;
use crate::host::advice::table::ids;
use crate::host::advice::{self, Advice};
use crate::host::ids::Mapping;

/// The most that is kept of a helper's complaint.
const COMPLAINT: u64 = 4096;

/// A started helper; waited for when dropped.
#[derive(Debug)]
pub(super) struct Running {
    program: PathBuf,
    child: Child,
}

impl Running {
    /// Starts `program` for the namespace of `pid`, newuidmap(1).
    ///
    /// Nothing of our environment reaches a program with privileges. No other
    /// directory is asked for: then it is posix_spawn(3) that starts it,
    /// which shares our memory until exec and is a little faster than fork.
    pub(super) fn start(program: &Path, pid: Pid, map: &[Mapping]) -> anyhow::Result<Self> {
        let numbers =
            map.iter().flat_map(|mapping| [mapping.inside, mapping.outside, mapping.size]);
        let child = Command::new(program)
            .arg(pid.to_string())
            .args(numbers.map(|number| number.to_string()))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Self { program: program.to_owned(), child })
    }

    /// Where it complains: at its end when it is done.
    pub(super) fn words(&self) -> Option<BorrowedFd<'_>> {
        self.child.stderr.as_ref().map(AsFd::as_fd)
    }

    /// Waits for the end. What the helper complains of is the error.
    pub(super) fn finish(mut self, host: &Host) -> anyhow::Result<()> {
        let mut complaint = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            stderr.take(COMPLAINT).read_to_end(&mut complaint).context("read its complaint")?;
        }
        let status = match self.child.wait() {
            Ok(status) => status,
            // SIGCHLD is ignored, as some parents leave it: the kernel has
            // reaped it already, and the maps themselves tell how it went.
            Err(error) if error.raw_os_error() == Some(Errno::ECHILD as i32) => return Ok(()),
            Err(error) => {
                return Err(error).with_context(|| format!("wait for {}", self.program.display()));
            }
        };
        if status.success() {
            return Ok(());
        }
        self.refused(status, &complaint, host)
    }

    fn refused(&self, status: ExitStatus, complaint: &[u8], host: &Host) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(complaint);
        // What is printed reaches a terminal.
        let words: String =
            text.trim().chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect();
        let name = self.program.display();
        let said = if words.is_empty() { status.to_string() } else { words };
        meaning(&said, host).beside(anyhow!("run {name}: {said}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Reaped in any case. One that has not been waited for is not wanted
        // any more; its real uid is ours, so we may end it though it runs as
        // root (kill(2)). Both are harmless twice: `Child` remembers.
        drop(self.child.stderr.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the words of shadow's newuidmap and newgidmap mean, and what helps.
fn meaning(words: &str, host: &Host) -> Advice {
    let says = |text: &str| words.contains(text);
    let row = if says("not allowed") {
        &ids::RANGE_UNKNOWN
    } else if says("different user") {
        &ids::HELPER_SEES_NOBODY
    } else if says("Operation not permitted") {
        return advice::for_map(Errno::EPERM, host);
    } else {
        &ids::HELPER_FAILED
    };
    row.advice(&[])
}
