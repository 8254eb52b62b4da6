//! Containers side by side, and what they have in common.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind(usize);

/// All of them, under the names that /proc/PID/ns has; namespaces(7).
const NAMES: [&str; 8] = ["user", "pid", "mnt", "uts", "ipc", "net", "cgroup", "time"];

/// All kinds.
pub const KINDS: [Kind; 8] =
    [Kind(0), Kind(1), Kind(2), Kind(3), Kind(4), Kind(5), Kind(6), Kind(7)];

impl Kind {
    /// Those that decide whose a process is.
    pub const USER: Self = Self(0);
    /// See [`USER`](Self::USER).
    pub const MOUNT: Self = Self(2);

    /// Its name in /proc/PID/ns.
    pub fn name(self) -> &'static str {
        NAMES[self.0]
    }
}

/// The numbers of the namespaces that a process is in; none where it can't be
/// seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers([Option<u64>; KINDS.len()]);

impl Numbers {
    /// By asking for each.
    pub fn of(mut number: impl FnMut(Kind) -> Option<u64>) -> Self {
        Self(KINDS.map(&mut number))
    }

    /// That of one kind.
    pub fn get(&self, kind: Kind) -> Option<u64> {
        self.0[kind.0]
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(KINDS.len()))?;
        for kind in KINDS {
            map.serialize_entry(kind.name(), &self.get(kind))?;
        }
        map.end()
    }
}

/// One container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Member {
    /// Its id; none where it has no record.
    pub id: Option<String>,
    /// What it is called: its name, the beginning of its id, or its process.
    pub label: String,
    /// Its command, in one line.
    pub command: String,
    /// Its first process.
    pub pid: i32,
    /// How many processes are in it, those of namespaces inside too.
    pub processes: usize,
    /// What that process is in.
    pub numbers: Numbers,
    /// User namespaces that were made inside.
    pub inner: Vec<Inner>,
    /// The directory of its control group.
    pub cgroup: Option<PathBuf>,
    /// What limits that has.
    pub limits: Limits,
}

/// A user namespace inside a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Its number.
    pub number: u64,
    /// How deep it is: 1 is directly below the container's.
    pub depth: usize,
    /// How many processes are in it.
    pub processes: usize,
}

/// What a control group has, and how much it may have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// The most of it.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// The most of them.
    pub pids_limit: Option<u64>,
    /// Time of how many processors.
    pub cpus: Option<f64>,
}

/// Who is in a namespace beside one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Share {
    /// It can't be seen.
    Hidden,
    /// Nobody.
    Own,
    /// The host.
    Host,
    /// Other containers: the number of the group, from 0.
    Group(usize),
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// The caller's own namespaces.
    pub host: Numbers,
    /// The containers, the oldest first; those without a record last.
    pub members: Vec<Member>,
}

impl Picture {
    /// Namespaces that several containers are in and the host is not.
    pub fn groups(&self) -> Vec<(Kind, u64, Vec<usize>)> {
        let mut groups = Vec::new();
        for kind in KINDS {
            let mut who: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
            for (at, member) in self.members.iter().enumerate() {
                let number = member.numbers.get(kind);
                let foreign = number.filter(|number| self.host.get(kind) != Some(*number));
                if let Some(number) = foreign {
                    who.entry(number).or_default().push(at);
                }
            }
            let several = who.into_iter().filter(|(_, members)| members.len() > 1);
            groups.extend(several.map(|(number, members)| (kind, number, members)));
        }
        groups
    }

    /// Who shares a namespace of a container.
    pub fn share(&self, member: &Member, kind: Kind) -> Share {
        let Some(number) = member.numbers.get(kind) else { return Share::Hidden };
        if self.host.get(kind) == Some(number) {
            return Share::Host;
        }
        let is_it = |(one, other, _): &(Kind, u64, Vec<usize>)| (*one, *other) == (kind, number);
        self.groups().iter().position(is_it).map_or(Share::Own, Share::Group)
    }

    /// Only the container `id`, and those that share something with it that the
    /// host does not.
    pub fn around(mut self, id: &str) -> Self {
        let Some(it) = self.members.iter().position(|member| member.id.as_deref() == Some(id))
        else {
            self.members.clear();
            return self;
        };
        let beside: Vec<usize> =
            self.groups().into_iter().map(|group| group.2).fold(vec![it], |mut beside, members| {
                if members.contains(&it) {
                    beside.extend(members);
                }
                beside
            });
        let mut at = 0..;
        self.members.retain(|_| at.next().is_some_and(|at| beside.contains(&at)));
        self
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let groups = self.groups();
        let label = |at: &usize| self.members[*at].label.clone();
        let shared: Vec<Value> = groups
            .iter()
            .map(|(kind, number, members)| {
                let members: Vec<String> = members.iter().map(label).collect();
                json!({"Kind": kind.name(), "Inode": number, "Containers": members})
            })
            .collect();
        let members: Vec<Value> = self.members.iter().map(|member| self.one(member)).collect();
        json!({"Host": {"Namespaces": self.host}, "Containers": members, "Shared": shared})
    }

