//! What this machine allows, found out when somebody asks.
//!
//! Nothing is probed twice and nothing that isn't asked for: a single-id
//! launch reads no /etc/subuid.
#![forbid(unsafe_code)]

pub mod advice;
pub mod bus;
pub mod caller;
pub mod cgroup;
pub mod descriptors;
pub mod disk;
pub mod files;
pub mod gates;
pub mod helper;
pub mod ids;
pub mod inside;
pub mod kernel_log;
pub mod memory;
pub mod mounts;
pub mod network;
pub mod passwd;
mod procfs;
mod program;
pub mod subid;
mod textfile;

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use advice::Advice;
use bus::{Bus, Places};
use caller::{Account, Caller};
use cgroup::Cgroups;
use descriptors::Descriptors;
use files::Files;
use gates::Gates;
use helper::{Candidate, Helper};
use mounts::Mounts;
use network::{Resolv, Routes};
use subid::{Kind, Subids};

/// Facts of the machine, each probed at most once.
#[derive(Debug, Default)]
pub struct Host {
    caller: OnceCell<Caller>,
    account: OnceCell<Result<Account, Advice>>,
    subuids: OnceCell<Subids>,
    subgids: OnceCell<Subids>,
    newuidmap: OnceCell<Result<PathBuf, Advice>>,
    newgidmap: OnceCell<Result<PathBuf, Advice>>,
    gates: OnceCell<Gates>,
    mounts: OnceCell<Mounts>,
    cgroups: OnceCell<Cgroups>,
    bus: OnceCell<Result<Bus, Advice>>,
    routes: OnceCell<Routes>,
    resolv: OnceCell<Resolv>,
    notify_socket: OnceCell<Option<OsString>>,
    descriptors: OnceCell<Descriptors>,
    files: Files,
}

