//! What a process leaves that is killed between two steps, and what the next
//! command makes of it.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use super::spec::run_asked;
use super::*;

#[test]
fn a_reservation_that_has_not_come_far_is_removed() {
    let plant: [fn(&Path); 3] = [
        |_| (),
        |directory| drop(fs::File::create(directory.join("lock")).unwrap()),
        |directory| {
            fs::File::create(directory.join("lock")).unwrap();
            fs::write(directory.join("record.other"), "half").unwrap();
        },
    ];
    for plant in plant {
        let scratch = Scratch::new();
        let store = scratch.store();
        fs::create_dir(scratch.at("a")).unwrap();
        plant(&scratch.at("a"));
        let listing = store.list().unwrap();
        assert!(listing.records.is_empty() && listing.problems.is_empty());
        assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());

        fs::create_dir(scratch.at("a")).unwrap();
        plant(&scratch.at("a"));
        store.reserve(&id("a"), None).expect("a leftover is not in the way");
    }
    assert_eq!(RELEASED.get(), 0, "before the record nothing was made");
}

#[test]
fn a_name_without_its_container_is_free() {
    let targets = ["b", "", "a/../b", "..", "gone"];
    for target in targets {
        let scratch = Scratch::new();
        let store = scratch.store();
        // There is a container `b`, which has another name.
        let _other = run(&store, "b", Some("db"), Afterwards::Remove);
        let plant = || match target {
            "" => drop(fs::File::create(scratch.at(".names/web")).unwrap()),
            _ => symlink(target, scratch.at(".names/web")).unwrap(),
        };
        plant();
        assert!(store.find("web").is_err(), "{target:?}");
        let reserved = store.reserve(&id("a"), Some(name("web"))).unwrap();
        assert_eq!(fs::read_link(scratch.at(".names/web")).unwrap(), Path::new("a"));
        drop(reserved);
        plant();
        assert!(store.list().unwrap().problems.is_empty());
        assert!(!scratch.at(".names/web").is_symlink(), "{target:?} is swept");
        assert!(scratch.at(".names/db").is_symlink());
    }
}

#[test]
fn a_name_of_the_same_id_is_the_next_ones() {
    let scratch = Scratch::new();
    let store = scratch.store();
    drop(store.reserve(&id("x"), Some(name("y"))).unwrap());
    symlink("web", scratch.at(".names/web")).unwrap();
    let reserved = store.reserve(&id("web"), Some(name("web"))).unwrap();
    assert!(store.reserve(&id("b"), Some(name("web"))).is_err());
    drop(reserved);
    assert!(scratch.tree().is_empty());
}

#[test]
fn a_tombstone_is_swept() {
    let scratch = Scratch::new();
    let store = scratch.store();
    fs::create_dir_all(scratch.at(".dead-a/deep/er")).unwrap();
    fs::write(scratch.at(".dead-a/record.json"), "x").unwrap();
    // The same id once more, whose tombstone is in the way.
    drop(run(&store, "a", None, Afterwards::Remove));
    assert!(scratch.tree().is_empty());
    fs::create_dir_all(scratch.at(".dead-a/deep/er")).unwrap();
    store.list().unwrap();
    assert!(scratch.tree().is_empty());
}

#[test]
fn a_killed_launchers_container_is_never_running() {
    let scratch = Scratch::new();
    let store = scratch.store();
    kill(run(&store, "gone", Some("one"), Afterwards::Remove));
    kill(run(&store, "kept", Some("two"), Afterwards::Keep));
    let mut reserved = store.reserve(&id("early"), None).unwrap();
    reserved.commit(&record("early", None, Afterwards::Keep)).unwrap();
    kill(reserved);

    let listing = store.list().unwrap();
    assert_eq!(ids(&listing), ["kept", "early"]);
    for record in &listing.records {
        assert_eq!(end(record), Some(End::SupervisorLost));
    }
    assert_eq!(RELEASED.get(), 3, "each is taken down");
    store.list().unwrap();
    assert_eq!(RELEASED.get(), 3, "once");
    assert!(!scratch.at("gone").exists());
    assert!(!scratch.at(".names/one").is_symlink());
    store.reserve(&id("b"), Some(name("one"))).expect("the name is free");
    assert!(store.reserve(&id("b"), Some(name("two"))).is_err(), "this one is not");
}