    fn one(&self, member: &Member) -> Value {
        let groups = self.groups();
        let namespace = |kind: Kind| {
            let with: Vec<String> = match self.share(member, kind) {
                Share::Hidden => return (kind.name().to_owned(), Value::Null),
                Share::Own => Vec::new(),
                Share::Host => vec!["host".to_owned()],
                Share::Group(group) => {
                    let others = groups[group].2.iter().map(|at| &self.members[*at]);
                    let others = others.filter(|other| other.pid != member.pid);
                    others.map(|other| other.label.clone()).collect()
                }
            };
            let number = member.numbers.get(kind);
            (kind.name().to_owned(), json!({"Inode": number, "SharedWith": with}))
        };
        let inner = |inner: &Inner| {
            let Inner { number, depth, processes } = inner;
            json!({"Inode": number, "Depth": depth, "Processes": processes})
        };
        let Limits { memory, memory_limit, pids, pids_limit, cpus } = member.limits;
        json!({
            "Id": member.id,
            "Name": member.label,
            "Command": member.command,
            "Pid": member.pid,
            "Processes": member.processes,
            "Namespaces": KINDS.map(namespace).into_iter().collect::<serde_json::Map<_, _>>(),
            "InnerUserNamespaces": member.inner.iter().map(inner).collect::<Vec<_>>(),
            "CgroupPath": member.cgroup,
            "Usage": {"MemoryBytes": memory, "Pids": pids},
            "Limits": {"MemoryBytes": memory_limit, "Pids": pids_limit, "Cpus": cpus},
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The host, `web` and `db` with one network, and `job` with the host's.
    pub(crate) fn picture() -> Picture {
        let host = Numbers::of(|kind| Some(100 + kind.0 as u64));
        let member = |number: u64, label: &str, net: u64| Member {
            id: Some(format!("{number:064x}")),
            label: label.to_owned(),
            command: "sh -c 'sleep 600'".to_owned(),
            pid: number as i32,
            processes: 3,
            numbers: Numbers::of(|kind| match kind.name() {
                "net" => Some(net),
                "time" => host.get(kind),
                _ => Some(number * 1000 + kind.0 as u64),
            }),
            ..Member::default()
        };
        let mut members = vec![member(1, "web", 777), member(2, "db", 777), member(3, "job", 105)];
        members[0].inner = vec![Inner { number: 9, depth: 1, processes: 2 }];
        members[0].cgroup = Some("/sys/fs/cgroup/user.slice/sublet-1.scope".into());
        members[0].limits = Limits {
            memory: Some(16 << 20),
            memory_limit: Some(64 << 20),
            pids: Some(3),
            pids_limit: Some(50),
            cpus: Some(0.5),
        };
        Picture { host, members }
    }

    #[test]
    fn what_is_shared_is_told_from_what_is_the_hosts() {
        let picture = picture();
        let net = KINDS[5];
        let share = |at: usize, kind| picture.share(&picture.members[at], kind);
        assert_eq!((share(0, net), share(1, net)), (Share::Group(0), Share::Group(0)));
        assert_eq!((share(2, net), share(0, Kind::USER)), (Share::Host, Share::Own));
        assert_eq!(picture.groups(), [(net, 777, vec![0, 1])]);
        let mut hidden = picture.clone();
        hidden.members[0].numbers = Numbers::default();
        assert_eq!(hidden.share(&hidden.members[0], net), Share::Hidden);
        assert!(hidden.groups().is_empty());
    }

    #[test]
    fn around_one_are_those_that_share_with_it() {
        let labels = |number: u64| {
            let picture = picture().around(&format!("{number:064x}"));
            picture.members.into_iter().map(|member| member.label).collect::<Vec<_>>()
        };
        assert_eq!((labels(1), labels(3)), (vec!["web".into(), "db".into()], vec!["job".into()]));
        assert!(labels(4).is_empty());
    }

    #[test]
    fn programs_get_numbers_and_names() {
        let told = picture().to_json();
        let web = &told["Containers"][0];
        assert_eq!(web["Namespaces"]["net"], json!({"Inode": 777, "SharedWith": ["db"]}));
        assert_eq!(web["Namespaces"]["time"]["SharedWith"], json!(["host"]));
        assert_eq!(web["Namespaces"]["user"]["SharedWith"], json!([]));
        assert_eq!(web["Limits"]["MemoryBytes"], 64 << 20);
        assert_eq!(told["Shared"][0]["Containers"], json!(["web", "db"]));
        assert_eq!(told["Host"]["Namespaces"]["user"], 100);
    }
}
