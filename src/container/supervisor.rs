//! What stays with a container in the background: starts it, keeps its output,
//! and starts it again where that was asked for.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::pipe2;

use super::linger;
use super::record::{self, Recorded, Wanted};
use super::run::{self, Clock, Started, Stayed};
use crate::cgroup::apart::Beside;
use crate::error::causes;
use crate::host::Host;
use crate::launch::{nobody_waits, patience};
use crate::log::{self, Stream, Writer};
use crate::monitor::background::{Background, Log};
use crate::monitor::{Caller, Exit, Front};
use crate::plan::Plan;
use crate::spec::background::{self, Restart};
use crate::spec::health::OnFailure;
use crate::spec::sockets::Sockets;
use crate::spec::{ContainerId, Spec, Stdin};
use crate::state::{Store, Tree, Upkeep};
use crate::sys::fd;

/// How long the caller stays with the container that he starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stays {
    /// He goes on once it runs.
    Nobody,
    /// Until he leaves it; whatever else ends him ends it too.
    ToTheEnd,
    /// Until he goes, and it is nothing to the container.
    AsLongAsHeLikes,
}

/// One container, which runs.
pub(super) struct Supervisor {
    id: ContainerId,
    started: Started,
    front: Background,
    log: Log,
    restart: Restart,
    /// What it was handed at this start, where that is not what is written down.
    sockets: Option<Sockets>,
}

impl Supervisor {
    /// Starts a new container.
    ///
    /// # Errors
    /// Whatever kept the payload from running, with what would help.
    pub fn begin(
        spec: &Spec,
        stays: Stays,
        host: &Host,
        tell: impl Fn(&str),
        warn: impl Fn(&str),
    ) -> anyhow::Result<Self> {
        // What is in the background is nowhere else to be found or heard. Of
        // what somebody has before his eyes less is asked.
        let (wanted, before_his_eyes) = match stays {
            Stays::ToTheEnd => (Wanted::Gladly, true),
            Stays::Nobody | Stays::AsLongAsHeLikes => (Wanted::Always, false),
        };
        let unlogged = |error: anyhow::Error| {
            let why = causes(&error);
            warn(&format!("what it says is not kept: {why}"));
        };
        let path = match log_path(spec, host) {
            Err(error) if before_his_eyes => {
                unlogged(error);
                None
            }
            path => path?,
        };
        let log = Log::default();
        let upkeep = Upkeep { log: path.clone(), background: true, ..run::upkeep(spec) };
        let record = |plan: &mut Plan, trees| {
            let recorded = record::begin(spec, plan, trees, upkeep, wanted)?;
            // Not before there is a record that leads to it.
            let path = path.as_deref().filter(|_| recorded.is_some());
            *log.borrow_mut() = match open_log(spec, path) {
                Err(error) if before_his_eyes => {
                    unlogged(error);
                    None
                }
                opened => opened?,
            };
            Ok(recorded)
        };
        if stays == Stays::Nobody {
            lingers(host, path.as_deref(), &warn);
        }
        let started = start(spec, host, (Rc::clone(&log), record), tell, &warn);
        if let (Err(_), Some(path)) = (&started, &path) {
            log::remove(path);
        }
        started
    }

    /// Starts a container again that has ended, or was only made, with these
    /// sockets of a service manager's and no others.
    ///
    /// # Errors
    /// As [`begin`](Self::begin); one that runs, or of which it is not known
    /// what was asked for.
    pub fn again(
        word: &str,
        sockets: &Sockets,
        host: &Host,
        tell: impl Fn(&str),
        warn: impl Fn(&str),
    ) -> anyhow::Result<Self> {
        let store = record::store()?;
        let (mut recorded, mut spec) = Recorded::take(&store, word)?;
        spec.hand(sockets);
        let path = log_path(&spec, host)?;
        let log = Log::default();
        let record = |plan: &mut Plan, trees| {
            recorded.again(plan, trees, |upkeep| {
                upkeep.log = path.clone();
                upkeep.background = true;
                upkeep.stopped = false;
                upkeep.restarts = 0;
            })?;
            *log.borrow_mut() = open_log(&spec, path.as_deref())?;
            Ok(Some(recorded))
        };
        let mut started = start(&spec, host, (Rc::clone(&log), record), tell, warn)?;
        started.sockets = Some(sockets.clone());
        Ok(started)
    }

    /// Whether others know of it.
    pub fn is_known(&self) -> bool {
        self.started.is_known()
    }

    /// The scope beside which we belong, if any.
    pub fn beside(&self) -> Option<Beside> {
        self.started.beside()
    }

