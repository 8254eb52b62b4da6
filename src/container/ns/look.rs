//! Looking at processes, each through a descriptor of its directory in /proc:
//! what is read through that is of that process or of none, whoever gets its
//! number next.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use nix::fcntl::readlinkat;
use nix::libc;
use nix::unistd::{Pid, getpid};

use super::picture::{Inner, Kind, Limits, Member, Numbers, Picture};
use crate::cgroup::Directory;
use crate::cgroup::usage::Usage;
use crate::host::Host;
use crate::host::inside::behind;
use crate::state::{Life, Listing, Record};
use crate::sys::{Errno, fd, namespace, path};

/// Looks at the containers of `listing` that run, and at those that sublet runs
/// without a record.
///
/// # Errors
/// Where /proc can't be read.
pub fn look(listing: &Listing, host: &Host) -> anyhow::Result<Picture> {
    let table = Table::read().context("read /proc")?;
    let own = Process::open(getpid().as_raw()).context("look at this process in /proc")?;
    let mut picture = Picture { host: own.numbers(), members: Vec::new() };
    for record in &listing.records {
        picture.members.extend(known(record, host));
    }
    let unknown = table.without_record(&listing.records, &picture);
    picture.members.extend(unknown.into_iter().filter_map(|pid| nameless(pid, host)));
    table.count(&mut picture);
    Ok(picture)
}

/// The container of a record, if it runs.
fn known(record: &Record, host: &Host) -> Option<Member> {
    let Life::Running { payload, .. } = &record.life else { return None };
    // The directory first, then whether it is the process that is meant: from
    // then on all that is read through it is.
    let process = Process::open(payload.pid).ok()?;
    let opened = payload.open().ok().flatten()?;
    // Nobody may look into a reaper of ours, but into what it has started.
    let behind = || {
        let (_, pid) = behind(opened.as_fd(), Pid::from_raw(payload.pid)).ok().flatten()?;
        Process::open(pid.as_raw()).ok()
    };
    let process = match process.number(Kind::MOUNT) {
        Some(_) => process,
        None => behind().unwrap_or(process),
    };
    let place = record.place.as_ref().map(|place| place.cgroup.clone());
    let cgroup = place.or_else(|| host.cgroups().ok()?.of_process(payload.pid).ok());
    Some(Member {
        id: Some(record.id.to_string()),
        label: record.label().to_owned(),
        command: record.asked.command.join(" "),
        pid: payload.pid,
        numbers: process.numbers(),
        limits: cgroup.as_deref().map(limits).unwrap_or_default(),
        cgroup,
        ..Member::default()
    })
}

/// A container that has no record, by its first process.
fn nameless(pid: i32, host: &Host) -> Option<Member> {
    let process = Process::open(pid).ok()?;
    let line = process.read(c"cmdline").ok()?;
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let cgroup = host.cgroups().ok().and_then(|cgroups| cgroups.of_process(pid).ok());
    Some(Member {
        label: format!("process {pid}"),
        command: words.join(" ").trim_end().to_owned(),
        pid,
        numbers: process.numbers(),
        limits: cgroup.as_deref().map(limits).unwrap_or_default(),
        cgroup,
        ..Member::default()
    })
}

fn limits(cgroup: &Path) -> Limits {
    let Ok(directory) = Directory::open(cgroup) else { return Limits::default() };
    let Usage { memory, pids, .. } = Usage::read(&directory);
    Limits {
        memory: memory.map(|memory| memory.working_set_bytes),
        memory_limit: memory.and_then(|memory| memory.limit_bytes),
        pids: pids.map(|pids| pids.current),
        pids_limit: pids.and_then(|pids| pids.limit),
        cpus: directory.read("cpu.max").ok().and_then(|text| cpus(&text)),
    }
}

/// `50000 100000` is half a processor, `max 100000` no limit.
fn cpus(text: &str) -> Option<f64> {
    let (quota, period) = text.trim_end().split_once(' ')?;
    let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
    (period > 0.0).then_some(quota / period)
}

/// The directory of a process in /proc.
struct Process(OwnedFd);

impl Process {
    fn open(pid: i32) -> Result<Self, Errno> {
        let path = CString::new(format!("/proc/{pid}")).map_err(|_| Errno::EINVAL)?;
        path::open_typed(&path, libc::O_PATH | libc::O_DIRECTORY).map(Self)
    }

