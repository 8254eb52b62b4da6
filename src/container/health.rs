//! Health checks: a command in a container that says whether it is well.
//!
//! `monitor::health` says when, and what comes of it; here is what the process
//! of a check does, which goes the way of `sublet exec`.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use super::exec::Target;
use super::pause::is_paused;
use super::record;
use crate::child::keeper::Stay;
use crate::error::{Explain, causes, exit_code};
use crate::host::Host;
use crate::launch::enter::enter;
use crate::monitor::beside;
use crate::monitor::health::{Check, Said};
use crate::plan::enter::Ties;
use crate::spec::sockets::Sockets;
use crate::spec::{ContainerId, Stdin};
use crate::state::{Checked, Health, Record, Store, Wellness};
use crate::sys::fd;

/// As much is kept of what a check says, in bytes: docker's measure.
const OUTPUT: usize = 4096;

/// Begins a check of a container that runs.
///
/// # Errors
/// Where there can be no process for it.
pub(super) fn begin(id: &ContainerId, timeout: Duration) -> anyhow::Result<Check> {
    Check::begin(timeout, |line| {
        let said = ask(id, timeout).unwrap_or_else(|error| Said::Done {
            code: exit_code(&error).into(),
            output: cut(causes(&error)),
        });
        // Who is gone has no use for it.
        let _ = serde_json::to_vec(&said).map(|packet| fd::write_all(line, &packet));
    })
}

/// Asks it, in the process of the check.
fn ask(id: &ContainerId, timeout: Duration) -> anyhow::Result<Said> {
    let until = Instant::now().checked_add(timeout);
    let store = record::store()?;
    let record = store.find(id.as_str())?;
    if is_paused(&record) {
        return Ok(Said::Paused);
    }
    let target = Target::running(record.clone())?;
    let mut spec = target.spec(&store)?;
    let health = spec.beside.health.take().context("nothing says how it is asked")?;
    spec.hand(&Sockets::default());
    (spec.beside.stdin, spec.beside.preserve_fds) = (Stdin::Null, 0);
    spec.process_mut().set_terminal(Some(false)).set_args(Some(health.command));
    let host = Host::new();
    let (entry, inside) = target.plan(&spec, Ties::Attached, &host)?;
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).context("make a pipe")?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("set up the pipe")?;
    hold(theirs.as_fd())?;
    drop(theirs);
    let entered = enter(entry, inside, Stay::ToTheEnd, None, &host)?;
    // Ours has to be gone, or the end of what it says would not be seen.
    let null = File::options().write(true).open("/dev/null").context("open /dev/null")?;
    hold(null.as_fd())?;
    let (code, output) = beside::within(entered, &ours, OUTPUT, until)?;
    Ok(match code {
        Some(code) => {
            let output = cut(String::from_utf8_lossy(&output).into_owned());
            Said::Done { code: code.into(), output }
        }
        None if is_paused(&record) => Said::Paused,
        None => Said::Done { code: -1, output: format!("it took longer than {timeout:?}") },
    })
}

/// Has it as standard output and standard error.
fn hold(end: BorrowedFd<'_>) -> anyhow::Result<()> {
    [1, 2].into_iter().try_for_each(|stream| fd::install(end, stream)).context("set the streams up")
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(OUTPUT));
    text
}

/// Asks a container now, and notes what it says: how it is by then.
///
/// # Errors
/// One that does not run, stands still, or has no check.
pub fn run(store: &Store, record: &Record) -> anyhow::Result<(Wellness, Checked)> {
    let label = record.label();
    let target = Target::find(store, record.id.as_str())?;
    let spec = target.spec(store)?;
    let Some(health) = &spec.beside.health else {
        return Err(anyhow!("container {label} has no health check"))
            .hint("sublet run --health-cmd COMMAND gives it one");
    };
    let check = begin(&record.id, health.timeout)?;
    while fd::wait_readable([check.line()], fd::Patience::Endless).is_err() {}
    let checked = check.end().with_context(|| format!("container {label} is paused"))?;
    let mut status = Wellness::Starting;
    store.edit(&record.id, |record| {
        let known = record.health.get_or_insert_with(Health::default);
        known.note(checked.clone(), health.retries, false);
        status = known.status;
    })?;
    Ok((status, checked))
}
