//! Staying with the payload: signals on, terminal through, exit code back.
#![forbid(unsafe_code)]

pub mod background;
pub mod beside;
mod buffer;
mod clients;
mod front;
pub mod health;
mod memory;
pub mod notify;
mod outside;
mod overtime;
pub mod sender;
mod signals;
mod terminal;
mod wakes;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::Pid;

use crate::cgroup::placing::Placed;
use crate::cgroup::usage::Usage;
use crate::host::kernel_log;
use crate::launch::{Launched, Timing, patience};
use crate::network::{Services, Uplink};
use crate::plan::First;
use crate::security::seccomp;
use crate::spec::background::{STOP_TIMEOUT, Stop};
use crate::spec::health::OnFailure;
use crate::state;
use crate::sys::Errno;
use crate::sys::process::{Ended, send_signal};
pub use clients::Clients;
use clients::Heard;
pub use front::Front;
use front::Relay;
use health::Checks;
pub use memory::{RanOut, mebibytes};
use notify::Notify;
pub use outside::{Caller, Outside};
use overtime::Overtime;
use signals::{Forwarder, Sent};

/// What became of the payload.
#[derive(Debug)]
pub struct Exit {
    /// The exit code, as the field counts: the payload's own, or 128 and the
    /// number of the signal that killed it.
    pub code: u8,
    /// The signal that the code stands for, where one killed the payload.
    pub signal: Option<i32>,
    /// What its control group has used, if it had one.
    pub usage: Option<Usage>,
    /// What was killed in it for want of memory.
    pub ran_out: Option<RanOut>,
    /// Where the time went.
    pub timing: Timing,
    /// What ended it, where that is not to be seen from the code.
    pub told: Vec<String>,
    /// The last signal that could have ended it and was passed on.
    pub sent: Option<state::Sent>,
    /// Whether its time was over.
    pub timed_out: bool,
    /// The system call for which a filter has killed it, where the kernel's
    /// log may be read.
    pub refused: Option<String>,
    /// What happened to what it has beside its processes.
    pub happened: Vec<String>,
    /// What was done because it was not well.
    pub unhealthy: Option<OnFailure>,
}

/// The code of a payload whose time was over: podman's.
const EXIT_TIMED_OUT: u8 = 255;

/// What happened to one whose health check fails, without what is done then.
pub const UNWELL: &str = "it was unhealthy: --health-on-failure ";

/// What became of a payload whose caller's own process was killed.
const LOST: &str = "the command that it ran in the foreground of was killed, and it with that";

/// On what terms a payload runs.
pub struct Terms<'a> {
    /// Who is the first process of the container.
    pub first: First,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// How it is asked to end.
    pub stop: Stop,
    /// How it is asked whether it is well.
    pub checks: Option<Checks<'a>>,
    /// Whom it is told to that it is ready.
    pub notify: Option<Notify>,
}