    /// Stays until the container is over, with the `caller` if he does too.
    pub fn stay(self, mut caller: Option<Caller>) {
        let Self { id, mut started, mut front, log, restart, sockets } = self;
        let warn = |text: &str| note(&log, text);
        let mut pause = Pause::new();
        loop {
            let since = Instant::now();
            let caller = caller.take();
            let stayed = started.stay(Front::Background(front), caller, warn);
            let Stayed { exit, record, mut clients, mut closing } = stayed;
            let mut told = |line: &str| {
                note(&log, line);
                clients.iter_mut().for_each(|clients| clients.note(line));
            };
            match &exit {
                Ok(exit) => exit.told.iter().for_each(|line| told(line)),
                Err(error) => told(&causes(error)),
            }
            // Not before the record says so: who hears of it relies on that.
            let mut clients = clients.zip(exit.as_ref().ok().map(|exit| exit.code));
            let mut tell_end = |again| {
                if let Some((clients, code)) = clients.take() {
                    clients.end(code, again);
                }
            };
            let Some(mut record) = record else {
                tell_end(false);
                run::see_off(closing);
                return;
            };
            let again = match &exit {
                Ok(exit) if may_go_on(restart, exit) => {
                    record.restarting(exit).is_ok_and(|known| {
                        let Upkeep { stopped, restarts, .. } = known.upkeep;
                        let unwell = exit.unhealthy == Some(OnFailure::Restart);
                        !stopped && (unwell || restart.wants(exit.code, restarts))
                    }) && {
                        tell_end(true);
                        nobody_waits();
                        run::see_off(closing.take())
                            && pause.wait(since.elapsed())
                            && !record.is_stopped()
                    }
                }
                _ => false,
            };
            if !again {
                if let Err(error) = record.finish(exit.as_ref().ok()) {
                    note(&log, &format!("the record doesn't say how it ended: {}", causes(&error)));
                }
                tell_end(false);
                run::see_off(closing);
                return;
            }
            match once_more(&id, record, &log, sockets.as_ref()) {
                Ok(next) => Self { started, front, .. } = next,
                Err(error) => {
                    return note(&log, &format!("it can't be started again: {}", causes(&error)));
                }
            }
        }
    }
}

/// Whether it may be started again after that.
fn may_go_on(restart: Restart, exit: &Exit) -> bool {
    match exit.unhealthy {
        Some(OnFailure::Restart) => true,
        Some(OnFailure::Stop) => false,
        Some(OnFailure::None | OnFailure::Kill) | None => restart != Restart::No,
    }
}

/// Starts it once more.
fn once_more(
    id: &ContainerId,
    recorded: Recorded,
    log: &Log,
    sockets: Option<&Sockets>,
) -> anyhow::Result<Supervisor> {
    nobody_waits();
    let mut unused = Some(recorded);
    let mut start = || {
        let host = Host::new();
        let store = record::store()?;
        let mut spec = store.spec(&store.find(id.as_str())?)?;
        sockets.iter().for_each(|sockets| spec.hand(sockets));
        let record = |plan: &mut Plan, trees| {
            let mut recorded = unused.take().context("a start is recorded once")?;
            recorded.again(plan, trees, |upkeep| upkeep.restarts += 1)?;
            Ok(Some(recorded))
        };
        let warn = |text: &str| note(log, text);
        start(&spec, &host, (Rc::clone(log), record), |_| (), warn)
    };
    let started = start();
    // What failed before it was recorded is to be found there all the same.
    if let (Err(error), Some(recorded)) = (&started, unused) {
        recorded.failed(error);
    }
    started
}

/// Starts a container whose streams we hold.
fn start(
    spec: &Spec,
    host: &Host,
    (log, record): (Log, impl FnOnce(&mut Plan, Vec<Tree>) -> anyhow::Result<Option<Recorded>>),
    tell: impl Fn(&str),
    warn: impl Fn(&str),
) -> anyhow::Result<Supervisor> {
    let terminal = run::upkeep(spec).terminal;
    let streams = Streams::make(terminal, spec.beside.stdin).context("make the streams")?;
    let started = run::start(spec, Clock::Off, host, record, tell, warn);
    // Ours has to be gone, or the payload's end would not be seen.
    let front = streams.ours(Rc::clone(&log))?;
    let started = started?;
    let (id, restart) = (spec.beside.id.clone(), spec.beside.restart);
    Ok(Supervisor { id, started, front, log, restart, sockets: None })
}

