//! Which limits hold: each controller is written and read back, in the group
//! that a container would be put into.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use oci_spec::runtime::LinuxResources;

use super::trial::to_bytes;
use super::{Bench, Finding};
use crate::cgroup::placing::Placing;
use crate::cgroup::systemd::Progress;
use crate::child::trial::{Trial, readable};
use crate::error::causes;
use crate::host::advice::Topic;
use crate::host::advice::table::limits as table;
use crate::host::cgroup::Version;
use crate::plan::cgroup::{self, Cgroup, Manager};
use crate::spec::{Spec, Userns};

/// A limit that is tried.
struct Limit {
    id: &'static str,
    what: &'static str,
    file: &'static str,
    content: String,
    /// Whether containers are usually limited so.
    usual: bool,
}

/// Those of this machine.
fn limits() -> Vec<Limit> {
    let limit = |id, what, file, content: &str, usual| Limit {
        id,
        what,
        file,
        content: content.to_owned(),
        usual,
    };
    let mut limits = vec![
        limit("memory", "limits of memory", "memory.max", "67108864", true),
        limit("cpu", "limits of CPU time", "cpu.max", "50000 100000", true),
        limit("pids", "limits of processes", "pids.max", "512", true),
    ];
    if let Some(cpu) = first_cpu() {
        limits.push(limit("cpuset", "a choice of CPUs", "cpuset.cpus", &cpu, false));
    }
    if let Some(disk) = first_disk() {
        let rate = format!("{disk} rbps=1048576");
        limits.push(limit("io", "limits of disks", "io.max", &rate, false));
    }
    limits
}

fn first_cpu() -> Option<String> {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    online.trim().split(['-', ',']).next().map(str::to_owned)
}

/// `MAJOR:MINOR` of a disk that holds something.
fn first_disk() -> Option<String> {
    let disks = fs::read_dir("/sys/block").ok()?;
    let of = |path: PathBuf, file: &str| fs::read_to_string(path.join(file)).ok();
    let mut found: Vec<_> = disks
        .flatten()
        .map(|disk| disk.path())
        .filter(|disk| disk.join("device").exists())
        .filter(|disk| of(disk.clone(), "size").is_some_and(|size| size.trim() != "0"))
        .filter_map(|disk| Some(of(disk, "dev")?.trim().to_owned()))
        .collect();
    found.sort();
    found.into_iter().next()
}

/// What is done in their place.
const WITHOUT: &str = "a container with this limit is refused; with --limits best-effort it runs \
                       without";

/// All of it.
pub fn probe(bench: &Bench<'_>) -> Vec<Finding> {
    let limits = limits();
    let mut findings = vec![tree(bench)];
    let mut had: Vec<&Limit> = Vec::new();
    for limit in &limits {
        match plan(&[limit], bench) {
            Ok(_) => had.push(limit),
            Err(error) => {
                let finding = Finding::new(limit.id, Topic::Limits, limit.what);
                let finding = match limit.usual {
                    true => finding.degraded(String::new(), WITHOUT),
                    false => finding.info(String::new()),
                };
                findings.push(finding.because_of(&error));
            }
        }
    }
    if !had.is_empty() {
        findings.extend(all_at_once(&had, bench));
    }
    findings.extend(linger(bench));
    findings
}

fn plan(limits: &[&Limit], bench: &Bench<'_>) -> anyhow::Result<Cgroup> {
    cgroup::plan(&spec(limits, bench), bench.host, &mut Vec::new())
}

fn spec(limits: &[&Limit], bench: &Bench<'_>) -> Spec {
    let mut spec = bench.spec(Userns::Single);
    let pairs = limits.iter().map(|limit| (limit.file.to_owned(), limit.content.clone()));
    let unified: HashMap<String, String> = pairs.collect();
    let mut resources = LinuxResources::default();
    resources.set_unified(Some(unified));
    if let Some(linux) = spec.oci.linux_mut() {
        linux.set_resources(Some(resources));
    }
    spec
}

/// Which tree it is, and where we are in it.
fn tree(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("cgroup", Topic::Limits, "the tree of control groups");
    let groups = match bench.host.cgroups() {
        Ok(groups) => groups,
        Err(error) => return finding.missing(String::new()).because_of(&error),
    };
    let kind = match groups.version {
        Version::V2 => "cgroup v2",
        Version::Bare => "cgroup v2 without controllers, on a machine with v1",
        Version::Hybrid => "hybrid: cgroup v1 has the controllers, v2 is beside it",
        Version::V1 => "cgroup v1 alone",
        Version::None => "none is mounted",
    };
    let mut words = vec![kind.to_owned()];
    if let Some(own) = &groups.own {
        words.push(format!("we are in {}", own.display()));
    }
    match &groups.ours {
        Some(ours) => words.push(format!("{} is delegated to us", ours.display())),
        None => words.push("it is not delegated to us".to_owned()),
    }
    match bench.host.bus() {
        Ok(Ok(bus)) => words.push(format!("systemd is asked at {}", bus.path.display())),
        Ok(Err(advice)) => words.push(advice.cause.clone()),
        Err(_) => {}
    }
    let finding = finding.info(words.join("; "));
    match (groups.version, &groups.ours, bench.host.bus()) {
        // Elsewhere nobody could make a group for us anyway.
        (Version::V2 | Version::Bare, None, Ok(Err(advice))) => finding.because(advice.clone()),
        _ => finding,
    }
}

