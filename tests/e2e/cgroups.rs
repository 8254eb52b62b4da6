//! The tree of control groups: what the library makes in it, seen from outside.
//! As root on a machine that has its controllers in version 1, there is a tree
//! without any; in the machine under QEMU there is one with all.

use std::fs;

use nix::errno::Errno;
use sublet::cgroup::delegated::divide;
use sublet::cgroup::split::{Split, split};
use sublet::cgroup::usage::Usage;
use sublet::cgroup::{Directory, Refused};
use sublet::host::Host;
use sublet::host::cgroup::{Controller, Version};
use sublet::plan::cgroup::{Cgroup, Setting};

use crate::common::tree::{now, soon};
use crate::common::*;

/// Something stays when the rest is killed: systemd removes a scope that is empty,
/// while a test looks at it.
const THREE: &str = "sleep 1000 & sleep 1000 & wait; exec sleep 1000";

/// Limits by what can be had in `tree`.
fn plan(tree: &Tree) -> Cgroup {
    let controllers = tree.of(&[Controller::Cpu, Controller::Memory, Controller::Pids]);
    let setting = |(controller, file, content): (Option<Controller>, &str, &str)| {
        let on = controller.is_none_or(|one| controllers.contains(&one));
        on.then(|| Setting { file: file.to_owned(), content: content.to_owned() })
    };
    let limits = [
        (Some(Controller::Cpu), "cpu.max", "50000 100000"),
        (Some(Controller::Memory), "memory.max", "67108864"),
        (Some(Controller::Pids), "pids.max", "77"),
    ];
    let payload = [
        (None, "cgroup.max.descendants", "64"),
        (Some(Controller::Memory), "memory.oom.group", "1"),
        (Some(Controller::Pids), "pids.max", "64"),
    ];
    Cgroup {
        limits: limits.into_iter().filter_map(setting).collect(),
        payload: payload.into_iter().filter_map(setting).collect(),
        controllers,
        ..Cgroup::default()
    }
}

fn values(directory: &Directory, settings: &[Setting]) {
    for Setting { file, content } in settings {
        assert_eq!(directory.read(file).unwrap().trim_end(), content, "{file}");
    }
}

/// Ends what is in a container's cgroup, and removes it.
fn end(split: Split) {
    split.limited().kill().unwrap();
    drop(split);
}

#[test]
fn ours_is_split_and_cleaned_up() {
    requires!(delegated);
    Tree::with(THREE, |tree| {
        let processes = tree.processes(3);
        let plan = plan(tree);
        let split = split(tree.path(), "sublet-one", &plan).unwrap();
        let (limited, payload) = (split.limited(), split.payload());
        assert_eq!(limited.path(), tree.path().join("sublet-one"));
        assert_eq!(payload.path(), tree.path().join("sublet-one/payload"));
        values(limited, &plan.limits);
        values(payload, &plan.payload);
        let is_shared = !plan.controllers.is_empty();
        let supervisor = tree.directory().make_or_open("supervisor").unwrap();
        let moved = supervisor.processes().unwrap();
        let expected: &[i32] = if is_shared { &processes } else { &[] };
        assert!(expected.iter().all(|pid| moved.contains(pid)), "{moved:?} of {expected:?}");
        assert!(!is_shared || tree.directory().processes().unwrap().is_empty());

        assert!(!limited.populated().unwrap());
        payload.add_process(processes[1]).unwrap();
        assert!(limited.populated().unwrap());
        assert_eq!(payload.processes().unwrap(), [processes[1]]);
        let usage = Usage::read(limited);
        assert!(usage.cpu.is_some());
        let pids = usage.pids.map(|pids| (pids.current, pids.limit));
        let counted = plan.controllers.contains(&Controller::Pids).then_some((1, Some(77)));
        assert_eq!(pids, counted);
        let limit = usage.memory.map(|memory| memory.limit_bytes);
        let limited = plan.controllers.contains(&Controller::Memory).then_some(Some(64 << 20));
        assert_eq!(limit, limited);

        let again = sublet::cgroup::split::split(tree.path(), "sublet-one", &plan).unwrap_err();
        assert_eq!(again.root_cause().downcast_ref::<Refused>().unwrap().errno, Errno::EEXIST);
        end(split);
        assert_eq!(tree.names(), ["supervisor"]);
    });
}

