//! One run of a helper's program.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::Pid;

use super::Progress;
use super::recipe::{Ready, Recipe};
use super::words::Words;
use crate::child::helper;
use crate::error::Explain;
use crate::host::advice::{self, Advice, table::network};
use crate::plan::network::{Driver, Helper};
use crate::sys::{fd, process};

/// A helper that has been started. Dropped, it is killed and reaped.
pub struct Running {
    child: Child,
    pidfd: OwnedFd,
    words: Words,
    /// Until it is ready.
    ready: Option<Ready>,
    until: Instant,
    /// Closed with us, however we end.
    _hold: Option<OwnedFd>,
}

/// How long it may take until it is ready: it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

impl Running {
    /// Starts it.
    pub fn start(helper: &Helper, recipe: Recipe) -> anyhow::Result<Self> {
        let Recipe { arguments, input, output, before, ready, hold } = recipe;
        let mut command = Command::new(&helper.program);
        command
            .args(arguments)
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::piped());
        helper::prepare(&mut command, before);
        let what = || format!("start {}", helper.program.display());
        let mut child = command.spawn().with_context(what)?;
        // With it go our copies of what it keeps.
        drop(command);
        let words = child.stderr.take().map(OwnedFd::from);
        let pidfd = process::open_pidfd(Pid::from_raw(child.id() as i32));
        let (words, pidfd) = match (words, pidfd) {
            (Some(words), Ok(pidfd)) => (Words::new(words), pidfd),
            (_, failed) => {
                let _ = child.kill().and_then(|()| child.wait());
                failed.with_context(what)?;
                return Err(anyhow!("there is no pipe for what it says")).with_context(what);
            }
        };
        let until = Instant::now() + PATIENCE;
        Ok(Self { child, pidfd, words, ready: Some(ready), until, _hold: hold })
    }

    /// Its id, good until it is waited for.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Ready to be read once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Its words, until their end.
    pub fn words(&self) -> Option<BorrowedFd<'_>> {
        self.words.fd()
    }

    /// Takes in what it has said meanwhile.
    pub fn listen(&mut self) {
        self.words.read();
    }

    /// What tells that it is ready, or has ended, and until when it may take.
    pub fn awaited(&self) -> Option<(BorrowedFd<'_>, PollFlags, Instant)> {
        let fd = match self.ready.as_ref()? {
            Ready::Pipe(pipe) => pipe.as_fd(),
            Ready::OwnPid => self.words.fd().unwrap_or(self.pidfd.as_fd()),
        };
        Some((fd, PollFlags::POLLIN, self.until))
    }

    /// Whether it has said that it is ready.
    pub fn is_ready(&self) -> bool {
        self.ready.is_none()
    }

    /// Whether it is ready.
    ///
    /// # Errors
    /// Where it has ended instead, or says nothing for too long: with its own
    /// words.
    pub fn proceed(&mut self, helper: &Helper) -> anyhow::Result<Progress> {
        let ended = self.words.read();
        let (is_ready, ended) = match &self.ready {
            None => (true, false),
            Some(Ready::Pipe(pipe)) if has_news(pipe.as_fd()) => {
                let mut word = [0; 8];
                let is_ready = matches!(fd::read(pipe.as_fd(), &mut word), Ok(1..));
                (is_ready, !is_ready)
            }
            Some(Ready::Pipe(_)) => (false, false),
            Some(Ready::OwnPid) => (self.words.have_line(self.child.id()), ended),
        };
        if is_ready {
            self.ready = None;
            return Ok(Progress::Done);
        }
        if ended {
            return self.failed(helper);
        }
        if Instant::now() < self.until {
            return Ok(Progress::Waiting);
        }
        let said = self.words.told().map(|said| format!(" (it said: {said})")).unwrap_or_default();
        let seconds = PATIENCE.as_secs();
        Err(anyhow!("{SILENT} in {seconds} seconds that the network is there{said}"))
            .with_context(|| format!("wait for {}", helper.program.display()))
            .hint(meaning(SILENT, helper.driver.name()).hint)
    }

    /// How it has ended, once it has.
    pub fn ended(&mut self) -> String {
        let status = match self.child.wait() {
            Ok(status) => status.to_string(),
            // SIGCHLD is ignored, and the kernel has reaped it.
            Err(_) => "how is not known".to_owned(),
        };
        self.words.read();
        match self.words.told() {
            Some(told) => format!("{told}; {status}"),
            None => status,
        }
    }

    fn failed<T>(&mut self, helper: &Helper) -> anyhow::Result<T> {
        let said = self.ended();
        let hint = hint(&said, helper);
        Err(anyhow!("{said}"))
            .with_context(|| format!("connect the container with {}", helper.program.display()))
            .hint(hint)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both are harmless where it has ended: `Child` remembers.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(super) fn has_news(pipe: BorrowedFd<'_>) -> bool {
    fd::wait_readable([pipe], fd::Patience::None) == Ok([true])
}

/// What is said of one that says nothing.
const SILENT: &str = "it has not said";

/// What helps against a helper's last words.
fn hint(words: &str, helper: &Helper) -> String {
    let advice = meaning(words, helper.driver.name());
    let asked = match &helper.driver {
        Driver::Pasta { arguments, .. } if !arguments.is_empty() => {
            "what is behind pasta: is passed to it as its arguments, see man pasta\n"
        }
        _ => "",
    };
    format!("{asked}{}\nor go on without a network: --network none", advice.hint)
}

/// What the last words of the helper `name` mean, slirp4netns or pasta.
pub fn meaning(words: &str, name: &str) -> Advice {
    let says = |text: &str| words.contains(text);
    if says(SILENT) {
        return network::NETWORK_HELPER_SLOW.advice(&[("helper", &name)]);
    }
    if says("/dev/net/tun") || says("TUNSETIFF") {
        return advice::for_tun(Errno::EACCES);
    }
    let (other, oldest) = match name {
        "pasta" => ("slirp4netns", "pasta of 2023"),
        _ => ("pasta", "slirp4netns 1.2"),
    };
    let old = says("unrecognized option") || says("invalid option") || says("nvalid");
    let row = if old { &network::NETWORK_HELPER_OLD } else { &network::NETWORK_HELPER_FAILS };
    row.advice(&[("helper", &name), ("other", &other), ("oldest", &oldest)])
}
