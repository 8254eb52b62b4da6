//! What the child waits for is done here, and its gates opened.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, anyhow};
use nix::poll::PollTimeout;
use nix::unistd::Pid;

use super::Meeting;
use super::explain;
use super::hooks;
use super::spawn::Spawned;
use super::wait::{Awaited, is_readable, is_readable_within, wait_for};
use crate::cgroup::placing::{Placed, Placing};
use crate::cgroup::systemd::Progress;
use crate::child::network::Maker;
use crate::child::report::{HookEnd, Report};
use crate::error::{Explain, MORE_FILES};
use crate::host::Host;
use crate::idmap::Pending;
use crate::network::{self, Connecting, Services, Uplink};
use crate::plan::idmap::Idmap;
use crate::plan::step::{Gate, Step};
use crate::sys::process::{self, Ended};

/// What there is once the child needs us no longer.
pub struct Served {
    /// The other end of its terminal.
    pub terminal: Option<OwnedFd>,
    /// The socket by which it speaks to the service manager.
    pub notify: Option<OwnedFd>,
    /// What passes its packets on.
    pub uplink: Option<Uplink>,
    /// What passes single services of the host on.
    pub services: Option<Services>,
    /// Its own control group.
    pub placed: Option<Placed>,
    /// What is less than could be had.
    pub notes: Vec<String>,
}