#[test]
fn many_split_it_at_once_while_processes_are_forked() {
    requires!(delegated);
    Tree::with("while :; do /bin/true; done & while :; do /bin/true; done", |tree| {
        let plan = plan(tree);
        let names: Vec<_> = (0..8).map(|each| format!("sublet-{each}")).collect();
        let one = |name: &str| split(tree.path(), name, &plan).unwrap();
        let made: Vec<Split> = std::thread::scope(|scope| {
            let started: Vec<_> = names.iter().map(|name| scope.spawn(|| one(name))).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for split in &made {
            values(split.limited(), &plan.limits);
            values(split.payload(), &plan.payload);
        }
        drop(made);
        let kept: &[&str] = if plan.controllers.is_empty() { &[] } else { &["supervisor"] };
        assert_eq!(tree.names(), kept);
    });
}

#[test]
fn only_what_the_dead_left_is_removed() {
    requires!(delegated);
    Tree::with(THREE, |tree| {
        let processes = tree.processes(3);
        let living = split(tree.path(), "sublet-living", &Cgroup::default()).unwrap();
        let directory = tree.directory();
        let below = directory.make("sublet-dead").unwrap().make("payload").unwrap();
        below.make("of-the-container").unwrap().make("deeper").unwrap();
        directory.make("sublet-busy").unwrap().add_process(processes[0]).unwrap();
        directory.make("another").unwrap();
        let next = split(tree.path(), "sublet-next", &Cgroup::default()).unwrap();
        let left = ["another", "sublet-busy", "sublet-living", "sublet-next"];
        assert_eq!(tree.names(), left);
        drop((living, next));
        assert_eq!(tree.names(), left[..2]);
    });
}

#[test]
fn what_fails_leaves_nothing() {
    requires!(delegated);
    Tree::with("sleep 1000", |tree| {
        let setting = Setting { file: "memory.nonsense".to_owned(), content: "1".to_owned() };
        let limits = Cgroup { limits: vec![setting.clone()], ..Cgroup::default() };
        let payload = Cgroup { payload: vec![setting], ..Cgroup::default() };
        for plan in [limits, payload] {
            let error = split(tree.path(), "sublet-one", &plan).unwrap_err();
            let text = sublet::error::report(&error);
            assert!(text.contains("write \"1\" to memory.nonsense"), "{text}");
            assert_eq!(tree.names(), [""; 0]);
        }
        // What nobody has switched on for us is named, with what there is.
        let all = [Controller::Cpu, Controller::Cpuset, Controller::Hugetlb, Controller::Io];
        let there = tree.of(&all);
        let missing = all.into_iter().find(|one| !there.contains(one)).expect("one is missing");
        let plan = Cgroup { controllers: vec![missing], ..Cgroup::default() };
        let error = sublet::error::report(&split(tree.path(), "sublet-one", &plan).unwrap_err());
        assert!(error.contains(&format!("\"+{missing}\"")), "{error}");
        assert!(error.contains("doesn't share this controller"), "{error}");
        assert!(error.contains("hint: of controllers, the cgroup"), "{error}");
    });
}

#[test]
fn a_frozen_cgroup_thaws_or_dies() {
    requires!(delegated);
    // The shell stays when the others are killed: systemd removes a scope in
    // which nothing is.
    Tree::with("sleep 1000 & sleep 1000 & wait; exec sleep 1000", |tree| {
        let processes = tree.processes(3);
        let split = split(tree.path(), "sublet-one", &plan(tree)).unwrap();
        let payload = split.payload();
        for pid in &processes[1..] {
            payload.add_process(*pid).unwrap();
        }
        let frozen = || split.limited().read("cgroup.events").unwrap().contains("frozen 1");
        split.limited().freeze(soon()).unwrap();
        assert!(frozen());
        let refused = payload.thaw(now()).unwrap_err();
        assert_eq!(refused.errno, Errno::ETIMEDOUT, "a cgroup above is frozen");
        split.limited().thaw(soon()).unwrap();
        assert!(!frozen());
        split.limited().freeze(soon()).unwrap();
        assert!(!payload.await_empty(now()).unwrap());
        payload.kill().unwrap();
        assert!(payload.await_empty(soon()).unwrap());
        drop(split);
        assert!(!tree.path().join("sublet-one").exists());
    });
}

#[test]
fn who_is_ending_is_waited_for() {
    requires!(delegated);
    let forks = "sleep 1000 & while :; do sleep 0.01 & done";
    Tree::with(forks, |tree| {
        let directory = tree.directory();
        for round in 0..20 {
            let leaf = directory.make("leaf").unwrap();
            for pid in tree.directory().processes().unwrap().into_iter().skip(2) {
                // It may have ended.
                let _ = leaf.add_process(pid);
            }
            leaf.kill().unwrap();
            directory.remove("leaf", soon()).unwrap();
            assert!(directory.child("leaf").is_err(), "round {round}");
        }
        directory.remove("leaf", now()).expect("one that is gone is removed");
        let leaf = directory.make("leaf").unwrap();
        leaf.add_process(tree.directory().processes().unwrap()[0]).unwrap();
        assert_eq!(directory.remove("leaf", now()).unwrap_err().errno, Errno::EBUSY);
    });
}

#[test]
fn a_scope_is_divided() {
    requires!(delegated);
    Tree::with(THREE, |tree| {
        let processes = tree.processes(3);
        let plan = Cgroup { limits: Vec::new(), ..plan(tree) };
        let divided = divide(tree.path(), &plan, processes[1], Some(processes[2])).unwrap();
        assert_eq!(divided.limited().path(), tree.path());
        assert_eq!(divided.payload().processes().unwrap(), [processes[1]]);
        values(divided.payload(), &plan.payload);
        let watched = tree.directory().child("supervisor").unwrap().processes().unwrap();
        assert!(watched.contains(&processes[2]));
        let others = tree.directory().processes().unwrap();
        assert_eq!(others.is_empty(), !plan.controllers.is_empty(), "{others:?}");
        assert_eq!(tree.names(), ["payload", "supervisor"]);
    });
}

#[test]
fn the_kernels_refusals_are_told_as_what_they_are() {
    requires!(delegated);
    Tree::with(THREE, |tree| {
        let processes = tree.processes(3);
        let directory = tree.directory();
        let told = |result: Result<(), Refused>| result.unwrap_err().to_string();
        let control = "cgroup.subtree_control";
        assert!(told(directory.write(control, "+nonsense")).contains("no such controller"));
        assert!(told(directory.add_process(0x3fff_ffff)).contains("the process is gone"));
        let leaf = directory.make("leaf").unwrap();
        if caller().0 != 0 {
            // What is above our session and this scope is root's.
            let own = leaf.add_process(std::process::id().cast_signed());
            assert!(told(own).contains("cgroup.procs of the nearest cgroup above"));
        }
        leaf.write("cgroup.max.descendants", "0").unwrap();
        assert!(leaf.make("x").unwrap_err().to_string().contains("max.descendants"));
        directory.remove("leaf", soon()).unwrap();
        assert!(told(leaf.write("cgroup.freeze", "1")).contains("has been removed"));
        assert!(leaf.read("cgroup.procs").unwrap_err().to_string().contains("has been removed"));
        assert!(leaf.make("x").unwrap_err().to_string().contains("has been removed"));
        if !tree.of(&[Controller::Memory]).is_empty() {
            let on = directory.write(control, "+memory");
            assert!(told(on).contains("may hold no process itself"));
            let split = split(tree.path(), "sublet-one", &plan(tree)).unwrap();
            let into = told(split.limited().add_process(processes[0]));
            assert!(into.contains("may hold no process itself"), "{into}");
        }
    });
}

/// pids alone is shared out with processes in the cgroup, too, but none can be
/// below it then.
#[test]
fn a_domain_of_threads_is_made_an_ordinary_one() {
    requires!(delegated, cgroup2);
    Tree::with(THREE, |tree| {
        let processes = tree.processes(3);
        let only = |controllers| Cgroup { controllers, ..Cgroup::default() };
        tree.directory().write("cgroup.subtree_control", "+pids").unwrap();
        assert_eq!(tree.directory().read("cgroup.type").unwrap(), "domain threaded\n");
        let one = split(tree.path(), "sublet-one", &only(vec![Controller::Pids])).unwrap();
        assert_eq!(tree.directory().read("cgroup.type").unwrap(), "domain\n");
        one.payload().add_process(processes[1]).unwrap();
        let more = only(vec![Controller::Pids, Controller::Memory]);
        let two = split(tree.path(), "sublet-two", &more).unwrap();
        two.payload().add_process(processes[2]).unwrap();
        end(one);
        end(two);
    });
}

#[test]
fn who_takes_too_much_is_killed_and_counted() {
    requires!(delegated, cgroup2);
    let scratch = Scratch::new();
    let fifo = scratch.join("go");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script =
        format!("(read x < {}; exec tail /dev/zero) & wait; exec sleep 1000", fifo.display());
    Tree::with(&script, |tree| {
        let processes = tree.processes(2);
        let setting = |file: &str, content: &str| Setting {
            file: file.to_owned(),
            content: content.to_owned(),
        };
        let plan = Cgroup {
            limits: vec![setting("memory.max", "33554432"), setting("memory.swap.max", "0")],
            payload: vec![setting("memory.oom.group", "1")],
            controllers: tree.of(&[Controller::Memory, Controller::Cpu]),
            ..Cgroup::default()
        };
        let split = split(tree.path(), "sublet-one", &plan).unwrap();
        split.payload().add_process(*processes.iter().max().unwrap()).unwrap();
        fs::write(&fifo, "go\n").unwrap();
        assert!(split.payload().await_empty(soon()).unwrap(), "it lives");
        let usage = Usage::read(split.limited());
        let memory = usage.memory.unwrap();
        assert_eq!(memory.oom_group_kills, Some(1), "{memory:?}");
        assert!(memory.oom_kills > Some(0), "{memory:?}");
        assert_eq!(memory.limit_bytes, Some(32 << 20));
        let peak = memory.peak_bytes.unwrap();
        // Who is being killed may go above the limit by some pages.
        assert!((16 << 20..=33 << 20).contains(&peak), "{memory:?}");
        assert!(usage.cpu.unwrap().usage_microseconds > 0);
        println!("{}", serde_json::to_string(&usage).unwrap());
    });
}

/// Set in a copy of this program that only tells where it is.
const LOOK: &str = "SUBLET_E2E_LOOK";

/// systemd doesn't mark what a user's manager, or a stranger, has delegated.
#[test]
fn what_systemd_manages_is_not_ours() {
    if let Some(told) = std::env::var_os(LOOK) {
        fs::write(told, format!("{:?}", Host::new().cgroups().unwrap().ours)).unwrap();
        return;
    }
    requires!(delegated);
    let scratch = Scratch::new();
    let (here, told) = (std::env::current_exe().unwrap(), scratch.join("told"));
    let test = "cgroups::what_systemd_manages_is_not_ours";
    let look = format!("{LOOK}={} {} --exact {test}", told.display(), here.display());
    Tree::with(&format!("{look}; sleep 1000"), |tree| {
        let told = eventually(10.0, || fs::read_to_string(&told).ok().filter(|s| !s.is_empty()));
        let told = told.expect("a look from inside");
        let name = tree.path().file_name().unwrap().to_str().unwrap();
        let has_systemd = fs::exists("/run/systemd/system").unwrap();
        assert_eq!(told.contains(name), !has_systemd, "{told}");
        assert_eq!(told == "None", has_systemd, "{told}");
    });
}

#[test]
fn a_login_session_has_a_systemd_with_controllers() {
    requires!(delegated, cgroup2, ordinary_user);
    let host = Host::new();
    let here = host.cgroups().unwrap();
    assert_eq!((here.version, &here.ours), (Version::V2, &None));
    let session = here.session.as_ref().unwrap();
    assert!(session.ends_with(format!("user@{}.service", caller().0)), "{session:?}");
    let below = [Controller::Memory, Controller::Pids];
    assert!(below.iter().all(|one| here.session_controllers.contains(one)));
    assert_eq!(here.own, Some(here.of_process(std::process::id().cast_signed()).unwrap()));
}