/// Puts a child into a group with all of these, and reads what the kernel has.
fn all_at_once(had: &[&Limit], bench: &Bench<'_>) -> Vec<Finding> {
    let placed = place(had, bench);
    had.iter()
        .map(|limit| {
            let finding = Finding::new(limit.id, Topic::Limits, limit.what);
            let (who, values) = match &placed {
                Ok(placed) => placed,
                // A slow machine lacks nothing.
                Err(error) if Instant::now() >= bench.deadline => {
                    return finding.info(format!("not known: {}", causes(error)));
                }
                Err(error) => return finding.degraded(String::new(), WITHOUT).because_of(error),
            };
            match values.get(limit.file) {
                Some(text) if holds(text, &limit.content) => {
                    finding.ok(format!("{} {}: read back, by {who}", limit.file, text.trim()))
                }
                text => {
                    let text = text.map(|text| text.trim()).unwrap_or("nothing");
                    let told = format!("{}: {text} was read back", limit.file);
                    finding.degraded(told, WITHOUT)
                }
            }
        })
        .collect()
}

/// Whether the kernel's text has all of what was written: it adds to a line of
/// io.max what was not said, and more processes are allowed for ours.
fn holds(text: &str, written: &str) -> bool {
    match (text.trim().parse::<u64>(), written.parse::<u64>()) {
        (Ok(read), Ok(written)) => read >= written && read <= written + 64,
        _ => written.split(' ').all(|word| text.split_whitespace().any(|read| read == word)),
    }
}

type Values = (String, HashMap<&'static str, String>);

fn place(had: &[&Limit], bench: &Bench<'_>) -> anyhow::Result<Values> {
    let began = Instant::now();
    let cgroup = plan(had, bench)?;
    let mut placing = Placing::prepare(&cgroup)?;
    let idle = |cgroup| {
        Trial::start(0, cgroup, |gate| {
            gate.pass();
            to_bytes(&Ok(String::new()))
        })
        .context("make a process")
    };
    let child = idle(placing.group())?;
    // systemd's scope is kept by a second process, as by a watcher.
    let second = idle(None)?;
    placing.begin(child.pid(), Some(second.pid()))?;
    loop {
        let deadline = placing.awaited().map(|(fd, _, until)| (fd, until.min(bench.deadline)));
        if let Some((fd, until)) = deadline {
            readable(fd, until);
        }
        if placing.proceed(bench.host)? == Progress::Done {
            break;
        }
        anyhow::ensure!(Instant::now() < bench.deadline, "it was not done in time");
    }
    let (placed, notes) = placing.finish();
    let placed = placed.with_context(|| match notes.first() {
        Some(note) => note.clone(),
        None => "no group was made".to_owned(),
    })?;
    let group = bench.host.cgroups()?.of_process(child.pid().as_raw())?;
    let above = group.parent().unwrap_or(Path::new("/")).to_owned();
    let read =
        |limit: &&Limit| Some((limit.file, fs::read_to_string(above.join(limit.file)).ok()?));
    let values = had.iter().filter_map(read).collect();
    let took = began.elapsed().as_millis();
    let who = match &cgroup.manager {
        Manager::Systemd { .. } => format!("a scope of systemd in {took} ms"),
        Manager::Direct { .. } | Manager::None => "a group of our own".to_owned(),
    };
    drop(child);
    drop(second);
    drop(placed);
    Ok((who, values))
}

/// Whether the caller's systemd outlives its sessions; loginctl(1).
fn linger(bench: &Bench<'_>) -> Option<Finding> {
    let caller = bench.host.caller().ok()?;
    if caller.uid == 0 || !bench.host.files().has(Path::new("/run/systemd/system")) {
        return None;
    }
    let account = bench.host.account().ok()?.ok()?;
    let finding = Finding::new("linger", Topic::Limits, "systemd outlives your sessions");
    let mark = Path::new("/var/lib/systemd/linger").join(&account.user.name);
    Some(match bench.host.files().has(&mark) {
        true => finding.ok(format!("{} is there", mark.display())),
        false => {
            let advice = table::LINGER_OFF.advice(&[("uid", &caller.uid)]);
            finding.info(String::new()).because(advice)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found_in_what_is_read() {
        assert!(holds("67108864\n", "67108864") && !holds("max\n", "67108864"));
        assert!(holds("528\n", "512") && !holds("5120\n", "512"));
        assert!(holds("50000 100000\n", "50000 100000") && !holds("max 100000\n", "50000 100000"));
        assert!(holds("8:0 rbps=1048576 wbps=max riops=max\n", "8:0 rbps=1048576"));
        assert!(!holds("", "8:0 rbps=1048576"));
    }
}
