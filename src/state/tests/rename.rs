//! Another name for a container.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::races::race;
use super::*;
use crate::error::report;

fn links(scratch: &Scratch) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(scratch.at(".names"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn it_is_called_otherwise_and_the_old_name_is_free() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let running = run(&store, "a", Some("web"), Afterwards::Keep);
    let renamed = store.call(&id("a"), &name("www")).unwrap();
    assert_eq!(renamed.name, Some(name("www")));
    assert_eq!(store.find("www").unwrap(), renamed);
    assert!(store.find("web").is_err());
    assert_eq!(links(&scratch), ["www"]);
    store.reserve(&id("b"), Some(name("web"))).expect("the old name is free");
    // Its launcher goes on as before.
    running.edit(|record| record.asked.root = "x".to_owned()).unwrap();
    running.finish(exit(End::Code(0))).unwrap();
    assert_eq!(store.find("www").unwrap().asked.root, "x");
    // One without a name gets one, and another that is removed takes its own
    // along.
    let nameless = run(&store, "c", None, Afterwards::Remove);
    run(&store, "d", None, Afterwards::Fade).finish(exit(End::Code(0))).unwrap();
    let wanted = store.call(&id("d"), &name("kept")).unwrap();
    assert_eq!(wanted.afterwards, Afterwards::Keep, "somebody has a word for it now");
    store.remove(&id("d")).unwrap();
    store.call(&id("c"), &name("db")).unwrap();
    nameless.finish(exit(End::Code(0))).unwrap();
    assert_eq!(links(&scratch), ["www"]);
}

#[test]
fn what_another_has_is_refused() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let _one = run(&store, "a", Some("web"), Afterwards::Remove);
    let _other = run(&store, "b", Some("db"), Afterwards::Remove);
    let told = |id: &str, to: &str| report(&store.call(&super::id(id), &name(to)).unwrap_err());
    assert!(told("a", "db").contains("the name db is in use by container b"));
    assert!(told("a", "web").contains("is called web already"));
    assert!(told("c", "x").contains("is gone"));
    assert_eq!(links(&scratch), ["db", "web"]);
    assert_eq!(store.find("web").unwrap().id, id("a"));
}

/// Killed before the record, and behind it.
#[test]
fn half_a_renaming_is_none_or_whole() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let _running = run(&store, "a", Some("web"), Afterwards::Remove);
    symlink("a", scratch.at(".names/new")).unwrap();
    assert!(store.find("new").is_err());
    store.reserve(&id("b"), Some(name("new"))).expect("it doesn't count");
    symlink("a", scratch.at(".names/new")).unwrap();
    store.call(&id("a"), &name("new")).expect("it may be gone on with");
    symlink("a", scratch.at(".names/web")).unwrap();
    assert!(store.find("web").is_err());
    store.list().unwrap();
    assert_eq!(links(&scratch), ["new"]);
    // Of one that was killed the name is free.
    kill(run(&store, "d", Some("dead"), Afterwards::Remove));
    store.call(&id("a"), &name("dead")).unwrap();
}

#[test]
fn of_all_that_want_a_name_one_gets_it() {
    let scratch = Scratch::new();
    let kept: Vec<_> = (0..8)
        .map(|number| run(&scratch.store(), &format!("c{number}"), None, Afterwards::Remove))
        .collect();
    let winners = AtomicUsize::new(0);
    race(|number| {
        let store = scratch.store();
        let got = match number % 2 {
            0 if number / 2 < 8 => {
                store.call(&id(&format!("c{}", number / 2)), &name("web")).is_ok()
            }
            0 => false,
            _ => {
                store.list().unwrap();
                false
            }
        };
        winners.fetch_add(usize::from(got), Ordering::Relaxed);
    });
    assert_eq!(winners.load(Ordering::Relaxed), 1);
    let named: Vec<_> = scratch.store().list().unwrap().records;
    assert_eq!(named.iter().filter(|record| record.name.is_some()).count(), 1);
    assert_eq!(links(&scratch), ["web"]);
    drop(kept);
}