#[test]
fn a_name_is_taken_over_from_the_dead_at_once() {
    let scratch = Scratch::new();
    let store = scratch.store();
    kill(run(&store, "a", Some("web"), Afterwards::Remove));
    store.reserve(&id("b"), Some(name("web"))).unwrap();
    assert_eq!(RELEASED.get(), 1);
    assert!(scratch.tree().is_empty());
}

/// Its launcher took the lock after a look at that and before one at the
/// record.
#[test]
fn one_that_has_just_started_is_not_mourned() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let _reserved = run(&store, "a", None, Afterwards::Remove);
    let entry = entry::Entry::open(&store, &id("a")).unwrap().unwrap();
    let record = store.find("a").unwrap();
    let seen = store.mourn(&entry, record.clone()).unwrap();
    assert_eq!(seen, Some(record));
    assert_eq!(RELEASED.get(), 0);
}

/// It was taken for a leftover before the lock was on it.
#[test]
fn a_directory_that_was_put_away_is_not_held() {
    let scratch = Scratch::new();
    let store = scratch.store();
    fs::create_dir(scratch.at("a")).unwrap();
    let open = || files::open_directory(store.fd(), "a").unwrap();
    let [first, second, late] = [open(), open(), open()];
    let hold = |directory| entry::Entry::hold(directory, &store, &id("a")).unwrap();
    let held = hold(first).expect("nobody else has it");
    assert!(hold(second).is_none(), "somebody has");
    drop(held);
    fs::rename(scratch.at("a"), scratch.at(".dead-a")).unwrap();
    assert!(hold(late).is_none());
}

/// Another command was faster, and then somebody took the same id again.
#[test]
fn a_directory_that_was_replaced_is_left_alone() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let reserved = store.reserve(&id("a"), None).unwrap();
    let open = |_| entry::Entry::open(&store, &id("a")).unwrap().unwrap();
    let [discarded, mourned, put_aside] = [(), (), ()].map(open);
    kill(reserved);
    fs::rename(scratch.at("a"), scratch.at(".dead-a")).unwrap();
    fs::write(scratch.at(".dead-a").join(files::RECORD), "half").unwrap();
    let _reserved = run(&store, "a", None, Afterwards::Remove);
    let record = store.find("a").unwrap();
    assert_eq!(store.discard(discarded, &id("a")).unwrap(), None);
    assert_eq!(store.mourn(&mourned, record.clone()).unwrap(), None);
    drop(mourned);
    let _ = store.put_aside(put_aside, &id("a"), anyhow::anyhow!("bad"));
    assert_eq!(store.find("a").unwrap(), record);
    assert_eq!(RELEASED.get(), 0);
}

#[test]
fn what_cannot_be_taken_down_is_tried_again() {
    fn fails(_: &Record) -> anyhow::Result<()> {
        anyhow::bail!("the cgroup is busy")
    }
    let scratch = Scratch::new();
    kill(run(&scratch.store(), "a", Some("web"), Afterwards::Remove));
    let base =
        Candidate { base: scratch.path().into(), name: "sublet".to_owned(), sharing: Sharing::Own };
    let directory = Directory::first_of(&[base], nix::unistd::geteuid().as_raw()).unwrap();
    let store = Store::in_directory(directory, fails);
    for _ in 0..2 {
        let told = crate::error::report(&store.list().unwrap().problems[0]);
        assert!(told.contains("container a, which was killed: the cgroup is busy"), "{told}");
        assert!(store.reserve(&id("b"), Some(name("web"))).is_err());
    }
    assert!(scratch.store().list().unwrap().problems.is_empty());
    assert!(scratch.tree().is_empty());
}

