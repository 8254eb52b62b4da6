//! Where the store may be.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use nix::fcntl::{Flock, FlockArg};

use super::super::directory::candidates;
use super::*;
use crate::error::report;

fn candidate(scratch: &Scratch, name: &str, sharing: Sharing) -> Candidate {
    Candidate { base: scratch.path().into(), name: name.to_owned(), sharing }
}

fn me() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// What is said of this one candidate.
fn refusal(candidate: Candidate, uid: u32) -> String {
    report(&Directory::first_of(&[candidate], uid).unwrap_err())
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn it_is_made_for_the_owner_alone() {
    let scratch = Scratch::new();
    for sharing in [Sharing::Own, Sharing::Everybody] {
        let made = Directory::first_of(&[candidate(&scratch, "sublet", sharing)], me()).unwrap();
        let facts = fs::metadata(made.path()).unwrap();
        assert_eq!((facts.mode() & 0o7777, facts.uid()), (0o700, me()));
    }
}

#[test]
fn a_link_is_not_followed() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("elsewhere")).unwrap();
    symlink("elsewhere", scratch.path().join("sublet")).unwrap();
    symlink("nowhere", scratch.path().join("dangling")).unwrap();
    fs::write(scratch.path().join("file"), "").unwrap();
    for name in ["sublet", "dangling", "file"] {
        let told = refusal(candidate(&scratch, name, Sharing::Everybody), me());
        assert!(told.contains("is not a directory, or a symbolic link"), "{told}");
        assert!(told.contains("XDG_RUNTIME_DIR"), "{told}");
    }
}

#[test]
fn what_others_can_write_is_not_trusted() {
    let scratch = Scratch::new();
    let path = scratch.path().join("sublet");
    fs::create_dir(&path).unwrap();
    for mode in [0o770, 0o702, 0o1777] {
        set_mode(&path, mode);
        let told = refusal(candidate(&scratch, "sublet", Sharing::Everybody), me());
        assert!(told.contains("can be written by others"), "{told}");
        assert!(told.contains(&format!("chmod 700 {}", path.display())), "{told}");
    }
    set_mode(&path, 0o755);
    Directory::first_of(&[candidate(&scratch, "sublet", Sharing::Own)], me()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700, "reading is taken back");
}

/// It may be the caller's home, or a directory that a group reads.
#[test]
fn what_is_named_keeps_its_mode() {
    let scratch = Scratch::new();
    let path = scratch.path().join("named");
    fs::create_dir(&path).unwrap();
    for mode in [0o755, 0o2750, 0o700] {
        set_mode(&path, mode);
        Directory::at(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
    }
    for mode in [0o775, 0o1777] {
        set_mode(&path, mode);
        let told = report(&Directory::at(&path).unwrap_err());
        assert!(told.contains("can be written by others"), "{told}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
    }
    let made = Directory::at(&scratch.path().join("new/er")).unwrap();
    assert_eq!(fs::metadata(made.path()).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn another_users_is_passed_over() {
    let scratch = Scratch::new();
    fs::DirBuilder::new().mode(0o700).create(scratch.path().join("sublet")).unwrap();
    // As somebody else sees it.
    let told = refusal(candidate(&scratch, "sublet", Sharing::Everybody), me() + 1);
    assert!(told.contains(&format!("belongs to uid {} and not to {}", me(), me() + 1)), "{told}");
    assert!(told.contains("mkdir -m 700"), "{told}");
    // $XDG_RUNTIME_DIR of who was before `su`: nothing is made there.
    let told = refusal(candidate(&scratch, "new", Sharing::Own), me() + 1);
    assert!(told.contains("belongs to uid"), "{told}");
    assert!(!scratch.path().join("new").exists());
}

#[test]
fn a_base_that_others_can_write_is_passed_over() {
    let scratch = Scratch::new();
    let base = scratch.path().join("base");
    fs::create_dir(&base).unwrap();
    set_mode(&base, 0o777);
    let open = Candidate { base, name: "sublet".to_owned(), sharing: Sharing::Own };
    let gone = Candidate {
        base: scratch.path().join("gone"),
        name: "sublet".to_owned(),
        sharing: Sharing::Own,
    };
    let last = candidate(&scratch, "sublet", Sharing::Own);
    let found = Directory::first_of(&[open, gone, last], me()).unwrap();
    assert_eq!(found.path(), scratch.path().join("sublet"));
}

#[test]
fn a_base_that_is_not_writable_is_passed_over() {
    if me() == 0 {
        eprintln!("skipped: root may write everywhere");
        return;
    }
    let scratch = Scratch::new();
    let base = scratch.path().join("base");
    fs::create_dir(&base).unwrap();
    set_mode(&base, 0o500);
    let closed = Candidate { base, name: "sublet".to_owned(), sharing: Sharing::Own };
    let last = candidate(&scratch, "sublet", Sharing::Own);
    let found = Directory::first_of(&[closed, last], me()).unwrap();
    assert_eq!(found.path(), scratch.path().join("sublet"));
}

#[test]
fn the_users_own_comes_before_what_is_everybodys() {
    let places = |runtime: Option<&str>| {
        let candidates = candidates("sublet", runtime.map(PathBuf::from), 1000);
        let path = |candidate: &Candidate| candidate.base.join(&candidate.name);
        candidates.iter().map(|each| path(each).display().to_string()).collect::<Vec<_>>()
    };
    let fixed = ["/run/user/1000/sublet", "/tmp/sublet-1000"];
    assert_eq!(places(None), fixed);
    assert_eq!(places(Some("relative")), fixed);
    assert_eq!(places(Some("")), fixed);
    assert_eq!(places(Some("/own")), ["/own/sublet", fixed[0], fixed[1]]);
}

#[test]
fn nobody_sweeps_it_for_being_old() {
    let scratch = Scratch::new();
    // As systemd-tmpfiles goes about it.
    let sweeps = |name: &str| {
        let path = scratch.path().join(name);
        let fd = open(&path, OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        Flock::lock(fd, FlockArg::LockExclusiveNonblock).is_ok()
    };
    let places = [candidate(&scratch, "sublet", Sharing::Everybody)];
    let one = Directory::first_of(&places, me()).unwrap();
    let two = Directory::first_of(&places, me()).unwrap();
    drop(one);
    assert!(!sweeps("sublet"));
    drop(two);
    assert!(sweeps("sublet"));
}
