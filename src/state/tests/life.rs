//! A container from its reservation to its end.

use super::*;
use crate::error::report;

const A: &str = "aaaa11112222333344445555666677778888999900001111222233334444aaaa";
const B: &str = "aaaa2222bbbb333344445555666677778888999900001111222233334444bbbb";

#[test]
fn a_container_is_known_while_it_runs_and_then_gone() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let mut reserved = store.reserve(&id(A), None).unwrap();
    assert!(ids(&store.list().unwrap()).is_empty(), "there is nothing to tell yet");
    reserved.commit(&record(A, None, Afterwards::Remove)).unwrap();
    assert!(matches!(store.find(A).unwrap().life, Life::Created { launcher: Some(_) }));
    reserved.edit(|record| record.life = running()).unwrap();

    let other = scratch.store();
    let listing = other.list().unwrap();
    assert_eq!(ids(&listing), [A]);
    assert!(matches!(listing.records[0].life, Life::Running { .. }));
    assert_eq!(listing.records[0].asked.command[1], "\u{1b}[2J\n\"");

    reserved.finish(exit(End::Code(0))).unwrap();
    assert!(ids(&other.list().unwrap()).is_empty());
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
    assert_eq!(RELEASED.get(), 0, "its own launcher takes it down");
}

#[test]
fn one_that_is_kept_says_how_it_ended() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let reserved = run(&store, A, Some("web"), Afterwards::Keep);
    let usage = Usage { oom_killed: true, memory_peak: Some(64 << 20), ..Usage::default() };
    let ended = Exit { usage, ..exit(End::Signal(9)) };
    reserved.finish(ended.clone()).unwrap();

    let found = store.find("web").unwrap();
    assert_eq!(found.life, Life::Exited(ended));
    let taken = store.reserve(&id(B), Some(name("web"))).unwrap_err();
    assert!(report(&taken).contains("the name web is in use by container aaaa11112222"));
    assert_eq!(ids(&store.list().unwrap()), [A], "the loser leaves nothing");
    let taken = store.reserve(&id(A), None).unwrap_err();
    assert!(report(&taken).contains("exists already"));
}

#[test]
fn dropped_it_never_was() {
    let scratch = Scratch::new();
    let store = scratch.store();
    drop(store.reserve(&id(A), Some(name("web"))).unwrap());
    assert!(scratch.tree().is_empty());
    drop(run(&store, A, Some("web"), Afterwards::Keep));
    assert!(scratch.tree().is_empty());
}

#[test]
fn it_is_found_by_id_by_name_and_by_the_beginning() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let _a = run(&store, A, Some("web"), Afterwards::Remove);
    let _b = run(&store, B, Some("aaaa1"), Afterwards::Remove);
    for (word, whose) in [(A, A), (B, B), ("web", A), ("aaaa2", B), ("aaaa11", A)] {
        assert_eq!(store.find(word).unwrap().id.as_str(), whose, "{word}");
    }
    assert_eq!(store.find("aaaa1").unwrap().id.as_str(), B, "a name before a beginning");
    let told = report(&store.find("aaaa").unwrap_err());
    assert!(told.contains("aaaa is the beginning of 2 ids"), "{told}");
    assert!(told.contains(&format!("{A} (web)")) && told.contains(B), "{told}");
    assert!(report(&store.find("c").unwrap_err()).contains("there is no container c"));
    assert!(store.find("../x").is_err());
    assert!(store.find("").is_err());
}

#[test]
fn others_can_change_the_record() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let reserved = run(&store, A, None, Afterwards::Keep);
    let updated = scratch.store().edit(&id(A), |record| record.asked.root = "changed".into());
    assert_eq!(updated.unwrap().asked.root, "changed");
    reserved.finish(exit(End::Code(3))).unwrap();
    let found = store.find(A).unwrap();
    assert_eq!((found.asked.root.as_str(), end(&found)), ("changed", Some(End::Code(3))));
    assert!(scratch.store().edit(&id(B), |_| ()).is_err());
}

#[test]
fn the_oldest_comes_first() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let _first = run(&store, "zz", None, Afterwards::Remove);
    let _second = run(&store, "aa", None, Afterwards::Remove);
    assert_eq!(ids(&store.list().unwrap()), ["zz", "aa"]);
}

#[test]
fn what_a_later_version_has_added_is_kept() {
    let mut known = record(A, None, Afterwards::Keep);
    known.unknown.insert("volumes".to_owned(), serde_json::json!([{"name": "data"}]));
    let read = Record::from_bytes(&known.to_bytes().unwrap(), &id(A)).unwrap();
    assert_eq!(read, known);
}