    fn number(&self, kind: Kind) -> Option<u64> {
        // `net:[4026531840]`
        let link = readlinkat(&self.0, format!("ns/{}", kind.name()).as_str()).ok()?;
        link.to_str()?.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
    }

    fn numbers(&self) -> Numbers {
        Numbers::of(|kind| self.number(kind))
    }

    fn read(&self, file: &CStr) -> Result<Vec<u8>, Errno> {
        let opened = path::open_component(self.0.as_fd(), file, libc::O_RDONLY)?;
        let mut text = vec![0; 4096];
        let length = fd::read(opened.as_fd(), &mut text)?;
        text.truncate(length);
        Ok(text)
    }

    /// Its parent, and when it started in ticks of the clock: fields 4 and 22
    /// of `stat`; proc_pid_stat(5).
    fn origin(&self) -> Option<(i32, u64)> {
        let stat = self.read(c"stat").ok()?;
        let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&stat[name_ends + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace().skip(1);
        Some((fields.next()?.parse().ok()?, fields.nth(22 - 5)?.parse().ok()?))
    }

    /// Whether it executes this program, or one that is called as it is.
    fn is_ours(&self, own: Option<&path::Status>) -> bool {
        let status = path::open_link(self.as_fd(), c"exe");
        let status = status.and_then(|exe| path::status(exe.as_fd())).ok();
        let same =
            status.zip(own).is_some_and(|(one, two)| (one.dev, one.ino) == (two.dev, two.ino));
        let name = || readlinkat(&self.0, "exe").ok()?.into_string().ok();
        same || name().is_some_and(|name| {
            let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
            name.ends_with("/sublet") || name == "/memfd:sublet"
        })
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A process, as far as it matters whose it is.
struct Row {
    pid: i32,
    parent: i32,
    start: u64,
    user: u64,
    mount: u64,
}

impl Row {
    /// Whether it is where the host is.
    fn is_at_home(&self, host: &Numbers) -> bool {
        let own = (Some(self.user), Some(self.mount));
        own == (host.get(Kind::USER), host.get(Kind::MOUNT))
    }
}

/// All processes into which the caller may look.
struct Table {
    rows: Vec<Row>,
    /// Of each user namespace those above it, the nearest first.
    above: HashMap<u64, Vec<u64>>,
}

impl Table {
    fn read() -> std::io::Result<Self> {
        let mut table = Self { rows: Vec::new(), above: HashMap::new() };
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // What can't be looked into is not ours, or gone.
            let Ok(process) = Process::open(pid) else { continue };
            let numbers = (process.number(Kind::USER), process.number(Kind::MOUNT));
            let (Some(user), Some(mount)) = numbers else { continue };
            let Some((parent, start)) = process.origin() else { continue };
            table.above.entry(user).or_insert_with(|| {
                let opened = namespace::open(process.as_fd(), c"ns/user");
                opened.map(namespace::above).unwrap_or_default()
            });
            table.rows.push(Row { pid, parent, start, user, mount });
        }
        Ok(table)
    }

    /// The first processes of containers that have no record: of each launcher
    /// that is where we are the first child with mounts of its own. Helpers, of
    /// which one may have such, are started behind it.
    fn without_record(&self, known: &[Record], picture: &Picture) -> Vec<i32> {
        let own = path::open_typed(c"/proc/self/exe", libc::O_PATH).ok();
        let own = own.and_then(|exe| path::status(exe.as_fd()).ok());
        let recorded = |pid: i32| {
            known.iter().any(|record| {
                matches!(&record.life, Life::Running { launcher, .. } if launcher.pid == pid)
            })
        };
        let launchers = self.rows.iter().filter(|row| {
            let ours = || Process::open(row.pid).is_ok_and(|it| it.is_ours(own.as_ref()));
            row.is_at_home(&picture.host) && !recorded(row.pid) && ours()
        });
        let first = |launcher: &Row| {
            let children = self.rows.iter().filter(|row| row.parent == launcher.pid);
            let apart = children.filter(|row| {
                Some(row.user) != picture.host.get(Kind::USER)
                    && Some(row.mount) != picture.host.get(Kind::MOUNT)
            });
            apart.min_by_key(|row| (row.start, row.pid))
        };
        let taken = |row: &&Row| {
            let mount = Some(row.mount);
            picture.members.iter().any(|member| member.numbers.get(Kind::MOUNT) == mount)
        };
        launchers.filter_map(first).filter(|row| !taken(row)).map(|row| row.pid).collect()
    }

    /// Gives each process to the container that it is in.
    fn count(&self, picture: &mut Picture) {
        let home: HashSet<i32> = self
            .rows
            .iter()
            .filter(|row| row.is_at_home(&picture.host))
            .map(|row| row.pid)
            .collect();
        for row in &self.rows {
            let above = self.above.get(&row.user).map(Vec::as_slice).unwrap_or_default();
            // What a launcher keeps beside a container is not in it.
            let is_beside = home.contains(&row.parent);
            let Some(at) = owner(row, above, is_beside, picture) else { continue };
            let member = &mut picture.members[at];
            member.processes += 1;
            let user = member.numbers.get(Kind::USER);
            let levels = above.iter().position(|number| Some(*number) == user);
            let Some(depth) = levels.map(|levels| levels + 1) else { continue };
            match member.inner.iter_mut().find(|inner| inner.number == row.user) {
                Some(inner) => inner.processes += 1,
                None => member.inner.push(Inner { number: row.user, depth, processes: 1 }),
            }
        }
        for member in &mut picture.members {
            member.inner.sort_by_key(|inner| (inner.depth, inner.number));
        }
    }
}

/// The container that a process is in: that whose mounts it sees, else that
/// whose user namespace it is in or below, if that is one's alone. By that, who
/// `is_beside` is in none.
fn owner(row: &Row, above: &[u64], is_beside: bool, picture: &Picture) -> Option<usize> {
    let of = |kind: Kind, number: u64| {
        let host = picture.host.get(kind) == Some(number);
        let mut all = picture.members.iter().enumerate();
        let mut all = all.by_ref().filter(|(_, it)| it.numbers.get(kind) == Some(number) && !host);
        let first = all.next();
        first.filter(|_| all.next().is_none()).map(|(at, _)| at)
    };
    let by_user = || std::iter::once(&row.user).chain(above).find_map(|user| of(Kind::USER, *user));
    of(Kind::MOUNT, row.mount).or_else(|| by_user().filter(|_| !is_beside))
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::picture;
    use super::*;

    #[test]
    fn a_process_is_its_mounts_then_its_user_namespaces() {
        let mut picture = picture();
        let row = |user, mount| Row { pid: 50, parent: 1, start: 7, user, mount };
        let owner = |user, mount, above: &[u64]| owner(&row(user, mount), above, false, &picture);
        assert_eq!(owner(100, 102, &[]), None, "the host's own");
        assert_eq!(owner(1000, 1002, &[100]), Some(0));
        assert_eq!(owner(2000, 55, &[100]), Some(1), "mounts of its own inside");
        assert_eq!(owner(9, 55, &[1000, 100]), Some(0), "a container inside");
        assert_eq!(owner(8, 55, &[100]), None, "somebody else's");
        let helper = super::owner(&row(1000, 55), &[100], true, &picture);
        assert_eq!(helper, None, "a helper beside it");
        assert_eq!(super::owner(&row(1000, 1002), &[100], true, &picture), Some(0), "the first");
        let rows = vec![row(1000, 1002), row(9, 55), row(9, 55), row(8, 55)];
        let above = HashMap::from([(1000, vec![100]), (9, vec![1000, 100]), (8, vec![100])]);
        picture.members.iter_mut().for_each(|member| {
            member.processes = 0;
            member.inner.clear();
        });
        Table { rows, above }.count(&mut picture);
        assert_eq!(picture.members[0].processes, 3);
        assert_eq!(picture.members[0].inner, [Inner { number: 9, depth: 1, processes: 2 }]);
        assert_eq!(picture.members[1].processes, 0);
    }

    #[test]
    fn quotas_are_processors() {
        assert_eq!(cpus("50000 100000\n"), Some(0.5));
        assert_eq!((cpus("max 100000\n"), cpus(""), cpus("1 0")), (None, None, None));
    }

    #[test]
    fn this_process_is_where_it_is() {
        let own = Process::open(getpid().as_raw()).unwrap();
        let link = fs::read_link("/proc/self/ns/net").unwrap();
        let net = super::super::picture::KINDS[5];
        assert_eq!(link.to_str(), Some(format!("net:[{}]", own.number(net).unwrap()).as_str()));
        assert_eq!(own.origin().unwrap().0, nix::unistd::getppid().as_raw());
        let me = path::open_typed(c"/proc/self/exe", libc::O_PATH).unwrap();
        assert!(own.is_ours(path::status(me.as_fd()).ok().as_ref()));
    }
}
