//! Takes who stays with a container in the background out of the group that
//! the container was started from: that of a login session, a terminal or a
//! service, which takes along all that is in it when it ends.
//!
//! It is put into a scope beside the container's, and not into that: the limits
//! are on the container's scope as a whole, where what the supervisor holds and
//! writes would count against them, and would be thrown out, or it be killed,
//! for want of the container's memory.

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::systemd::{Job, StartScope, Systemd};
use crate::host::Host;
use crate::host::cgroup::Cgroups;
use crate::plan::cgroup::Manager;

/// The scope of the container that somebody stays with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    unit: String,
    slice: Option<String>,
}

impl Beside {
    /// Where systemd has made the container's group: in one of ours all are
    /// where they were started, and end with that.
    pub fn of(manager: &Manager) -> Option<Self> {
        match manager {
            Manager::Systemd { unit, slice, .. } => {
                Some(Self { unit: unit.clone(), slice: slice.clone() })
            }
            Manager::Direct { .. } | Manager::None => None,
        }
    }

    /// Moves `supervisor`, and what it has started and is where it is itself:
    /// what forwards ports and connects the network. Waits until that is done;
    /// systemd takes some milliseconds for it.
    ///
    /// # Errors
    /// What systemd says, or that it says nothing.
    pub fn take(&self, supervisor: Pid, host: &Host) -> anyhow::Result<()> {
        // One that ends before systemd looks, as what has asked how the container
        // is, makes it refuse all.
        const ATTEMPTS: usize = 3;
        let bus = match host.bus()? {
            Ok(bus) => bus,
            Err(advice) => return advice.clone().refuse(),
        };
        let mut done = Ok(());
        for attempt in 1..=ATTEMPTS {
            let pids = match attempt {
                ATTEMPTS => vec![supervisor],
                _ => together(supervisor, host.cgroups()?, host.caller()?.euid),
            };
            let scope = StartScope {
                unit: &self.name(supervisor),
                slice: self.slice.as_deref(),
                description: "The supervisor of a container of sublet",
                pids: &pids,
                // A container that is started again is not to be made in it.
                delegate: false,
                properties: &[],
            };
            done = Systemd::at(bus).start_scope(&scope).and_then(Job::wait);
            if done.is_ok() || pids.len() == 1 {
                break;
            }
        }
        done
    }

    /// That of the supervisor's scope. One that was there before for the same
    /// container may be just ending.
    fn name(&self, supervisor: Pid) -> String {
        let container = self.unit.strip_suffix(".scope").unwrap_or(&self.unit);
        format!("{container}-supervisor-{supervisor}.scope")
    }
}

/// A process and its children in the same control group, of one user: systemd
/// moves no other's. One in a pid namespace of its own is a container that is
/// just being started again, on its way to its own scope.
fn together(supervisor: Pid, cgroups: &Cgroups, euid: u32) -> Vec<Pid> {
    let place = |pid: Pid| cgroups.of_process(pid.as_raw()).ok();
    let here = place(supervisor);
    let depth = standing(supervisor).map(|(_, depth)| depth);
    let list = format!("/proc/{supervisor}/task/{supervisor}/children");
    let children = std::fs::read_to_string(list).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    let is_here = |pid: &Pid| {
        let standing = standing(*pid);
        place(*pid) == here && standing.is_some() && standing == depth.map(|depth| (euid, depth))
    };
    [supervisor].into_iter().chain(children.map(Pid::from_raw).filter(is_here)).collect()
}

/// The effective uid of a process, and in how many pid namespaces it has a
/// number, from ours on: proc_pid_status(5).
fn standing(pid: Pid) -> Option<(u32, usize)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let uid = line("Uid:")?.split_whitespace().nth(1)?.parse().ok()?;
    Some((uid, line("NSpid:")?.split_whitespace().count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::bus::{Bus, Kind};

    #[test]
    fn only_who_has_a_scope_gets_another() {
        let bus = Bus { path: "/nonexistent/socket".into(), kind: Kind::Private };
        let slice = Some("a.slice".to_owned());
        let manager = Manager::Systemd { bus, unit: "sublet-x.scope".to_owned(), slice };
        let beside = Beside::of(&manager).unwrap();
        assert_eq!(beside.name(Pid::from_raw(7)), "sublet-x-supervisor-7.scope");
        assert_eq!(beside.slice.as_deref(), Some("a.slice"));
        let ours = Manager::Direct { parent: "/a".into(), name: "sublet-x".to_owned() };
        assert_eq!(Beside::of(&ours), None);
        assert_eq!(Beside::of(&Manager::None), None);
    }

    #[test]
    fn who_a_process_is_and_where_is_read() {
        let own = nix::unistd::geteuid().as_raw();
        assert_eq!(standing(Pid::this()).map(|(uid, depth)| (uid, depth > 0)), Some((own, true)));
        assert_eq!(standing(Pid::from_raw(i32::MAX)), None);
    }
}
