//! Records that are not what was written.

use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

use nix::unistd::mkfifo;

use super::files::{OTHER, RECORD};
use super::*;
use crate::error::report;

/// A kept container that is over, beside one that runs.
fn two(scratch: &Scratch) -> Reserved {
    let store = scratch.store();
    let other = run(&store, "fine", None, Afterwards::Keep);
    run(&store, "hurt", Some("web"), Afterwards::Keep).finish(exit(End::Code(7))).unwrap();
    other
}

/// Neither the record nor the one before can be read.
fn is_put_aside(scratch: &Scratch, what: &str) {
    let store = scratch.store();
    let listing = store.list().unwrap();
    assert_eq!(ids(&listing), ["fine"], "{what}");
    let told: Vec<String> = listing.problems.iter().map(report).collect();
    assert_eq!(told.len(), 1, "{what}: {told:?}");
    assert!(told[0].contains("the record of container hurt can't be read"), "{what}: {told:?}");
    assert!(told[0].contains(".bad-hurt"), "{what}: {told:?}");
    assert!(scratch.at(".bad-hurt").is_dir(), "{what}");

    let again = store.list().unwrap();
    assert!(again.problems.is_empty(), "{what}: told once");
    drop(store.reserve(&id("hurt"), Some(name("web"))).expect("id and name are free"));
}

#[test]
fn no_record_that_is_damaged_is_believed() {
    let texts: [(&str, Vec<u8>); 6] = [
        ("empty", vec![]),
        ("zeroes", vec![0; 4096]),
        ("no JSON", seal::seal(b"hello".to_vec())),
        ("no version", seal::seal(b"{}".to_vec())),
        ("little", seal::seal(br#"{"version":1}"#.to_vec())),
        ("deep", seal::seal([b"[".repeat(100_000), b"]".repeat(100_000)].concat())),
    ];
    for (what, text) in texts {
        let scratch = Scratch::new();
        let _other = two(&scratch);
        for file in [RECORD, OTHER] {
            fs::write(scratch.at("hurt").join(file), &text).unwrap();
        }
        is_put_aside(&scratch, what);
    }
}

#[test]
fn nothing_else_than_a_file_is_read() {
    type Plant = fn(&Path);
    let plant: [(&str, Plant); 5] = [
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a link", |path| symlink("../copy", path).unwrap()),
        ("a FIFO", |path| mkfifo(path, Mode::S_IRWXU).unwrap()),
        ("a terabyte", |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap()),
        ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
    ];
    for (what, plant) in plant {
        let scratch = Scratch::new();
        let _other = two(&scratch);
        fs::copy(scratch.at("hurt/record.json"), scratch.at("copy")).unwrap();
        for file in [RECORD, OTHER] {
            let path = scratch.at("hurt").join(file);
            fs::remove_file(&path).unwrap();
            plant(&path);
        }
        is_put_aside(&scratch, what);
    }
}

#[test]
fn another_containers_record_is_not_taken() {
    let scratch = Scratch::new();
    let _other = two(&scratch);
    for file in [RECORD, OTHER] {
        fs::copy(scratch.at("fine/record.json"), scratch.at("hurt").join(file)).unwrap();
    }
    is_put_aside(&scratch, "of another");
}

#[test]
fn every_byte_changed_or_missing_falls_back_to_the_record_before() {
    let scratch = Scratch::new();
    let _other = two(&scratch);
    let path = scratch.at("hurt/record.json");
    let whole = fs::read(&path).unwrap();
    let store = scratch.store();
    assert_eq!(end(&store.find("hurt").unwrap()), Some(End::Code(7)));
    let before = fs::read(scratch.at("hurt/record.other")).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        for damaged in [&changed[..], &whole[..at]] {
            fs::write(&path, damaged).unwrap();
            fs::write(scratch.at("hurt/record.other"), &before).unwrap();
            let found = store.find("hurt").unwrap();
            assert_eq!(end(&found), Some(End::SupervisorLost), "byte {at}: a wrong code");
        }
    }
}

#[test]
fn a_live_containers_record_stays_where_it_is() {
    let scratch = Scratch::new();
    let store = scratch.store();
    let reserved = run(&store, "hurt", Some("web"), Afterwards::Keep);
    for file in [RECORD, OTHER] {
        fs::write(scratch.at("hurt").join(file), "x").unwrap();
    }
    for _ in 0..2 {
        let listing = store.list().unwrap();
        assert_eq!((listing.records.len(), listing.problems.len()), (0, 1));
    }
    assert!(store.reserve(&id("b"), Some(name("web"))).is_err(), "it has the name still");
    assert!(reserved.finish(exit(End::Code(0))).is_err());
    assert_eq!(store.list().unwrap().problems.len(), 1);
    assert!(scratch.at(".bad-hurt").is_dir());
}

/// Who opens a file and reads it when it has been exchanged for another and is
/// written to once more reads what is half of each.
#[test]
fn a_record_that_is_being_changed_is_looked_at_again() {
    let scratch = Scratch::new();
    let _other = two(&scratch);
    let files = [RECORD, OTHER].map(|file| scratch.at("hurt").join(file));
    let whole = files.clone().map(|file| fs::read(file).unwrap());
    let writer = lock::Lock::open(
        open(&scratch.at("hurt"), OFlag::O_DIRECTORY, Mode::empty()).unwrap().as_fd(),
    )
    .unwrap();
    assert!(writer.take(lock::Byte::Edit).unwrap());
    for (file, whole) in files.iter().zip(&whole) {
        fs::write(file, &whole[..whole.len() / 2]).unwrap();
    }
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| end(&scratch.store().find("hurt").unwrap()));
        std::thread::sleep(std::time::Duration::from_millis(200));
        for (file, whole) in files.iter().zip(&whole) {
            fs::write(file, whole).unwrap();
        }
        writer.release(lock::Byte::Edit).unwrap();
        assert_eq!(reader.join().unwrap(), Some(End::Code(7)));
    });
    assert!(!scratch.at(".bad-hurt").exists());
}

#[test]
fn a_record_of_a_later_version_is_left_alone() {
    let scratch = Scratch::new();
    let _other = two(&scratch);
    let text = seal::seal(br#"{"version":2,"id":["hurt"]}"#.to_vec());
    fs::write(scratch.at("hurt/record.json"), &text).unwrap();
    for _ in 0..2 {
        let listing = scratch.store().list().unwrap();
        assert_eq!(ids(&listing), ["fine"]);
        let told = report(&listing.problems[0]);
        assert!(told.contains("is of version 2: another sublet wrote it"), "{told}");
    }
    assert!(scratch.store().reserve(&id("b"), Some(name("web"))).is_err());
    assert_eq!(fs::read(scratch.at("hurt/record.json")).unwrap(), text);
}

#[test]
fn what_is_not_ours_is_passed_over() {
    let scratch = Scratch::new();
    let store = scratch.store();
    fs::write(scratch.at("file"), "").unwrap();
    fs::create_dir(scratch.at(".hidden")).unwrap();
    fs::create_dir(scratch.at("not an id")).unwrap();
    symlink(".hidden", scratch.at("link")).unwrap();
    let listing = store.list().unwrap();
    assert_eq!((listing.records.len(), listing.problems.len()), (0, 0));
    assert_eq!(scratch.tree(), [".hidden", "file", "link", "not an id"]);
}
