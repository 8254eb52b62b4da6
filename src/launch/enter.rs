//! Starts a process that goes into a container that runs, and serves it until
//! it has become the program.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use anyhow::{Context, anyhow};
use nix::fcntl::{OFlag, open};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use super::channel::{self, Channel};
use super::explain;
use super::wait::{Awaited, wait_for};
use crate::cgroup::joining::Joining;
use crate::cgroup::systemd::Progress;
use crate::child::keeper::{Keeper, Stay, Word};
use crate::child::report::Report;
use crate::child::start::Orders;
use crate::error::{Explain, MORE_FILES};
use crate::host::Host;
use crate::host::inside::Inside;
use crate::plan::Streams;
use crate::plan::enter::{Entry, Held};
use crate::plan::step::{Gate, Step};
use crate::spec::signal::Signal;
use crate::state::happening::LastWords;
use crate::state::never_executed;
use crate::sys::Errno;
use crate::sys::fd::standard;
use crate::sys::process::{self, Ended};
use crate::sys::tty::is_terminal;

/// A program that runs in a container. Dropped before it was left to its
/// keeper, it is killed.
pub struct Entered {
    /// Its process.
    pub program: Program,
    /// The signals that come for the launcher, to be forwarded.
    pub signals: SignalFd,
    /// The launcher's end of its terminal.
    pub terminal: Option<OwnedFd>,
    /// Its parent, which tells how it ended.
    pub keeper: Keeper,
}

impl Entered {
    /// Leaves the program, and its terminal with it, to the one that takes in
    /// what we leave behind: for a keeper that stays until it runs. That one is
    /// its parent when this returns.
    pub fn hand_over(self) {
        self.program.leave();
        self.keeper.runs();
        // Waited for by its drop.
    }
}

/// The process of a program, which is not our child.
pub struct Program {
    /// Its id; somebody else's once the keeper has told its end.
    pub pid: Pid,
    /// Refers to it for good.
    pub pidfd: OwnedFd,
    /// What becomes of it with this value.
    left: bool,
}

impl Program {
    /// Lets it go on.
    pub fn leave(mut self) {
        self.left = true;
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.left {
            let _ = process::send_signal(self.pidfd.as_fd(), nix::libc::SIGKILL);
        }
    }
}

/// Goes into the container that `inside` shows, and returns once the program has
/// been executed. Its parent stays as long as `stay` says, and writes its end
/// down by `last_words`.
///
/// # Errors
/// The step that failed, with the reason and what would help.
pub fn enter(
    entry: Entry,
    inside: Inside,
    stay: Stay,
    last_words: Option<LastWords>,
    host: &Host,
) -> anyhow::Result<Entered> {
    let nobody = |_, _| Err(anyhow!("nobody decides about its system calls"));
    enter_and_listen(entry, inside, stay, last_words, &nobody, host)
}

/// Hands over the listener of a program's filter, or says why it can't.
pub type Listened<'a> = &'a dyn Fn(Pid, OwnedFd) -> anyhow::Result<()>;

/// The same for a program about whose system calls somebody else decides, who
/// gets the listener by `listened`.
///
/// # Errors
/// As [`enter`]; what `listened` says.
pub fn enter_and_listen(
    entry: Entry,
    inside: Inside,
    stay: Stay,
    last_words: Option<LastWords>,
    listened: Listened<'_>,
    host: &Host,
) -> anyhow::Result<Entered> {
    let (channel, childs_end) = channel::pair()?;
    let forwarded = process::forwarded_signals();
    forwarded.thread_block().context("block signals")?;
    let signals = SignalFd::with_flags(&forwarded, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("make a descriptor for signals")?;
    let Entry { group, streams, held, steps, slots, container, .. } = entry;
    let joining = group.as_ref().map(Joining::prepare).transpose()?;
    let steps: Rc<[Step]> = steps.into();
    let held = hold(&held, inside)?;
    let orders = Orders::holding(&steps, slots, held);
    let terminal = (streams == Streams::Terminal).then(|| standard(0));
    let terminal = terminal.filter(|fd| is_terminal(*fd));
    let ends = (channel.as_fd(), childs_end);
    let directory = joining.as_ref().map(Joining::directory);
    let keeper = Keeper::start(stay, ends, orders, directory, terminal, last_words);
    let keeper = keeper.context("start the process that waits for the program")?;
    Serving { container, channel, signals, keeper, stay, steps, joining, listened, host }
        .until_executed()
}

fn hold(held: &[Held], inside: Inside) -> anyhow::Result<Vec<OwnedFd>> {
    let mut process = Some(inside.process);
    let open = |held: &Held| match held {
        Held::Process => process.take().context("there is one process"),
        Held::Proc => {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            open("/proc", flags, Mode::empty()).context("open /proc")
        }
    };
    held.iter().map(open).collect()
}

/// The launcher's side of an entry.
struct Serving<'a> {
    container: String,
    channel: Channel,
    signals: SignalFd,
    keeper: Keeper,
    stay: Stay,
    steps: Rc<[Step]>,
    joining: Option<Joining<'a>>,
    listened: Listened<'a>,
    host: &'a Host,
}