/// Stays until the payload ends, or has run for as long as it may; so long its
/// ports are published and other commands answered. Calls `warn` with what fails
/// meanwhile and does not end it, and `network_down` when nothing connects it with
/// the world any more.
pub fn supervise(
    launched: Launched,
    outside: &mut Outside<'_>,
    front: Front,
    terms: Terms<'_>,
    warn: impl Fn(&str),
    network_down: impl Fn(),
) -> anyhow::Result<Exit> {
    // Stays in one piece: on an error the payload has to be dropped, and with
    // that killed, before the watcher, whose drop waits for the payload's end.
    let mut launched = launched;
    let Terms { first, timeout, stop, mut checks, mut notify } = terms;
    let (mut unhealthy, mut killing) = (None, None);
    launched.place_helper();
    let mut relay = Relay::begin(front, launched.terminal.take())?;
    outside.begin(relay.speech());
    notify.iter_mut().for_each(Notify::begin);
    let mut forwarder = Forwarder::new(launched.payload.pid(), first);
    let mut overtime = Overtime::new(timeout, stop, Instant::now());
    let (mut told, mut happened, mut sent) = (Vec::new(), Vec::new(), None);
    loop {
        let mut ready = vec![
            PollFd::new(launched.payload.pidfd(), PollFlags::POLLIN),
            PollFd::new(launched.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(launched.watcher.pidfd(), PollFlags::POLLIN),
        ];
        ready.extend(outside.interests());
        let from_outside = 3..ready.len();
        let awaited = outside.awaited();
        if awaited.is_none() {
            ready.extend(relay.interests());
        }
        if let Some(uplink) = &launched.uplink {
            ready.extend(uplink.news().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        }
        let services = launched.services.iter().filter_map(Services::news);
        ready.extend(services.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let speaks = notify.as_ref().zip(launched.notify.as_ref());
        ready.extend(speaks.and_then(|(notify, inside)| notify.news(inside)));
        ready.extend(checks.iter().filter_map(Checks::news));
        let link = launched.uplink.as_ref().and_then(Uplink::until);
        let check = checks.as_ref().and_then(Checks::next);
        let until = overtime.next().into_iter().chain(link).chain(awaited);
        let unsaid = notify.as_ref().and_then(Notify::next);
        let until = until.chain(check).chain(killing).chain(unsaid).min();
        match poll(&mut ready, patience(until)) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno).context("wait for the payload"),
        }
        let ended = ready[0].any().unwrap_or(true);
        let unwatched = ready[2].any().unwrap_or(true);
        let asked = ready[from_outside].iter().any(|fd| fd.any().unwrap_or(true));
        drop(ready);
        if asked && let Some(closed) = outside.attend(relay.speech()) {
            happened.push(closed.clone());
            told.push(closed);
        }
        for heard in outside.heard() {
            let payload = launched.payload.pidfd();
            match heard {
                Heard::Signal(by) => {
                    let number = by.signal;
                    if signals::ends(number) {
                        sent = Some(by);
                    }
                    if forwarder.forward(number, payload) == Sent::Stopped {
                        outside.tell_stopped();
                    }
                }
                Heard::Left => outside.let_go(),
                Heard::Lost => {
                    happened.push(LOST.to_owned());
                    let _ = send_signal(payload, nix::libc::SIGKILL);
                }
            }
        }
        if outside.awaited().is_none() {
            relay.relay(outside.clients.as_mut())?;
        }
        // What it has said before its end, too, as far as there is room.
        if let Some(notify) = &mut notify {
            notify.attend(launched.notify.as_ref());
        }
        if ended {
            break;
        }
        let now = Instant::now();
        if let Some(signal) = overtime.due(now) {
            forwarder.forward(signal, launched.payload.pidfd());
        }
        let acts = checks.as_mut().and_then(|checks| checks.attend(now));
        if let (Some(notify), true) = (&mut notify, checks.as_ref().is_some_and(Checks::is_well)) {
            notify.well();
        }
        if let Some(action) = acts {
            happened.push(format!("{UNWELL}{}", action.name()));
            unhealthy = Some(action);
            let patience = stop.timeout.unwrap_or(STOP_TIMEOUT);
            killing = match action {
                OnFailure::Kill | OnFailure::None => Some(now),
                OnFailure::Stop | OnFailure::Restart => {
                    let signal = stop.signal.unwrap_or(nix::libc::SIGTERM);
                    forwarder.forward(signal, launched.payload.pidfd());
                    Some(now + Duration::from_secs(patience.into()))
                }
            };
        }
        if killing.is_some_and(|until| until <= now) {
            killing = None;
            let _ = send_signal(launched.payload.pidfd(), nix::libc::SIGKILL);
        }
        if let Some(said) = launched.uplink.as_mut().and_then(Uplink::attend) {
            warn(&said);
            outside.note(&said);
            happened.push(said);
            launched.place_helper();
            if launched.uplink.as_ref().is_some_and(Uplink::is_down) {
                network_down();
            }
        }
        if let Some(said) = launched.services.as_mut().and_then(Services::attend) {
            warn(&said);
            outside.note(&said);
            happened.push(said);
        }
        if unwatched {
            launched.watcher.replace().context("start another watcher")?;
        }
        while let Some(info) = launched.signals.read_signal().context("read a signal")? {
            let number = info.ssi_signo as i32;
            if relay.takes(number) {
                continue;
            }
            if signals::ends(number) {
                sent = sender::sent(&info).or(sent);
            }
            if forwarder.forward(number, launched.payload.pidfd()) == Sent::Stopped && relay.stops()
            {
                // What lets us go on is a SIGCONT, which comes here too.
                signals::stop_too(launched.payload.pidfd());
            }
        }
    }
    launched.timing.ended();
    // While the watcher is there, so is the control group; and until it is
    // reaped the payload has a name.
    let usage = launched.placed.as_ref().map(Placed::usage);
    let mut ran_out = usage.as_ref().and_then(|usage| RanOut::of(usage.memory?));
    let name = ran_out.as_ref().and_then(|_| memory::name_of(launched.payload.pid()));
    let killed = matches!(launched.payload.ended(), Ok(Ended::Killed(_)));
    let unstarted =
        killed && first == First::Payload && state::never_executed(launched.payload.pid());
    let ended = launched.payload.wait().context("wait for the payload")?;
    let (code, signal) = match ended {
        _ if overtime.is_over() => (i32::from(EXIT_TIMED_OUT), None),
        Ended::Exited(code) => (code, None),
        Ended::Killed(signal) => {
            let signal = forwarder.cause_of(signal);
            (128 + signal, Some(signal))
        }
    };
    relay.finish(&launched.signals, outside.clients.as_mut());
    // All that is in the group is killed at once; so the payload is one of
    // them, if it is a SIGKILL that nobody asked for. Of a container with a
    // reaper that would be the reaper.
    if let Some(ran_out) = &mut ran_out {
        let payload = signal == Some(nix::libc::SIGKILL) && first == First::Payload;
        ran_out.first = name.filter(|_| payload);
    }
    told.extend(overtime.told().into_iter().chain(ran_out.as_ref().map(RanOut::told)));
    let mut refused = None;
    if signal == Some(nix::libc::SIGSYS) {
        refused = refused_call(launched.payload.pid());
        told.push(match &refused {
            _ if unstarted => UNSTARTED.to_owned(),
            Some(call) => format!("a system call filter has killed the command: it called {call}"),
            None => "a system call filter has killed the command; which call it was, the kernel \
                     says to root: dmesg | grep type=1326"
                .to_owned(),
        });
    } else if unstarted && signal.is_some_and(is_fault) {
        told.push(UNSTARTED.to_owned());
    }
    Ok(Exit {
        code: code as u8,
        signal,
        usage,
        ran_out,
        timing: launched.timing,
        told,
        sent,
        timed_out: overtime.is_over(),
        refused,
        happened,
        unhealthy,
    })
}

/// What is told of a filter for which not even the start could go on.
const UNSTARTED: &str = "the command was not started: the system call filter does not let execve, \
                         write and exit_group through";

/// Whether this is how a process ends that is not let do anything, not even exit.
fn is_fault(signal: i32) -> bool {
    [nix::libc::SIGILL, nix::libc::SIGSEGV, nix::libc::SIGTRAP].contains(&signal)
}

/// The call for which a filter has killed a process, if the log says so.
fn refused_call(process: Pid) -> Option<String> {
    let call = kernel_log::refused_call(process.as_raw())?;
    Some(seccomp::call_name(call.arch, call.number))
}
