//! Containers that are removed by others.

use std::time::Duration;

use super::*;
use crate::error::report;

#[test]
fn one_that_has_ended_goes_with_its_name() {
    let scratch = Scratch::new();
    let store = scratch.store();
    run(&store, "a", Some("web"), Afterwards::Keep).finish(exit(End::Code(7))).unwrap();
    kill(run(&store, "b", Some("db"), Afterwards::Keep));
    for gone in ["a", "b"] {
        assert_eq!(store.remove(&id(gone)).unwrap(), Removal::Removed);
        assert_eq!(store.remove(&id(gone)).unwrap(), Removal::Gone);
    }
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
    assert_eq!(RELEASED.get(), 1, "the killed one was taken down first");
}

#[test]
fn one_that_runs_stays() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let reserved = run(&store, "a", Some("web"), Afterwards::Keep);
    let Removal::Alive(record) = store.remove(&id("a")).unwrap() else { panic!("it was removed") };
    assert_eq!((record.label(), record.life.status()), ("web", "running"));
    assert!(!store.await_end(&id("a"), Duration::from_millis(20)).unwrap());
    reserved.finish(exit(End::Signal(9))).unwrap();
    assert!(store.await_end(&id("a"), Duration::ZERO).unwrap());
    assert!(store.await_end(&id("none"), Duration::ZERO).unwrap());
    assert_eq!(store.named(&name("web")).unwrap().unwrap().id, id("a"));
    assert_eq!(store.remove(&id("a")).unwrap(), Removal::Removed);
    assert_eq!(store.named(&name("web")).unwrap(), None);
}

/// Who waits for the end of one is told that it has another launcher, or another
/// payload; and that it goes on, where it is the same.
#[test]
fn one_that_runs_again_is_another() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let reserved = run(&store, "a", None, Afterwards::Keep);
    let before = store.find("a").unwrap();
    let over = || store.await_over(&before, Duration::from_millis(40)).unwrap();
    assert_eq!(over(), Over::Not);
    for payloads in [true, false] {
        reserved
            .edit(|record| {
                let other = Identity { pid: 1, ..me() };
                let (launcher, payload) = if payloads { (me(), other) } else { (other, me()) };
                record.life = Life::Running { launcher, payload, started: Moment(1) };
            })
            .unwrap();
        let Over::Again(now) = over() else { panic!("it is not seen: {payloads}") };
        assert_eq!(now.life.launcher() == before.life.launcher(), payloads);
    }
    reserved.finish(exit(End::Code(0))).unwrap();
    assert_eq!(over(), Over::Ended);
}

/// It has said how it ended, and is about to let go.
#[test]
fn one_that_is_ending_is_waited_for() {
    let scratch = Scratch::new();
    let reserved = run(&scratch.store(), "a", None, Afterwards::Keep);
    reserved.edit(|record| record.life = Life::Exited(exit(End::Code(0)))).unwrap();
    let lock = std::os::fd::AsFd::as_fd(&reserved).try_clone_to_owned().unwrap();
    reserved.finish(exit(End::Code(0))).unwrap();
    let ending = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(lock);
    });
    assert_eq!(scratch.store().remove(&id("a")).unwrap(), Removal::Removed);
    ending.join().unwrap();
}

/// A name that is taken comes with the words that free it.
#[test]
fn a_conflict_says_what_to_type() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let reserved = run(&store, "a", Some("web"), Afterwards::Keep);
    let taken = || report(&store.reserve(&id("b"), Some(name("web"))).unwrap_err());
    assert!(taken().contains("that is running") && taken().contains("sublet rm -f web"));
    reserved.edit(|record| record.life = Life::Created { launcher: None }).unwrap();
    assert!(taken().contains("that has not run yet: sublet start web"));
    reserved.finish(exit(End::Code(0))).unwrap();
    let told = taken();
    assert!(told.contains("that has ended: sublet rm web removes"), "{told}");
    assert!(told.contains("--replace"), "{told}");
    store.remove(&id("a")).unwrap();
    store.reserve(&id("b"), Some(name("web"))).unwrap();
}

#[test]
fn a_status_is_a_word_and_a_code_is_known_or_not() {
    for (ended, status, code) in [
        (End::Code(3), "exited", Some(3)),
        (End::Signal(9), "exited", Some(137)),
        (End::SupervisorLost, "supervisor-lost", None),
        (End::Reboot, "reboot", None),
    ] {
        assert_eq!((Life::Exited(exit(ended)).status(), ended.code()), (status, code));
    }
}