impl Serving<'_> {
    fn until_executed(mut self) -> anyhow::Result<Entered> {
        // Signals that are for the program, which does not run yet.
        let mut early = Vec::new();
        let (mut program, mut terminal) = (None, None);
        loop {
            // Until the program is known the keeper alone tells what became of
            // who was to make it.
            let keeper = program.is_none().then(|| Awaited::readable(self.keeper.as_fd()));
            let answer = self.joining.as_ref().and_then(Joining::awaited).map(Awaited::until);
            let channel = Some(Awaited::readable(self.channel.as_fd()));
            let [said, answered, heard] =
                wait_for([keeper, answer, channel], &self.signals, &mut early)?;
            // What was said before its end comes first.
            if said && !heard {
                self.hear_keeper()?;
            }
            if answered && let Some(joining) = &mut self.joining {
                let progress = joining.proceed()?;
                self.placed(progress);
            }
            if !heard {
                continue;
            }
            match self.channel.next()? {
                // The kernel leaves a descriptor out for which there is no room.
                Some((Report::Terminal | Report::Born(_) | Report::Listener, None)) => {
                    return Err(anyhow!("no descriptor is left for the program")).hint(MORE_FILES);
                }
                Some((Report::Terminal, descriptor)) => terminal = descriptor,
                Some((Report::Born(pid), Some(pidfd))) => {
                    program = Some(Program { pid, pidfd, left: false });
                    self.channel.open(Gate::Held);
                }
                Some((Report::Listener, Some(listener))) => {
                    let program = program.as_ref().context("a listener of nobody's")?;
                    (self.listened)(program.pid, listener)?;
                    self.channel.open(Gate::Listened);
                }
                Some((Report::Stopped { at, part, errno }, _)) => {
                    return Err(explain::stopped(&self.steps, at, part, errno, self.host));
                }
                Some((
                    Report::Mark(..) | Report::Arrived(_) | Report::Notify | Report::Hook(..),
                    _,
                )) => {}
                None => break,
            }
        }
        // The channel's other end is closed by the exec, and by its end. Once that
        // is taken its number is another's.
        let has_run = |program: &Program| {
            process::send_signal(program.pidfd.as_fd(), 0) == Err(Errno::ESRCH)
                || !never_executed(program.pid)
        };
        let Some(program) = program.filter(has_run) else {
            return self.killed(self.keeper.failed());
        };
        if self.stay == Stay::ToTheEnd {
            self.keeper.runs();
        }
        // All are blocked, so they come out of the descriptor once more.
        early.into_iter().for_each(|number| process::kill(Pid::this(), number));
        let Self { signals, keeper, .. } = self;
        Ok(Entered { program, signals, terminal, keeper })
    }

    /// Takes what the keeper says before the program is known.
    fn hear_keeper(&mut self) -> anyhow::Result<()> {
        match self.keeper.hear().context("hear from the process that waits for the program")? {
            Some(Word::NotMade(errno)) => {
                Err(errno).context("make the process that enters the container")
            }
            Some(Word::Made(process, refused)) => {
                if let Some(joining) = &mut self.joining {
                    let progress = match refused {
                        None => Progress::Done,
                        Some(errno) => joining.begin(process, errno, self.host)?,
                    };
                    self.placed(progress);
                }
                Ok(())
            }
            Some(Word::Lost(signal)) => self.killed(Some(Ended::Killed(signal))),
            Some(Word::Ended(how)) => self.killed(Some(how)),
            None => Err(anyhow!("the process that waits for the program was killed")),
        }
    }

    fn killed<T>(&self, how: Option<Ended>) -> anyhow::Result<T> {
        let by = match how {
            Some(Ended::Killed(signal)) => format!(" by {}", Signal(signal)),
            Some(Ended::Exited(_)) | None => String::new(),
        };
        Err(anyhow!("the process that was to enter it was killed{by}"))
            .with_context(|| format!("enter container {}", self.container))
            .hint(
                "the container has ended meanwhile or ran out of memory, or its system call filter \
                 does not let execve, write and exit_group through",
            )
    }

    fn placed(&self, progress: Progress) {
        if progress == Progress::Done {
            self.channel.open(Gate::Placed);
        }
    }
}