/// The payload's streams: our standard ones, as long as it is started.
struct Streams {
    sources: Vec<(OwnedFd, Stream)>,
    input: Option<OwnedFd>,
}

impl Streams {
    fn make(terminal: bool, stdin: Stdin) -> crate::sys::Result<Self> {
        let mut streams = Self { sources: Vec::new(), input: None };
        if terminal {
            return Ok(streams);
        }
        for (number, stream) in [(1, Stream::Out), (2, Stream::Err)] {
            let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
            fd::install(theirs.as_fd(), number)?;
            streams.sources.push((ours, stream));
        }
        if stdin == Stdin::Inherit {
            let (theirs, ours) = pipe2(OFlag::O_CLOEXEC)?;
            // For those who are attached and write to it: nobody waits for a
            // payload that doesn't read. Of the payload's end it says nothing.
            fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_WRONLY))?;
            fd::install(theirs.as_fd(), 0)?;
            streams.input = Some(ours);
        }
        Ok(streams)
    }

    /// Our ends of them; our own streams are null devices again.
    fn ours(self, log: Log) -> anyhow::Result<Background> {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null");
        let null = null.context("open /dev/null")?;
        for number in [0, 1, 2] {
            fd::install(null.as_fd(), number).context("leave the streams")?;
        }
        Background::new(self.sources, self.input, log)
    }
}

/// Where the log of the container is to be, if it is to have one. Now and then
/// logs of others that nobody knows any more are removed on the way.
fn log_path(spec: &Spec, host: &Host) -> anyhow::Result<Option<PathBuf>> {
    if spec.beside.log == background::Log::None {
        return Ok(None);
    }
    let home = host.account()?.ok().map(|account| account.user.home.clone());
    let directory = log::directory(home.as_deref())?;
    if spec.beside.id.has_turn()
        && let Ok(store) = record::store()
    {
        log::sweep(&directory, |id| is_known(&store, id));
    }
    Ok(Some(directory.join(format!("{}.log", spec.beside.id))))
}

fn is_known(store: &Store, id: &ContainerId) -> bool {
    !matches!(store.seek(id.as_str()), Ok(None))
}

fn open_log(spec: &Spec, path: Option<&Path>) -> anyhow::Result<Option<Writer>> {
    match (spec.beside.log, path) {
        (background::Log::File(rotation), Some(path)) => Writer::open(path, rotation).map(Some),
        _ => Ok(None),
    }
}

/// Says, once, that a container in the background may not outlive the session.
fn lingers(host: &Host, log: Option<&Path>, warn: &impl Fn(&str)) {
    let told = log.and_then(|path| linger::warning(host, path.parent()?));
    told.iter().for_each(|told| warn(told));
}

/// Says it for one that is left to itself.
pub(super) fn left(host: &Host, warn: &impl Fn(&str)) {
    let home = host.account().ok().and_then(Result::ok).map(|account| account.user.home.clone());
    if let Ok(directory) = log::directory(home.as_deref()) {
        lingers(host, Some(&directory.join("log")), warn);
    }
}

/// Says something of ours in the log.
fn note(log: &Log, text: &str) {
    if let Some(log) = &mut *log.borrow_mut() {
        log.write(Stream::Err, format!("[sublet: {text}]\n").as_bytes());
    }
}

/// The time between an end and the next start: twice as long each time, as
/// docker has it, and from the beginning again after a run that lasted.
struct Pause(Duration);

impl Pause {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(60);
    const LASTED: Duration = Duration::from_secs(10);

    fn new() -> Self {
        Self(Self::FIRST)
    }

    /// Waits, after a run that has lasted so long; false if we are told to end
    /// meanwhile. What else comes was for the run that is over.
    fn wait(&mut self, lasted: Duration) -> bool {
        if lasted >= Self::LASTED {
            self.0 = Self::FIRST;
        }
        let until = Instant::now() + self.0;
        self.0 = (self.0 * 2).min(Self::LONGEST);
        // They are blocked since the first start.
        let mut set = SigSet::empty();
        let for_the_payload = [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];
        for_the_payload.into_iter().chain([Signal::SIGTERM]).for_each(|one| set.add(one));
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let Ok(signals) = SignalFd::with_flags(&set, flags) else { return true };
        loop {
            let mut told = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut told, patience(Some(until))) {
                Ok(0) => return true,
                Ok(_) => match signals.read_signal() {
                    Ok(Some(told)) if told.ssi_signo as i32 == libc::SIGTERM => return false,
                    _ => {}
                },
                Err(_) if Instant::now() >= until => return true,
                Err(_) => {}
            }
        }
    }
}
