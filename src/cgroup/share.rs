//! Shares controllers out to the cgroups below one, which may then hold no
//! process itself.

use nix::errno::Errno;

use super::deadline::Deadline;
use super::refused::{Attempt, Refused};
use super::tree::Directory;
use crate::error::Explain;
use crate::host::cgroup::{Controller, SUPERVISOR};

const CONTROL: &str = "cgroup.subtree_control";
const TYPE: &str = "cgroup.type";

/// Switches `controllers` on for all cgroups below `directory`. What is in it
/// moves to its leaf [`SUPERVISOR`] before.
///
/// Several may do this at once: each step takes what another has done already.
///
/// # Errors
/// The first controller that can't be had, and processes that can't be moved.
pub(super) fn share(
    directory: &Directory,
    controllers: &[Controller],
    deadline: Deadline,
) -> anyhow::Result<()> {
    let text = directory.read(CONTROL)?;
    let on = Controller::list(&text);
    let off: Vec<_> = controllers.iter().copied().filter(|wanted| !on.contains(wanted)).collect();
    if off.is_empty() && text.trim().is_empty() {
        return Ok(());
    }
    look_for(directory, &off)?;
    // The root of the machine's tree may hold processes, and has some that
    // can't be moved. It has no type, either.
    if matches!(directory.read(TYPE), Err(refused) if refused.errno == Errno::ENOENT) {
        return Ok(switch_on(directory, &off)?);
    }
    let mut wanted = off;
    loop {
        let shared = clear(directory, deadline)
            .and_then(|()| switch_on(directory, &wanted))
            .and_then(|()| clear(directory, deadline));
        match shared {
            // Another process has come meanwhile.
            Err(Refused { errno: Errno::EBUSY, .. }) if deadline.pause() => {}
            Err(Refused { errno: Errno::EOPNOTSUPP, .. })
                if is_domain_of_threads(directory)? && deadline.pause() =>
            {
                wanted.extend(switch_off(directory)?);
            }
            done => return Ok(done?),
        }
    }
}

/// Looks whether they can be had, before anything is moved for them.
fn look_for(directory: &Directory, wanted: &[Controller]) -> anyhow::Result<()> {
    let text = directory.read("cgroup.controllers")?;
    let there = Controller::list(&text);
    let Some(missing) = wanted.iter().find(|one| !there.contains(one)) else { return Ok(()) };
    let attempt = Attempt::Write { file: CONTROL.to_owned(), content: format!("+{missing}") };
    Err(directory.refused(attempt, Errno::ENOENT)).hint(format!(
        "of controllers, the cgroup {} has: {}",
        directory.path().display(),
        if text.trim().is_empty() { "none" } else { text.trim() }
    ))
}

/// One write each: of several in one the kernel doesn't say which it lacks.
///
/// First those that are for processes only: once one of them is on, no process
/// can come any more.
fn switch_on(directory: &Directory, controllers: &[Controller]) -> Result<(), Refused> {
    let mut ordered = controllers.to_vec();
    ordered.sort_by_key(|one| is_for_threads(*one));
    ordered.iter().try_for_each(|one| directory.write(CONTROL, &format!("+{one}")))
}

/// Those that threads of one process can have different shares of.
fn is_for_threads(controller: Controller) -> bool {
    matches!(controller, Controller::Cpu | Controller::Cpuset | Controller::Pids)
}

/// Whether processes are in it while it shares out nothing but controllers for
/// threads: the kernel allows that, but then no process can be below it.
fn is_domain_of_threads(directory: &Directory) -> Result<bool, Refused> {
    Ok(directory.read(TYPE)?.trim_end() == "domain threaded")
}

/// Switches off what is on, and tells what it was: an ordinary domain again.
fn switch_off(directory: &Directory) -> Result<Vec<Controller>, Refused> {
    let on = Controller::list(&directory.read(CONTROL)?);
    on.iter().try_for_each(|one| directory.write(CONTROL, &format!("-{one}")))?;
    Ok(on)
}

/// Moves all processes to the leaf, until no more is forked: a child is where
/// its parent was, and so the last of them is found.
fn clear(directory: &Directory, deadline: Deadline) -> Result<(), Refused> {
    let mut leaf = None;
    loop {
        let processes = directory.processes()?;
        if processes.is_empty() {
            return Ok(());
        }
        // One that we can't name; a 0 that is written means the writer.
        if processes.contains(&0) {
            return Err(directory.refused(Attempt::Clear, Errno::ESRCH));
        }
        let leaf = match &leaf {
            Some(leaf) => leaf,
            None => leaf.insert(directory.make_or_open(SUPERVISOR)?),
        };
        for pid in processes {
            match leaf.add_process(pid) {
                Err(gone) if gone.errno == Errno::ESRCH => {}
                moved => moved?,
            }
        }
        if deadline.milliseconds() == 0 {
            return Err(directory.refused(Attempt::Clear, Errno::ETIMEDOUT));
        }
    }
}