impl Host {
    /// This machine, nothing looked at yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who calls.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn caller(&self) -> anyhow::Result<&Caller> {
        if let Some(caller) = self.caller.get() {
            return Ok(caller);
        }
        let caller = Caller::probe()?;
        Ok(self.caller.get_or_init(|| caller))
    }

    /// Where the service manager that has started us hears how it goes: the
    /// path of a socket, or its abstract name behind an `@` (sd_notify(3)).
    pub fn notify_socket(&self) -> Option<&OsStr> {
        let probe = || {
            let name = std::env::var_os("NOTIFY_SOCKET")?;
            let first = name.as_encoded_bytes().first();
            first.is_some_and(|first| b"/@".contains(first)).then_some(name)
        };
        self.notify_socket.get_or_init(probe).as_deref()
    }

    /// How many files the caller's processes may have open.
    ///
    /// # Errors
    /// What getrlimit(2) says.
    pub fn descriptors(&self) -> anyhow::Result<Descriptors> {
        if let Some(descriptors) = self.descriptors.get() {
            return Ok(*descriptors);
        }
        let descriptors = Descriptors::of_the_caller()?;
        Ok(*self.descriptors.get_or_init(|| descriptors))
    }

    /// The caller's entry in the user database, or why it has none.
    ///
    /// # Errors
    /// As [`caller`](Self::caller).
    pub fn account(&self) -> anyhow::Result<Result<&Account, &Advice>> {
        let uid = self.caller()?.uid;
        Ok(self.account.get_or_init(|| Account::probe(uid)).as_ref())
    }

    /// The caller's subordinate ids.
    ///
    /// # Errors
    /// As [`caller`](Self::caller).
    pub fn subids(&self, kind: Kind) -> anyhow::Result<&Subids> {
        let uid = self.caller()?.uid;
        let account = self.account()?.ok();
        let cell = match kind {
            Kind::Uid => &self.subuids,
            Kind::Gid => &self.subgids,
        };
        Ok(cell.get_or_init(|| Subids::probe(kind, uid, account)))
    }

    /// The helper, if it is here and can work for the caller; else why not.
    ///
    /// # Errors
    /// As [`caller`](Self::caller).
    pub fn helper(&self, helper: Helper) -> anyhow::Result<Result<&PathBuf, &Advice>> {
        let caller = self.caller()?;
        let cell = match helper {
            Helper::Newuidmap => &self.newuidmap,
            Helper::Newgidmap => &self.newgidmap,
        };
        let usable = || helper::usable(helper, Candidate::probe(helper), caller);
        Ok(cell.get_or_init(usable).as_ref())
    }

    /// What is mounted here.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn mounts(&self) -> anyhow::Result<&Mounts> {
        if let Some(mounts) = self.mounts.get() {
            return Ok(mounts);
        }
        let mounts = Mounts::probe()?;
        Ok(self.mounts.get_or_init(|| mounts))
    }

    /// Where we are in the tree of control groups.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn cgroups(&self) -> anyhow::Result<&Cgroups> {
        if let Some(cgroups) = self.cgroups.get() {
            return Ok(cgroups);
        }
        let caller = self.caller()?;
        let cgroups = Cgroups::probe(self.mounts()?, caller.euid, caller.uid_outside())?;
        Ok(self.cgroups.get_or_init(|| cgroups))
    }

    /// Where the caller's systemd is to be asked, which for root is the
    /// machine's, or why it can't be.
    ///
    /// # Errors
    /// As [`caller`](Self::caller).
    pub fn bus(&self) -> anyhow::Result<Result<&Bus, &Advice>> {
        let caller = self.caller()?;
        Ok(self.bus.get_or_init(|| bus::find(caller, &Places::probe())).as_ref())
    }

    /// The switches that can forbid user namespaces.
    pub fn gates(&self) -> &Gates {
        self.gates.get_or_init(Gates::probe)
    }

    /// Where packets go from here.
    pub fn routes(&self) -> &Routes {
        self.routes.get_or_init(|| Routes::probe(&self.files))
    }

    /// Whom this machine asks for names.
    pub fn resolv(&self) -> &Resolv {
        self.resolv.get_or_init(|| Resolv::probe(&self.files))
    }

    /// The files that a container is shown.
    pub fn files(&self) -> &Files {
        &self.files
    }
}

/// A machine told, not probed: what a decision is tested with.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who calls.
    pub caller: Caller,
    /// The caller's entry in the user database.
    pub account: Result<Account, Advice>,
    /// Its subordinate uids.
    pub subuids: Subids,
    /// Its subordinate gids.
    pub subgids: Subids,
    /// The files called newuidmap.
    pub newuidmap: Vec<Candidate>,
    /// The files called newgidmap.
    pub newgidmap: Vec<Candidate>,
    /// The switches.
    pub gates: Gates,
    /// What is mounted.
    pub mounts: Mounts,
    /// The tree of control groups.
    pub cgroups: Cgroups,
    /// Where the caller's systemd is to be asked.
    pub bus: Result<Bus, Advice>,
    /// Where the service manager that has started us hears how it goes.
    pub notify_socket: Option<OsString>,
    /// How many files its processes may have open.
    pub descriptors: Descriptors,
    /// Its files.
    pub files: Files,
}

impl From<Facts> for Host {
    fn from(facts: Facts) -> Self {
        let usable = |helper, candidates| helper::usable(helper, candidates, &facts.caller);
        let newuidmap = usable(Helper::Newuidmap, facts.newuidmap);
        let newgidmap = usable(Helper::Newgidmap, facts.newgidmap);
        Self {
            caller: facts.caller.into(),
            account: facts.account.into(),
            subuids: facts.subuids.into(),
            subgids: facts.subgids.into(),
            newuidmap: newuidmap.into(),
            newgidmap: newgidmap.into(),
            gates: facts.gates.into(),
            mounts: facts.mounts.into(),
            cgroups: facts.cgroups.into(),
            bus: facts.bus.into(),
            routes: OnceCell::new(),
            resolv: OnceCell::new(),
            notify_socket: facts.notify_socket.into(),
            descriptors: facts.descriptors.into(),
            files: facts.files,
        }
    }
}

