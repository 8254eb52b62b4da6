//! One run of the launcher, from the outside.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use sublet::sys::process::Ended;

use crate::cases::{READY, Streams};

/// Names, to the launcher, the descriptor of the file that counts.
pub const COUNTER: &str = "SUBLET_NO_HEAP_COUNTER";

/// A start takes some milliseconds, on a slow machine more.
const DEADLINE: Duration = Duration::from_secs(60);

/// What became of it.
pub struct Launched {
    /// How it ended.
    pub ended: Ended,
    /// All that it and the payload said.
    pub output: String,
    /// How often its children used the heap.
    pub uses: u32,
    /// How the processes ended that it did not wait for.
    pub orphans: Vec<WaitStatus>,
}

impl Launched {
    /// Runs it to its end, and to that of all that it leaves behind. A signal
    /// is sent once the payload is there.
    pub fn run(words: &[String], streams: Streams, signal: Option<Signal>) -> anyhow::Result<Self> {
        Self::run_as("sublet", words, streams, signal)
    }

    /// The same under another name.
    pub fn run_as(
        name: &str,
        words: &[String],
        streams: Streams,
        signal: Option<Signal>,
    ) -> anyhow::Result<Self> {
        // What is left behind comes to us.
        nix::sys::prctl::set_child_subreaper(true).context("become the one to reap orphans")?;
        // Without CLOEXEC: the launcher is to have it.
        let counter = File::from(memfd_create(c"uses", MFdFlags::empty())?);
        counter.set_len(4)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg0(name).args(words).env(COUNTER, counter.as_raw_fd().to_string());
        // Nobody listens there; but then each has a socket for it.
        command.env("NOTIFY_SOCKET", "@sublet-no-heap");
        let mut output = Output::of(&mut command, streams)?;
        let child = command.spawn()?;
        // It holds the other end of the output.
        drop(command);
        let status = see_off(child, &mut output, signal)?;
        let orphans = reap_all()?;
        let mut uses = [0; 4];
        counter.read_exact_at(&mut uses, 0)?;
        let ended = match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exited(code),
            (None, Some(signal)) => Ended::Killed(signal),
            (None, None) => bail!("it ended as {status}"),
        };
        Ok(Self { ended, output: output.text()?, uses: u32::from_ne_bytes(uses), orphans })
    }

    /// A killed launcher leaves its watcher, which ends by itself, and the
    /// payload, which is killed; any other leaves nothing.
    pub fn orphans_ended_well(&self) -> bool {
        let watcher = |status: &&WaitStatus| matches!(status, WaitStatus::Exited(_, 0));
        let killed =
            |status: &&WaitStatus| matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _));
        let orphans = self.orphans.iter();
        let counts = (orphans.clone().filter(watcher).count(), orphans.filter(killed).count());
        match self.ended {
            Ended::Killed(_) => self.orphans.len() == 2 && counts == (1, 1),
            Ended::Exited(_) => self.orphans.is_empty(),
        }
    }
}

impl fmt::Display for Launched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, it said {:?}", self.ended, self.output)
    }
}

/// Waits for its end, and sends the signal on the way.
fn see_off(
    mut child: Child,
    output: &mut Output,
    mut signal: Option<Signal>,
) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    loop {
        let text = output.text()?;
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if text.contains(READY)
            && let Some(signal) = signal.take()
        {
            kill(Pid::from_raw(child.id() as i32), signal)?;
        }
        if start.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            let orphans = reap_all()?;
            bail!("it did not end; it left {orphans:?} and said {text:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for the end of every process that is ours now.
fn reap_all() -> anyhow::Result<Vec<WaitStatus>> {
    let start = Instant::now();
    let mut all = Vec::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Err(Errno::ECHILD) => return Ok(all),
            Ok(WaitStatus::StillAlive) if start.elapsed() > DEADLINE => {
                bail!("something is left that does not end, after {all:?}")
            }
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(2)),
            Ok(status) => all.push(status),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Where the launcher writes.
enum Output {
    File(File),
    Terminal { master: File, so_far: Vec<u8> },
}

impl Output {
    fn of(command: &mut Command, streams: Streams) -> anyhow::Result<Self> {
        match streams {
            Streams::Files => {
                let file = File::from(memfd_create(c"output", MFdFlags::MFD_CLOEXEC)?);
                let (out, err) = (file.try_clone()?, file.try_clone()?);
                command.stdin(Stdio::null()).stdout(out).stderr(err);
                Ok(Self::File(file))
            }
            Streams::Terminal => {
                let pty = openpty(None, None).context("open a pty")?;
                let end = || pty.slave.try_clone();
                command.stdin(end()?).stdout(end()?).stderr(end()?);
                fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
                Ok(Self::Terminal { master: File::from(pty.master), so_far: Vec::new() })
            }
        }
    }

    /// All that was written until now.
    fn text(&mut self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        match self {
            // The descriptor's own offset is the writers'.
            Self::File(file) => {
                bytes.resize(file.metadata()?.len() as usize, 0);
                file.read_exact_at(&mut bytes, 0)?;
            }
            Self::Terminal { master, so_far } => {
                // Ends with EAGAIN, or EIO when nobody has the other end.
                let _ = master.read_to_end(so_far);
                bytes.extend_from_slice(so_far);
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
