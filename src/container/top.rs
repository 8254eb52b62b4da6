//! `sublet top`: the processes of a container, as the host sees them.
//!
//! Nothing in the container is asked or run: what a program inside tells of
//! processes it could have made up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use nix::unistd::{SysconfVar, sysconf};

use crate::error::Explain;
use crate::host::passwd::Passwd;
use crate::spec::Spec;
use crate::state::{Life, Store};
use crate::sys::clock::{Local, local};

/// What docker shows: `ps -ef`.
pub const TITLES: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// What is read of one process: proc_pid_stat(5).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    terminal: u32,
    /// Processor time, in clock ticks.
    used: u64,
    /// When it started, in clock ticks since the boot.
    start: u64,
}

/// The processes of the container that `word` means, by their ids on the host.
///
/// # Errors
/// Where it does not run.
pub fn processes(store: &Store, word: &str) -> anyhow::Result<BTreeSet<i32>> {
    let record = store.find(word)?;
    let Life::Running { payload, .. } = &record.life else {
        bail!("container {} is not running", record.label());
    };
    if payload.open()?.is_none() {
        bail!("container {} has just ended", record.label());
    }
    let shares = |spec: Spec| spec.shares(oci_spec::runtime::LinuxNamespaceType::Pid);
    // With the host's processes around, what it has made is told by its users.
    let kind = if store.spec(&record).is_ok_and(shares) { "user" } else { "pid" };
    Ok(of_namespace(payload.pid, kind, &all()?))
}

/// Those in the namespace of `first`, and what they have started, which may be
/// in one below.
fn of_namespace(first: i32, kind: &str, all: &BTreeMap<i32, Process>) -> BTreeSet<i32> {
    let namespace = |pid: i32| {
        let facts = fs::metadata(format!("/proc/{pid}/ns/{kind}")).ok()?;
        Some((facts.dev(), facts.ino()))
    };
    // Nobody may look into a reaper of ours; but into what it has started.
    let child = all.values().find(|process| process.parent == first).map(|process| process.pid);
    // Held, for the kernel gives the number of one that is gone to the next.
    let hold = |pid: i32| fs::File::open(format!("/proc/{pid}/ns/{kind}")).ok();
    let held = hold(first).or_else(|| hold(child?));
    let own = held.as_ref().and_then(|it| it.metadata().ok()).map(|it| (it.dev(), it.ino()));
    let inside = |pid: &i32| *pid == first || (own.is_some() && namespace(*pid) == own);
    let mut found: BTreeSet<i32> = all.keys().copied().filter(inside).collect();
    loop {
        let new: Vec<i32> = all
            .values()
            .filter(|process| found.contains(&process.parent) && !found.contains(&process.pid))
            .map(|process| process.pid)
            .collect();
        if new.is_empty() {
            return found;
        }
        found.extend(new);
    }
}

fn all() -> anyhow::Result<BTreeMap<i32, Process>> {
    let numbers = fs::read_dir("/proc").context("list /proc")?.flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter_map(|pid| Some((pid, Process::read(pid)?))).collect())
}

impl Process {
    /// `None` for one that has ended.
    fn read(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is a name in parentheses, which may hold anything.
    fn parse(pid: i32, stat: &[u8]) -> Option<Self> {
        let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&stat[name_ends + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3);
        Some(Self {
            pid,
            parent: field(4)?.parse().ok()?,
            terminal: field(7)?.parse::<i32>().ok()? as u32,
            used: field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?,
            start: field(22)?.parse().ok()?,
        })
    }

    /// `pts/3`, or `?` for none.
    fn terminal(&self) -> String {
        let (major, minor) = ((self.terminal >> 8) & 0xfff, self.terminal & 0xff);
        let minor = minor | (self.terminal >> 12) & 0xf_ff00;
        match major {
            136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
            4 if minor < 64 => format!("tty{minor}"),
            _ => "?".to_owned(),
        }
    }
}

/// The rows of docker's table, by pid.
///
/// # Errors
/// Where /proc does not tell.
pub fn rows(pids: &BTreeSet<i32>) -> anyhow::Result<Vec<Vec<String>>> {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as u64;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let boot = boot_time()?;
    let users = File::open("/etc/passwd").ok().and_then(|file| Passwd::read(file).ok());
    let row = |pid: &i32| {
        let process = Process::read(*pid)?;
        let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
        let uid = effective_uid(*pid).unwrap_or(uid);
        let named = users.as_ref().and_then(|users| users.by_id(uid));
        let started = boot + process.start / ticks;
        let used = process.used / ticks;
        let lived = now.saturating_sub(started).max(1);
        Some(vec![
            // As ps has it: no name that is cut off.
            named.map(|user| user.name).filter(|it| it.len() <= 8).unwrap_or(uid.to_string()),
            pid.to_string(),
            process.parent.to_string(),
            (used * 100 / lived).min(99).to_string(),
            started_at(started, now),
            process.terminal(),
            format!("{:02}:{:02}:{:02}", used / 3600, used / 60 % 60, used % 60),
            command(*pid),
        ])
    };
    Ok(pids.iter().filter_map(row).collect())
}

/// The second number of the line `Uid:` of /proc/PID/status: the directory
/// itself is root's where nobody may look in.
fn effective_uid(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn boot_time() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|seconds| seconds.parse().ok()).context("make sense of /proc/stat")
}

