//! Many at once.

use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;

use nix::fcntl::{Flock, FlockArg};

use super::*;

const RACERS: usize = 64;

/// Starts all at the same moment.
pub(super) fn race(racer: impl Fn(usize) + Sync) {
    let start = Barrier::new(RACERS);
    std::thread::scope(|scope| {
        for number in 0..RACERS {
            let (start, racer) = (&start, &racer);
            scope.spawn(move || {
                start.wait();
                racer(number);
            });
        }
    });
}

/// Counts down by its end, also where that is a failure: who waits for it would
/// wait for good.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All want one name, or one id; nobody lets go before the last has tried.
fn one_wins(scratch: &Scratch, reserve: impl Fn(&Store, usize) -> anyhow::Result<Reserved> + Sync) {
    let (winners, tried) = (AtomicUsize::new(0), Barrier::new(RACERS));
    race(|number| {
        let reserved = reserve(&scratch.store(), number);
        // Who fails before it has waited would be waited for for good.
        tried.wait();
        match &reserved {
            Ok(_) => drop(winners.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                let told = crate::error::report(error);
                assert!(told.contains("in use by") || told.contains("exists already"), "{told}");
            }
        }
    });
    assert_eq!(winners.load(Ordering::Relaxed), 1);
    assert!(scratch.tree().is_empty(), "{:?}", scratch.tree());
}

#[test]
fn one_of_many_gets_a_name() {
    let scratch = Scratch::new();
    for _ in 0..5 {
        one_wins(&scratch, |store, number| {
            store.reserve(&id(&format!("racer{number}")), Some(name("web")))
        });
    }
}

#[test]
fn one_of_many_gets_the_name_of_a_dead_one() {
    let scratch = Scratch::new();
    for _ in 0..5 {
        kill(run(&scratch.store(), "dead", Some("web"), Afterwards::Remove));
        one_wins(&scratch, |store, number| {
            store.reserve(&id(&format!("racer{number}")), Some(name("web")))
        });
    }
}

#[test]
fn one_of_many_gets_an_id() {
    let scratch = Scratch::new();
    one_wins(&scratch, |store, _| store.reserve(&id("chosen"), None));
    kill(run(&scratch.store(), "chosen", None, Afterwards::Remove));
    one_wins(&scratch, |store, _| store.reserve(&id("chosen"), None));
}

/// Whoever has read a leftover does not remove what has taken its place.
#[test]
fn a_name_is_looked_at_again_before_it_is_removed() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let _reserved = run(&store, "winner", Some("web"), Afterwards::Remove);
    let names = files::open_directory(store.fd(), ".names").unwrap();
    let asker = id("late");
    let settle = || names::settle(&store, &names, &name("web"), "dead", Some(&asker));
    assert!(matches!(settle().unwrap(), names::Settled::Free), "to be tried again");
    assert_eq!(fs::read_link(scratch.at(".names/web")).unwrap(), Path::new("winner"));
}

/// Nor does anybody while another one looks.
#[test]
fn a_name_is_removed_by_one_at_a_time() {
    let scratch = Scratch::new();
    let store = scratch.store();
    drop(run(&store, "a", Some("web"), Afterwards::Remove));
    std::os::unix::fs::symlink("dead", scratch.at(".names/web")).unwrap();
    let names = files::open_directory(store.fd(), ".names").unwrap();
    let lock = Flock::lock(names, FlockArg::LockExclusive).unwrap();
    let told = crate::error::report(&store.reserve(&id("b"), Some(name("web"))).unwrap_err());
    assert!(told.contains("another sublet has been holding"), "{told}");
    assert!(scratch.at(".names/web").is_symlink());
    drop(lock);
    store.reserve(&id("b"), Some(name("web"))).unwrap();
}

/// Starts and ends go on while others list: nobody takes what is being made
/// for a leftover, or what ends for lost.
#[test]
fn whoever_lists_disturbs_nobody() {
    let scratch = Scratch::new();
    let (busy, lists) = (AtomicUsize::new(RACERS / 2), AtomicUsize::new(0));
    race(|number| {
        let store = scratch.store();
        if number % 2 == 0 {
            let _done = Done(&busy);
            for turn in 0..20 {
                let text = format!("c{number}.{turn}");
                let afterwards = if turn % 2 == 0 { Afterwards::Keep } else { Afterwards::Remove };
                run(&store, &text, Some(&text), afterwards).finish(exit(End::Code(7))).unwrap();
            }
            return;
        }
        while busy.load(Ordering::Relaxed) > 0 {
            let listing = store.list().unwrap();
            assert!(listing.problems.is_empty(), "{:?}", listing.problems);
            for record in &listing.records {
                assert!(matches!(end(record), None | Some(End::Code(7))), "{record:?}");
            }
            lists.fetch_add(1, Ordering::Relaxed);
            // Whoever wants the lock of the names has two seconds to get it.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(RELEASED.get(), 0, "nobody was killed");
    });
    assert!(lists.load(Ordering::Relaxed) > 0);
    let left = scratch.store().list().unwrap().records;
    assert_eq!(left.len(), RACERS / 2 * 10);
    assert!(left.iter().all(|record| end(record) == Some(End::Code(7))));
}

/// What one changes is not undone by another.
#[test]
fn no_change_of_a_record_is_lost() {
    let scratch = Scratch::new();
    // One that doesn't wait for the disk: there is a limit on waiting for a turn.
    let reserved = run(&scratch.store(), "a", None, Afterwards::Remove);
    let changed = AtomicUsize::new(0);
    race(|number| {
        let store = scratch.store();
        if number == 0 {
            while changed.load(Ordering::Relaxed) < RACERS - 1 {
                store.find("a").expect("it can be read at all times");
            }
        } else {
            let change = |record: &mut Record| {
                record.unknown.insert(format!("by{number}"), number.into());
            };
            let edited = store.edit(&id("a"), change);
            changed.fetch_add(1, Ordering::Relaxed);
            edited.unwrap();
        }
    });
    assert_eq!(scratch.store().find("a").unwrap().unknown.len(), RACERS - 1);
    drop(reserved);
}