/// Opens every gate as soon as that may be, and waits for the exec, or until a
/// child that lives on without us is met at the last one.
pub fn serve(
    spawned: &mut Spawned,
    idmap: &Idmap,
    maps: Pending<'_>,
    (mut placing, mut connecting): (Placing<'_>, Connecting),
    mut meeting: Option<&mut dyn Meeting>,
    host: &Host,
) -> anyhow::Result<Served> {
    // Signals that are for the payload, which does not run yet.
    let mut early = Vec::new();
    // While others work for us: systemd takes longer than all else, and the
    // helpers leave processor time over.
    let asks_systemd = placing.asks_systemd();
    let is_attended = asks_systemd || !maps.are_written();
    if is_attended {
        spawned.attend(&mut placing)?;
    }
    // What takes longest of all else; where helpers write the maps it is not
    // time yet.
    if maps.are_written() {
        spawned.begin_network(&mut connecting)?;
    }
    // It moves no process for us that is another user's, as the child may be
    // once it has its maps.
    let setup_uid = idmap.uid_outside(idmap.setup_user().uid);
    let is_moved_first = asks_systemd && setup_uid != Some(host.caller()?.euid);
    while is_moved_first && let Some(answer) = placing.awaited() {
        wait_for([Some(Awaited::until(answer))], &spawned.signals, &mut early)?;
        placing.proceed(host).map_err(|error| first_cause(spawned, error, host))?;
    }
    let waited = maps.helpers().try_for_each(|helper| {
        wait_for([Some(Awaited::readable(helper))], &spawned.signals, &mut early).map(drop)
    });
    match waited.and_then(|()| maps.finish()) {
        Ok(()) => spawned.channel.open(Gate::Mapped),
        Err(error) => return Err(first_cause(spawned, error, host)),
    }
    spawned.timing.mapped();
    spawned.begin_network(&mut connecting)?;
    // Not before: a new process would be in the way of this one.
    if !is_attended {
        spawned.attend(&mut placing)?;
    }
    let mut placed = if placing.has_gate() { Progress::Waiting } else { Progress::Done };
    let (mut terminal, mut notify) = (None, None);
    let mut files = None;
    loop {
        let answer = placing.awaited().map(Awaited::until);
        if placed == Progress::Waiting && answer.is_none() {
            placed = place(spawned, &mut placing, host)?;
            continue;
        }
        let maker = spawned.maker.as_ref().and_then(Maker::awaited).map(Awaited::readable);
        let channel = Awaited::readable(spawned.channel.as_fd());
        let link = connecting.awaited().map(Awaited::until);
        let awaited = [maker, answer, link, Some(channel)];
        let [made, answered, linked, heard] = wait_for(awaited, &spawned.signals, &mut early)?;
        if made {
            // If it could not, the child is to try, and to tell why not.
            if spawned.maker.as_mut().is_some_and(|maker| !maker.finish()) {
                spawned.channel.open(Gate::Network);
            }
            // It has our memory, and is in the container's user namespace: no
            // payload may be there to take hold of it (ptrace(2)).
            spawned.channel.open(Gate::Guarded);
        }
        if answered {
            placed = place(spawned, &mut placing, host)?;
        }
        if linked {
            connect(spawned, &mut connecting, host)?;
        }
        if !heard {
            continue;
        }
        match spawned.channel.next()? {
            Some((Report::Mark(phase, at), _)) => spawned.timing.mark(phase, at),
            // The kernel leaves a descriptor out for which there is no room.
            Some((Report::Terminal | Report::Notify | Report::Listener, None)) => {
                return Err(anyhow!("no descriptor is left for its terminal or socket"))
                    .hint(MORE_FILES);
            }
            Some((Report::Terminal, descriptor)) => terminal = descriptor,
            Some((Report::Notify, descriptor)) => notify = descriptor,
            Some((Report::Arrived(gate), _)) => {
                let meeting = meeting.as_mut().context("the child waits, and nobody meets it")?;
                files = meeting.at(gate, spawned.payload.pid(), terminal.as_ref())?;
                if let Some(files) = &files {
                    files.hand_over(&spawned.channel);
                }
                spawned.channel.open(gate);
                if gate == Gate::Recorded {
                    break;
                }
            }
            Some((Report::Listener, Some(listener))) => {
                let meeting = meeting.as_mut().context("nobody decides about its calls")?;
                meeting.listened(spawned.payload.pid(), listener)?;
                spawned.channel.open(Gate::Listened);
            }
            Some((Report::Hook(_, HookEnd::Ended(Ended::Exited(0))), _)) => {}
            Some((Report::Hook(number, end), _)) => {
                let of = |step: &Step| match step {
                    Step::Hook(hook) => hook.number == number,
                    _ => false,
                };
                return Err(match spawned.steps.iter().find(|step| of(step)) {
                    Some(Step::Hook(hook)) => hooks::failed(hook, end, files.as_ref()),
                    _ => anyhow!("a hook has failed that there is not"),
                });
            }
            Some((Report::Born(_), _)) => return Err(anyhow!("the child has become another")),
            Some((Report::Stopped { at, part, errno }, _)) => {
                return Err(explain::stopped(&spawned.steps, at, part, errno, host));
            }
            // It executes nothing before it was met at the last gate.
            None if meeting.is_some() => return Err(explain::killed()),
            None => break,
        }
    }
    spawned.timing.executed();
    spawned.payload.executed();
    // All are blocked, so they come out of the descriptor once more.
    early.into_iter().for_each(|number| process::kill(Pid::this(), number));
    let ((placed, notes), (uplink, services)) = (placing.finish(), connecting.finish());
    Ok(Served { terminal, notify, uplink, services, placed, notes })
}

/// Goes on with the child's control group, and opens its gate when that is done.
fn place(spawned: &Spawned, placing: &mut Placing<'_>, host: &Host) -> anyhow::Result<Progress> {
    match placing.proceed(host) {
        Ok(Progress::Waiting) => Ok(Progress::Waiting),
        Ok(Progress::Done) => {
            spawned.channel.open(Gate::Placed);
            Ok(Progress::Done)
        }
        Err(error) => Err(first_cause(spawned, error, host)),
    }
}

/// Goes on with what connects the network, and opens the gate when that is done.
fn connect(spawned: &mut Spawned, connecting: &mut Connecting, host: &Host) -> anyhow::Result<()> {
    match connecting.proceed() {
        Ok(network::Progress::Waiting) => Ok(()),
        Ok(network::Progress::Done) => {
            spawned.channel.open(Gate::Connected);
            spawned.timing.connected();
            Ok(())
        }
        Err(error) => Err(first_cause(spawned, error, host)),
    }
}

/// How long a child that is being killed may take to be dead: what it has is
/// gone before. Milliseconds.
const DYING: u8 = 20;

/// The child may have stopped first, and then its story is the cause; or it was
/// killed, and can tell none.
pub fn first_cause(spawned: &Spawned, error: anyhow::Error, host: &Host) -> anyhow::Error {
    // Once it is dead all that it has said is there.
    let dead = is_readable_within(spawned.payload.pidfd(), PollTimeout::from(DYING));
    while is_readable(spawned.channel.as_fd()) {
        match spawned.channel.next() {
            Ok(Some((Report::Stopped { at, part, errno }, _))) => {
                return explain::stopped(&spawned.steps, at, part, errno, host);
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    if dead { explain::killed() } else { error }
}