/// The time of a process of today, the date of any other.
fn started_at(started: u64, now: u64) -> String {
    let Local { month, day, hour, minute } = local(started as i64);
    if now.saturating_sub(started) < 86_400 {
        format!("{hour:02}:{minute:02}")
    } else {
        format!("{}{day:02}", MONTHS.get(month).unwrap_or(&"?"))
    }
}

/// Its command line; its name in brackets where it has none.
fn command(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(line.trim_ascii_end()).replace('\0', " ");
    match line.trim_end() {
        "" => {
            let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("[{}]", String::from_utf8_lossy(name.trim_ascii_end()))
        }
        line => line.to_owned(),
    }
}

/// What ps(1) says of these processes, asked with options of its own.
///
/// # Errors
/// Where it can't be run, or its answer has no column PID.
pub fn ps(options: &[String], pids: &BTreeSet<i32>) -> anyhow::Result<String> {
    let mut ps = Command::new("ps");
    ps.args(options).stdin(Stdio::null()).stderr(Stdio::piped());
    let line = format!("run ps {}", options.join(" "));
    let done = ps.output().with_context(|| line.clone()).hint("ps is in the package procps")?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(anyhow!("{}", said.lines().next().unwrap_or("it failed").escape_debug()))
            .with_context(|| line)
            .hint("options that follow CONTAINER are those of ps(1)");
    }
    let text = String::from_utf8_lossy(&done.stdout);
    only(&text, pids).with_context(|| line).hint("add the column PID: -o pid,args")
}

/// The title, and the lines of these processes with those of their threads.
fn only(text: &str, pids: &BTreeSet<i32>) -> anyhow::Result<String> {
    let mut lines = text.lines();
    let title = lines.next().unwrap_or_default();
    let column = title.split_ascii_whitespace().position(|word| word == "PID");
    let column = column.context("its answer has no column PID")?;
    let mut kept = format!("{title}\n");
    let mut before = false;
    for line in lines {
        // A line of a thread has a dash there.
        before = match line.split_ascii_whitespace().nth(column) {
            Some("-") => before,
            word => word.and_then(|word| word.parse().ok()).is_some_and(|pid| pids.contains(&pid)),
        };
        if before {
            kept += line;
            kept.push('\n');
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_behind_any_name() {
        for name in ["sh", "a b", ") S 9 9 9", "\u{1b}[2J"] {
            let stat =
                format!("7 ({name}) S 5 7 7 34816 7 4194560 1 2 3 4 50 6 7 8 20 0 1 0 4711 9 9\n");
            let process = Process::parse(7, stat.as_bytes()).unwrap();
            let expected = Process { pid: 7, parent: 5, terminal: 34816, used: 56, start: 4711 };
            assert_eq!(process, expected, "{name:?}");
        }
        assert_eq!(Process::parse(7, b"7 (sh) S 5"), None);
    }

    #[test]
    fn terminals_have_their_names() {
        let named =
            |terminal| Process { pid: 1, parent: 0, terminal, used: 0, start: 0 }.terminal();
        assert_eq!(named(0), "?");
        assert_eq!(named(136 << 8 | 3), "pts/3");
        assert_eq!(named(137 << 8), "pts/256");
        assert_eq!(named(4 << 8 | 2), "tty2");
    }

    #[test]
    fn of_what_ps_says_only_the_containers_is_shown() {
        let pids = BTreeSet::from([12]);
        let text = "USER PID CMD\nroot 1 init\nme 12 sh\nme - -\nme 123 other\nme - -\n";
        assert_eq!(only(text, &pids).unwrap(), "USER PID CMD\nme 12 sh\nme - -\n");
        assert!(only("USER CMD\nroot init\n", &pids).is_err());
        assert!(only("", &pids).is_err());
    }

    #[test]
    fn what_they_have_started_is_theirs() {
        let process = |pid, parent| Process { pid, parent, terminal: 0, used: 0, start: 0 };
        // Far from any process that there is.
        let base = i32::MAX - 10;
        let all = [(base, 1), (base + 1, base), (base + 2, base + 1), (base + 3, 1)];
        let all = all.map(|(pid, parent)| (pid, process(pid, parent))).into();
        assert_eq!(of_namespace(base, "pid", &all), BTreeSet::from([base, base + 1, base + 2]));
    }
}
