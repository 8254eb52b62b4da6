//! Namespaces of others that a container goes into instead of making its own.
//!
//! The kernel lets a process go into a network only with rights over the user
//! namespace that owns it (setns(2)). So the container is made inside of that
//! one: it has the same ids, and the rest of its namespaces is its own.
//! `container::joined` finds what is meant, [`child::door`](crate::child::door)
//! goes there.

use std::fmt;
use std::os::fd::OwnedFd;

use super::idmap::{Mapping, Setgroups};

/// A network that is there already.
#[derive(Debug)]
pub struct Join {
    /// Whose it is.
    pub whose: Whose,
    /// The namespace, as setns(2) takes it.
    pub network: OwnedFd,
    /// Who owns it; `None` where that is the user namespace that we are in.
    pub owner: Option<Owner>,
}

/// A user namespace that the container shares with others.
#[derive(Debug)]
pub struct Owner {
    /// The namespace.
    pub namespace: OwnedFd,
    /// Its users; outside is our own user namespace.
    pub uids: Vec<Mapping>,
    /// Its groups.
    pub gids: Vec<Mapping>,
    /// Whether setgroups(2) works inside.
    pub setgroups: Setgroups,
}

/// Whose network it is, and what that one knows of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// For people: `container web`.
    pub told: String,
    /// Its /etc/hosts, where there is one.
    pub hosts: Option<String>,
    /// Its /etc/resolv.conf, where there is one.
    pub resolv: Option<String>,
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::super::step::{Gate, Step};
    use super::super::{Memory, Plan, compile};
    use super::*;
    use crate::cli::asked_words;
    use crate::error::report;
    use crate::host::{Host, made_up};

    fn null() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    /// A network whose owner has these ids; of the machine's own without.
    fn join(ids: Option<&[Mapping]>) -> Join {
        let owner = |ids: &[Mapping]| Owner {
            namespace: null(),
            uids: ids.to_vec(),
            gids: ids.to_vec(),
            setgroups: Setgroups::Deny,
        };
        let told = "container web".to_owned();
        let hosts = Some("192.0.2.1\ta".to_owned());
        let resolv = Some("nameserver 192.0.2.9\nsearch a.example\n".to_owned());
        let whose = Whose { told, hosts, resolv };
        Join { whose, network: null(), owner: ids.map(owner) }
    }

    fn planned(options: &[&str], join: Join) -> anyhow::Result<Plan> {
        let words = [options, &["/nonexistent", "true"]].concat();
        compile(&asked_words(&words)?.spec, Some(join), &Host::from(made_up::facts()))
    }

    /// What the file of that name holds.
    fn file(plan: &Plan, file: &str) -> String {
        let found = plan.steps.iter().find_map(|step| match step {
            Step::MakeFile { name, content, .. } if name.to_bytes() == file.as_bytes() => {
                Some(String::from_utf8_lossy(content).into_owned())
            }
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no {file} is made"))
    }

    fn makes(plan: &Plan, kind: &str) -> bool {
        let is = |step: &Step| matches!(step, Step::NewFilesystem { kind: made, .. } if made.to_bytes() == kind.as_bytes());
        plan.steps.iter().any(is)
    }

    const ROOT: &[Mapping] = &[Mapping { inside: 0, outside: 1000, size: 1 }];

    #[test]
    fn the_ids_are_the_owners_and_the_rest_is_new() {
        let plan = planned(&[], join(Some(ROOT))).unwrap();
        assert_eq!(plan.outline.namespaces.names(), ["pid", "mnt", "uts", "ipc", "cgroup"]);
        assert_eq!(plan.outline.idmap.uids, ROOT);
        assert_eq!(plan.outline.memory, Memory::Copied);
        let waits =
            |gate| plan.steps.iter().any(|step| matches!(step, Step::Pass(it) if *it == gate));
        assert!(waits(Gate::Mapped) && !waits(Gate::Network));
        assert!(makes(&plan, "sysfs"));
        assert!(plan.to_string().contains("\nnetwork: that of container web\n"));
        // The machine's own network leaves the container its own ids.
        let plan = planned(&[], join(None)).unwrap();
        assert!(plan.outline.namespaces.names().starts_with(&["user", "pid"]));
        assert!(!plan.outline.namespaces.names().contains(&"net"));
        assert!(!makes(&plan, "sysfs"), "of a network that is not the container's");
    }

    #[test]
    fn names_are_the_others_and_its_own() {
        let plan = planned(&["-h", "box"], join(Some(ROOT))).unwrap();
        assert_eq!(file(&plan, "hosts"), "192.0.2.1\ta\n127.0.1.1\tbox\n");
        let resolv = file(&plan, "resolv.conf");
        assert_eq!(resolv, "nameserver 192.0.2.9\nsearch a.example\n");
        let plan = planned(&["--dns-search", "b.example"], join(Some(ROOT))).unwrap();
        let resolv = file(&plan, "resolv.conf");
        assert_eq!(resolv, "nameserver 192.0.2.9\nsearch b.example\n");
    }

    #[test]
    fn who_is_not_asked_for_is_somebody_there() {
        let user = |maps: &[Mapping]| {
            let plan = planned(&[], join(Some(maps))).unwrap();
            plan.outline.idmap.default_user.uid
        };
        let own = made_up::facts().caller.euid;
        assert_eq!(user(ROOT), 0);
        assert_eq!(user(&[Mapping::one(7, own)]), 7);
        assert_eq!(user(&[Mapping::one(9, 100_000)]), 9);
    }

    #[test]
    fn what_does_not_go_with_it_is_refused() {
        let own = made_up::facts().caller.euid;
        let same = [Mapping::one(0, own)];
        planned(&["--userns", "single"], join(Some(&same))).unwrap();
        let map = format!("5:{own}:1");
        for options in [&["--uidmap", &map][..], &["--userns", "nomap"], &["--userns", "keep-id"]] {
            let told = report(&planned(options, join(Some(&same))).unwrap_err());
            assert!(told.contains("container web has other ids: uids 0 -> "), "{told}");
            assert!(told.contains("leave --userns, --uidmap and --gidmap out"), "{told}");
        }
        let told = report(&planned(&["--pid", "host"], join(Some(&same))).unwrap_err());
        assert!(told.contains("--pid host: it would end container web with itself"), "{told}");
        planned(&["--pid", "host"], join(None)).unwrap();
    }

    #[test]
    fn who_goes_there_sets_what_the_child_can_not() {
        let adjusted = |join| {
            let plan = planned(&["--oom-score-adj", "5"], join).unwrap();
            let step = plan.steps.iter().any(|step| matches!(step, Step::WriteProc { .. }));
            (plan.outline.oom_score_adj.clone(), step)
        };
        assert_eq!(adjusted(join(Some(ROOT))), (Some(b"5".to_vec()), false));
        let plan = planned(&[], join(Some(ROOT))).unwrap();
        assert_eq!(plan.outline.oom_score_adj, None);
    }
}
