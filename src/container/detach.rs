//! `sublet run -d`: the container goes on when the command has ended; and
//! `sublet run -it`, whose terminal may be left while it goes on.
//!
//! The process that was called divides itself before anything is started. The
//! new one, the supervisor, is the launcher from there on, in a session of its
//! own; it tells the caller how the start went, and stays with the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::exit;

use anyhow::{Context, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::{Deserialize, Serialize};

use super::attach::{self, Foreground};
use super::supervisor::{self, Stays, Supervisor};
use crate::cgroup::apart::Beside;
use crate::child::background::{self, Side};
use crate::error::{causes, exit_code, report};
use crate::host::Host;
use crate::monitor::Caller;
use crate::spec::Spec;
use crate::spec::signal::Signal;
use crate::spec::sockets::Sockets;
use crate::sys::fd::Patience;
use crate::sys::process::{Ended, Made};
use crate::sys::{Errno, fd, process};

/// What the supervisor says while it starts the container.
#[derive(Serialize, Deserialize)]
enum Said {
    /// It is good to know.
    Tell(String),
    /// It is less than could be had.
    Warn(String),
    /// The payload runs; whether others know of it.
    Running {
        /// They do.
        known: bool,
        /// The scope beside which the supervisor belongs.
        beside: Option<Beside>,
    },
    /// It does not, with the report and the exit code.
    Failed(String, u8),
}

/// How the start went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The payload runs.
    Running,
    /// It has run in the foreground, to this end.
    Over(attach::Outcome),
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
    /// One that others know already, by its name or id, and the sockets that
    /// it is to have this time.
    Known(&'a str, &'a Sockets),
}

/// The longest report that is passed on.
const LONGEST: usize = 32 << 10;

/// Starts a container behind a supervisor: in the background, or in the caller's
/// `foreground` until he leaves it. Calls `tell` with what is good to know, and
/// `warn` with what is less than could be had.
///
/// Of the descriptors of this process nothing may be in use but the standard
/// ones, and what is handed to the container.
///
/// # Errors
/// Where there can be no supervisor, or it was killed; whatever keeps the
/// payload from running is the [`Outcome`]. In the foreground, what the caller's
/// streams say.
pub fn detach(
    which: Which<'_>,
    handed: u32,
    foreground: Option<Foreground>,
    tell: impl Fn(&str),
    warn: impl Fn(&str),
) -> anyhow::Result<Outcome> {
    let stays = match &foreground {
        None => Stays::Nobody,
        Some(foreground) if foreground.ends => Stays::ToTheEnd,
        Some(_) => Stays::AsLongAsHeLikes,
    };
    match background::divide(handed).context("start the supervisor")? {
        Side::Supervisor(line) => supervise(which, stays, line),
        Side::Caller(made, line) => {
            let mut packet = vec![0; 2 * LONGEST + 1024];
            loop {
                let (length, _) = match fd::receive(line.as_fd(), &mut packet) {
                    Err(Errno::EINTR) => continue,
                    received => received.context("hear from the supervisor")?,
                };
                if length == 0 {
                    return lost(&made);
                }
                match serde_json::from_slice(&packet[..length])? {
                    Said::Tell(text) => tell(&text),
                    Said::Warn(text) => warn(&text),
                    Said::Running { known, beside } => {
                        let apart = || take_apart(beside.as_ref(), &made, &warn);
                        let Some(mut foreground) = foreground else {
                            apart();
                            return Ok(Outcome::Running);
                        };
                        let ends = foreground.ends;
                        if !ends {
                            apart();
                        }
                        if !known {
                            // Nobody would find it again.
                            foreground.keys = None;
                        }
                        let outcome = attach::stay(line, foreground, &tell)?;
                        if outcome == attach::Outcome::Left {
                            if ends {
                                apart();
                            }
                            supervisor::left(&Host::new(), &warn);
                        }
                        return Ok(Outcome::Over(outcome));
                    }
                    Said::Failed(report, code) => return Ok(Outcome::Failed { report, code }),
                }
            }
        }
    }
}

/// What is told of a supervisor that has said nothing, and has ended.
fn lost<T>(supervisor: &Made) -> anyhow::Result<T> {
    let how = match process::wait(supervisor.pidfd.as_fd()) {
        Ok(Ended::Killed(number)) => format!("{} killed it", Signal(number)),
        Ok(Ended::Exited(code)) => format!("its exit code is {code}"),
        Err(_) => "how is not known".to_owned(),
    };
    bail!("the supervisor has ended before the container ran: {how}")
}

/// Takes the supervisor, and with it the container, out of what ends with the
/// caller. Not before the payload runs, for a move takes longer than all else in
/// a start; and by the caller's process, so that the payload never waits for it.
fn take_apart(beside: Option<&Beside>, supervisor: &Made, warn: impl Fn(&str)) {
    let is_over = || fd::wait_readable([supervisor.pidfd.as_fd()], Patience::None) != Ok([false]);
    let Some(beside) = beside.filter(|_| !is_over()) else { return };
    if let Err(error) = beside.take(supervisor.pid, &Host::new())
        && !is_over()
    {
        warn(&format!("it ends with the session or service that you are in: {}", causes(&error)));
    }
}

/// What the supervisor does.
fn supervise(which: Which<'_>, stays: Stays, line: OwnedFd) -> ! {
    let tell = |text: &str| say(line.as_fd(), &Said::Tell(cut(text)));
    let warn = |text: &str| say(line.as_fd(), &Said::Warn(cut(text)));
    let host = Host::new();
    let started = match which {
        Which::New(spec) => Supervisor::begin(&spec, stays, &host, tell, warn),
        Which::Known(word, sockets) => Supervisor::again(word, sockets, &host, tell, warn),
    };
    drop(host);
    match started {
        Ok(supervisor) => {
            // Whoever is told that it runs may end.
            let _ = background::release();
            let (known, beside) = (supervisor.is_known(), supervisor.beside());
            say(line.as_fd(), &Said::Running { known, beside });
            let caller = match stays {
                Stays::Nobody => None,
                Stays::ToTheEnd | Stays::AsLongAsHeLikes => {
                    let _ = fcntl(&line, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_RDWR));
                    Some(Caller { line, ends: stays == Stays::ToTheEnd })
                }
            };
            supervisor.stay(caller);
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
