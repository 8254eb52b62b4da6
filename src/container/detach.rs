//! `sublet run -d`: the container goes on when the command has ended.
//!
//! The process that was called divides itself before anything is started. The
//! new one, the supervisor, is the launcher from there on, in a session of its
//! own; it tells the caller how the start went, and stays with the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::exit;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::supervisor::Supervisor;
use crate::child::background::{self, Side};
use crate::error::{exit_code, report};
use crate::host::Host;
use crate::spec::Spec;
use crate::sys::{Errno, fd, process};

/// What the supervisor says while it starts the container.
#[derive(Serialize, Deserialize)]
enum Said {
    /// It is good to know.
    Tell(String),
    /// It is less than could be had.
    Warn(String),
    /// The payload runs.
    Running,
    /// It does not, with the report and the exit code.
    Failed(String, u8),
}

/// How the start went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The payload runs.
    Running,
    /// It does not.
    Failed {
        /// What is to be told: [`report`].
        report: String,
        /// The code to end with.
        code: u8,
    },
}

/// What is started.
#[derive(Debug)]
pub enum Which<'a> {
    /// A new container.
    New(Box<Spec>),
    /// One that others know already, by its name or id.
    Known(&'a str),
}

/// The longest report that is passed on.
const LONGEST: usize = 32 << 10;

/// Starts a container in the background. Calls `tell` with what is good to
/// know, and `warn` with what is less than could be had.
///
/// Of the descriptors of this process nothing may be in use but the standard
/// ones, and what is handed to the container.
///
/// # Errors
/// Where there can be no supervisor, or it was killed; whatever keeps the
/// payload from running is the [`Outcome`].
pub fn detach(
    which: Which<'_>,
    handed: u32,
    tell: impl Fn(&str),
    warn: impl Fn(&str),
) -> anyhow::Result<Outcome> {
    match background::divide(handed).context("start the supervisor")? {
        Side::Supervisor(line) => supervise(which, line),
        Side::Caller(supervisor, line) => {
            let mut packet = vec![0; 2 * LONGEST + 1024];
            loop {
                let (length, _) = match fd::receive(line.as_fd(), &mut packet) {
                    Err(Errno::EINTR) => continue,
                    received => received.context("hear from the supervisor")?,
                };
                if length == 0 {
                    let ended = process::wait(supervisor.pidfd.as_fd());
                    bail!("the supervisor has ended before the container ran: {ended:?}");
                }
                match serde_json::from_slice(&packet[..length])? {
                    Said::Tell(text) => tell(&text),
                    Said::Warn(text) => warn(&text),
                    Said::Running => return Ok(Outcome::Running),
                    Said::Failed(report, code) => return Ok(Outcome::Failed { report, code }),
                }
            }
        }
    }
}

/// What the supervisor does.
fn supervise(which: Which<'_>, line: OwnedFd) -> ! {
    let tell = |text: &str| say(line.as_fd(), &Said::Tell(cut(text)));
    let warn = |text: &str| say(line.as_fd(), &Said::Warn(cut(text)));
    let host = Host::new();
    let started = match which {
        Which::New(spec) => Supervisor::begin(&spec, &host, tell, warn),
        Which::Known(word) => Supervisor::again(word, &host, tell, warn),
    };
    drop(host);
    match started {
        Ok(supervisor) => {
            // Whoever is told that it runs may end.
            let _ = background::release();
            say(line.as_fd(), &Said::Running);
            drop(line);
            supervisor.stay();
            exit(0)
        }
        Err(error) => {
            say(line.as_fd(), &Said::Failed(cut(&report(&error)), exit_code(&error)));
            exit(1)
        }
    }
}

/// A caller that is gone needs no word.
fn say(line: BorrowedFd<'_>, said: &Said) {
    if let Ok(packet) = serde_json::to_vec(said) {
        let _ = fd::write_all(line, &packet);
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST / 6).collect()
}