/// Machines for tests.
#[cfg(test)]
pub(crate) mod made_up {
    use std::path::Path;

    use super::caller::{Capabilities, Filter, NewPrivileges, Setgroups, Source};
    use super::cgroup::{Controller, Version};
    use super::helper::{Execute, Suid};
    use super::ids::{Mapping, Range};
    use super::*;

    /// anna, an ordinary user with a range, on a machine that has all.
    pub(crate) fn facts() -> Facts {
        let range = Range { start: 100_000, count: 65_536 };
        let subids = Subids { ranges: vec![range], ..Subids::none(subid::Source::File, None) };
        let anna = passwd::User {
            name: "anna".to_owned(),
            uid: 1000,
            gid: 1000,
            home: "/home/anna".into(),
            shell: "/bin/sh".into(),
        };
        Facts {
            caller: user(),
            account: Ok(Account { user: anna, source: Source::Passwd }),
            subuids: subids.clone(),
            subgids: subids,
            newuidmap: vec![helper("/usr/bin/newuidmap")],
            newgidmap: vec![helper("/usr/bin/newgidmap")],
            gates: Gates::default(),
            mounts: Mounts::default(),
            cgroups: cgroups(),
            bus: Ok(Bus {
                path: "/run/user/1000/systemd/private".into(),
                kind: bus::Kind::Private,
            }),
            notify_socket: None,
            descriptors: Descriptors { soft: 1024, hard: 524_288 },
            files: files(),
        }
    }

    /// As on a desktop with systemd: the caller sits in the scope of its
    /// session, and what systemd delegates by itself is with its manager.
    pub(crate) fn cgroups() -> Cgroups {
        let user = Path::new("/sys/fs/cgroup/user.slice/user-1000.slice");
        Cgroups {
            version: Version::V2,
            mount: Some("/sys/fs/cgroup".into()),
            root: "/".into(),
            own: Some(user.join("session-1.scope")),
            ours: None,
            controllers: Vec::new(),
            session: Some(user.join("user@1000.service")),
            session_controllers: Controller::list("cpu memory pids"),
        }
    }

    /// Of what a plan looks for, all but /dev/net/tun.
    fn files() -> Files {
        let files = [
            ("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n"),
            ("/sys/fs/cgroup/a/b/cgroup.controllers", "memory pids\n"),
            ("/dev/fuse", ""),
            ("/dev/mqueue", ""),
            ("/etc/hosts", "127.0.0.1 localhost\n"),
            ("/etc/resolv.conf", "nameserver 192.0.2.1\n"),
        ];
        Files::Told(files.map(|(path, text)| (path.into(), text.to_owned())).into())
    }

    /// anna's process.
    pub(crate) fn user() -> Caller {
        let all = vec![Mapping { inside: 0, outside: 0, size: u32::MAX }];
        Caller {
            uid: 1000,
            euid: 1000,
            gid: 1000,
            egid: 1000,
            groups: vec![1000, 27],
            new_privileges: NewPrivileges::Possible,
            filter: Filter::None,
            effective: Capabilities::NONE,
            bounding: Capabilities::ALL,
            uid_map: all.clone(),
            gid_map: all,
            setgroups: Setgroups::Allow,
        }
    }

    /// A process of root with all capabilities.
    pub(crate) fn root() -> Caller {
        Caller {
            uid: 0,
            euid: 0,
            gid: 0,
            egid: 0,
            groups: vec![0],
            effective: Capabilities::ALL,
            ..user()
        }
    }

    /// A helper as distributions install it.
    pub(crate) fn helper(path: &str) -> Candidate {
        Candidate {
            path: path.into(),
            by_link: false,
            owner: 0,
            mode: 0o4755,
            execute: Execute::Allowed,
            capabilities: 0,
            suid: Suid::Honoured,
        }
    }
}
