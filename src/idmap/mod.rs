//! Writes the id maps that the plan holds, and looks whether they took.
//!
//! The child must be alive and do nothing but wait from [`begin`] until
//! [`Pending::finish`] has returned: then no other process can have its
//! number while the helpers write (shadow#635), and it has not acted with ids
//! that were not there yet. We have one thread, so nothing else changes our
//! credentials meanwhile.
#![forbid(unsafe_code)]

mod helper;
mod process;

use std::os::fd::BorrowedFd;

use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::host::Host;
use crate::host::advice;
use crate::host::ids::{Mapping, map_text, normal, parse_map};
use crate::plan::idmap::{Idmap, Setgroups, Writer};
use helper::Running;
use process::Process;

/// Maps that are being written.
#[must_use = "maps count only when they are finished"]
#[derive(Debug)]
pub struct Pending<'a> {
    map: &'a Idmap,
    /// Whose they are; nobody's who has them already.
    process: Option<Process>,
    helpers: Vec<Running>,
    host: &'a Host,
}

/// Begins to write the maps of the user namespace of `pid`, a child that
/// waits: the helpers run side by side while the caller does other things.
/// Maps that we may write ourselves are written when this returns.
///
/// # Errors
/// What was refused, with its cause on this machine as the hint.
pub fn begin<'a>(map: &'a Idmap, pid: Pid, host: &'a Host) -> anyhow::Result<Pending<'a>> {
    if map.writer == Writer::Owner {
        return Ok(Pending { map, process: None, helpers: Vec::new(), host });
    }
    let process = Process::open(pid)?;
    let write = |file: &str, text: &str| {
        process.write(file, text).or_else(|errno| refused(file, errno, pid, host))
    };
    // The kernel takes an unprivileged gid_map only once setgroups is denied,
    // and newgidmap would leave it allowed for who has a range of groups.
    let ours = map.writer != Writer::Nobody;
    if ours && map.setgroups == Setgroups::Deny {
        write("setgroups", "deny")?;
    }
    let helpers = match &map.writer {
        Writer::Nobody => Vec::new(),
        Writer::Direct => {
            write("gid_map", &map_text(&map.gids))?;
            write("uid_map", &map_text(&map.uids))?;
            Vec::new()
        }
        Writer::Helpers { newuidmap, newgidmap } => vec![
            Running::start(newuidmap, pid, &map.uids)?,
            Running::start(newgidmap, pid, &map.gids)?,
        ],
        Writer::Owner => Vec::new(),
    };
    Ok(Pending { map, process: Some(process), helpers, host })
}

impl Pending<'_> {
    /// What can be read, or has ended, as soon as a helper has something to
    /// say or is done: for who would not wait for it in vain.
    pub fn helpers(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.helpers.iter().filter_map(Running::words)
    }

    /// Whether the kernel has them already: no helper is to write them.
    pub fn are_written(&self) -> bool {
        self.helpers.is_empty()
    }

    /// Waits for the helpers and compares what the kernel has with what was
    /// planned.
    ///
    /// # Errors
    /// What a helper said, or how the maps differ.
    pub fn finish(self) -> anyhow::Result<()> {
        let Self { map, process, helpers, host } = self;
        // Both are waited for before the first error is told: none is left
        // behind as a zombie.
        let ends: Vec<anyhow::Result<()>> =
            helpers.into_iter().map(|helper| helper.finish(host)).collect();
        ends.into_iter().collect::<anyhow::Result<()>>()?;
        let Some(process) = process else { return Ok(()) };
        if map.writer == Writer::Nobody {
            return Ok(());
        }
        compare("uid_map", &process, &map.uids)?;
        compare("gid_map", &process, &map.gids)?;
        let setgroups = process.read("setgroups")?;
        let denied = setgroups.trim_ascii() == b"deny";
        ensure!(
            denied == (map.setgroups == Setgroups::Deny),
            "{} was planned, but {process}/setgroups says {:?}",
            map.setgroups,
            String::from_utf8_lossy(&setgroups).trim()
        );
        Ok(())
    }
}

/// The maps of the user namespace that a process is in, users and groups, and
/// whether setgroups(2) works there.
///
/// # Errors
/// Where /proc does not show it.
pub fn of_process(pid: Pid) -> anyhow::Result<(Vec<Mapping>, Vec<Mapping>, Setgroups)> {
    let process = Process::open(pid)?;
    let map = |file: &str| {
        let text = process.read(file)?;
        parse_map(&text).with_context(|| format!("make sense of {process}/{file}"))
    };
    let setgroups = match process.read("setgroups")?.trim_ascii() {
        b"deny" => Setgroups::Deny,
        _ => Setgroups::Allow,
    };
    Ok((map("uid_map")?, map("gid_map")?, setgroups))
}

/// A map that differs means that someone else wrote it, or that a helper
/// does not do what it says: the container must not start with such ids.
fn compare(file: &str, process: &Process, planned: &[Mapping]) -> anyhow::Result<()> {
    let text = process.read(file)?;
    let found = parse_map(&text).with_context(|| format!("make sense of {process}/{file}"))?;
    ensure!(
        normal(&found) == normal(planned),
        "{process}/{file} holds {:?} and not the planned {:?}",
        map_text(&found),
        map_text(planned)
    );
    Ok(())
}

fn refused(file: &str, errno: Errno, pid: Pid, host: &Host) -> anyhow::Result<()> {
    let refused = advice::for_map(errno, host).refuse_for(errno);
    refused.with_context(|| format!("write /proc/{pid}/{file}"))
}

#[cfg(test)]
mod tests;
