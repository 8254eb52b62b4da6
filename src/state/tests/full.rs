//! A file system without room.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::error::report;

const BASE: &str = "SUBLET_STATE_FULL";

/// Starts the test once more where a tmpfs of this size is the directory, and
/// does there what it is about.
fn on_tmpfs(size: &str, test: &str, body: fn(&Path)) {
    if let Some(base) = std::env::var_os(BASE) {
        return body(Path::new(&base));
    }
    let scratch = Scratch::new();
    let mut unshare = Command::new("unshare");
    let mount = format!("mount -t tmpfs -o mode=700,{size} none \"${BASE}\" && exec \"$@\"");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount, "sh"]);
    unshare.env(BASE, scratch.path());
    let done = again(&format!("state::tests::full::{test}"), &mut unshare);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    if said.contains("unshare:") || said.contains("mount:") {
        eprintln!("skipped: {said}");
        return;
    }
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

fn fill(path: &Path) {
    while fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &[0; 4096]))
        .is_ok()
    {}
}

#[test]
fn a_full_disk_is_told_and_keeps_nobody_from_ending() {
    on_tmpfs("size=64k", "a_full_disk_is_told_and_keeps_nobody_from_ending", with_no_room);
}

fn with_no_room(base: &Path) {
    let store = store_in(base);
    let kept = run(&store, "kept", Some("web"), Afterwards::Keep);
    let gone = run(&store, "gone", None, Afterwards::Remove);
    let lost = run(&store, "lost", None, Afterwards::Keep);
    fill(&base.join("fill"));

    let mut late = store.reserve(&id("late"), None).expect("a tmpfs counts no directories");
    let told = report(&late.commit(&record("late", None, Afterwards::Keep)).unwrap_err());
    assert!(told.contains("No space left on device"), "{told}");
    assert!(told.contains(&format!("df {}", base.join("sublet/late").display())), "{told}");
    drop(late);

    kept.finish(exit(End::Code(7))).unwrap();
    gone.finish(exit(End::Code(0))).unwrap();
    kill(lost);
    let listing = store.list().unwrap();
    assert_eq!(ids(&listing), ["kept", "lost"]);
    assert_eq!(end(&listing.records[0]), Some(End::Code(7)));
    assert_eq!(end(&listing.records[1]), Some(End::SupervisorLost));
    assert!(listing.problems.is_empty());
}

#[test]
fn no_inodes_are_told() {
    on_tmpfs("nr_inodes=9", "no_inodes_are_told", with_no_inodes);
}

fn with_no_inodes(base: &Path) {
    let store = store_in(base);
    let reserved = run(&store, "a", None, Afterwards::Keep);
    // As many more as go: none of them leaves anything.
    for count in 0.. {
        let mut names = (0..count).map(|at| base.join(format!("fill{at}")));
        if !names.all(|path| fs::write(path, "").is_ok()) {
            break;
        }
    }
    for at in (0..3).rev() {
        let told = store.reserve(&id("b"), Some(name("web"))).and_then(|mut reserved| {
            reserved.commit(&record("b", Some("web"), Afterwards::Remove))
        });
        let told = report(&told.unwrap_err());
        assert!(told.contains("No space left on device") && told.contains("df -i"), "{told}");
        assert_eq!(ids(&store.list().unwrap()), ["a"]);
        fs::remove_file(base.join(format!("fill{at}"))).unwrap();
    }
    reserved.finish(exit(End::Code(7))).unwrap();
    assert_eq!(end(&store.find("a").unwrap()), Some(End::Code(7)));
}

#[test]
fn a_limit_on_the_size_of_files_does_not_kill() {
    if std::env::var_os(BASE).is_some() {
        return with_no_file_size();
    }
    let mut limited = Command::new("sh");
    limited.env(BASE, "");
    limited.args(["-c", "ulimit -f 0 && exec \"$@\"", "sh"]);
    let done =
        again("state::tests::full::a_limit_on_the_size_of_files_does_not_kill", &mut limited);
    assert!(done.status.success(), "{done:?}");
}

fn with_no_file_size() {
    let scratch = Scratch::new();
    let mut reserved = scratch.store().reserve(&id("a"), None).unwrap();
    let told = report(&reserved.commit(&record("a", None, Afterwards::Keep)).unwrap_err());
    assert!(told.contains("ulimit -f"), "{told}");
    drop(reserved);
    assert!(scratch.tree().is_empty());
}