#[test]
fn a_reboot_is_told_from_a_kill() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let reserved = run(&store, "a", None, Afterwards::Keep);
    let before = Identity { boot: "the one before".to_owned(), ..me() };
    reserved
        .edit(|record| {
            let payload = before.clone();
            record.life = Life::Running { launcher: before, payload, started: Moment(1) };
        })
        .unwrap();
    kill(reserved);
    let found = store.find("a").unwrap();
    assert_eq!(end(&found), Some(End::Reboot));
    assert!(matches!(found.life, Life::Exited(Exit { started: Some(Moment(1)), .. })));
}

const BASE: &str = "SUBLET_STATE_TEST";

/// Everything that is done with a store, in a process that gets killed: the
/// ends of two containers that are there only before and of two that stay,
/// each way once by the launcher and once by who comes after it; one of the
/// latter gets another name, and in the end the other is removed.
fn all_there_is_to_do(base: &Path) {
    let store = store_in(base);
    run_asked(&store, "a", Some("web"), Afterwards::Remove).finish(exit(End::Code(7))).unwrap();
    kill(run_asked(&store, "b", Some("web"), Afterwards::Remove));
    run_asked(&store, "c", Some("web"), Afterwards::Keep).finish(exit(End::Code(7))).unwrap();
    store.call(&id("c"), &name("www")).unwrap();
    kill(run_asked(&store, "d", Some("db"), Afterwards::Keep));
    store.list().unwrap();
    store.remove(&id("d")).unwrap();
}

/// A process is killed at each system call that could change the store; what
/// is there afterwards is whole.
#[test]
fn killed_at_every_step() {
    if let Some(base) = std::env::var_os(BASE) {
        return all_there_is_to_do(Path::new(&base));
    }
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "true"]).stderr(Stdio::null());
    if !strace.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace does not work here");
        return;
    }
    let calls = "mkdirat,openat,fcntl,symlinkat,renameat,renameat2,unlinkat,flock,ftruncate,write";
    for call in calls.split(',') {
        for when in 1.. {
            let scratch = Scratch::new();
            let mut strace = Command::new("strace");
            strace.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
            strace.arg(format!("inject={call}:signal=KILL:when={when}"));
            strace.env(BASE, scratch.path());
            let done = again("state::tests::killed::killed_at_every_step", &mut strace);
            let at = format!("{call} {when}");
            check_after_kill(&scratch, &at);
            if done.status.success() {
                assert!(when > 1 || call == "symlinkat", "{at}: nothing was killed");
                break;
            }
        }
    }
}

fn check_after_kill(scratch: &Scratch, at: &str) {
    let store = scratch.store();
    let listing = store.list().unwrap();
    assert!(listing.problems.is_empty(), "{at}: {:?}", listing.problems);
    let mut expected = Vec::new();
    for record in &listing.records {
        let end = end(record).expect("it does not run");
        let id = record.id.as_str();
        let name = match id {
            "c" => {
                assert!([End::Code(7), End::SupervisorLost].contains(&end), "{at}");
                let name = record.name.as_ref().map_or("", Name::as_str);
                assert!(["web", "www"].contains(&name), "{at}: {name:?}");
                name
            }
            "d" => {
                assert_eq!(end, End::SupervisorLost, "{at}");
                "db"
            }
            _ => panic!("{at}: {id} was to go"),
        };
        assert_eq!(store.find(name).unwrap().id, record.id, "{at}");
        expected
            .extend(["", "/lock", "/record.json", "/spec.json"].map(|file| format!("{id}{file}")));
        expected.push(format!(".names/{name}"));
    }
    let mut tree = scratch.tree();
    tree.retain(|path| !path.ends_with("/record.other"));
    expected.sort();
    assert_eq!(tree, expected, "{at}");
    for text in ["web", "www", "db"].into_iter().filter(|text| store.find(text).is_err()) {
        store.reserve(&id("new"), Some(name(text))).expect("the name is free");
    }
}
