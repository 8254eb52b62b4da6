//! Names that change while the launcher looks (C05, C06, C08): a partner who
//! shares a volume exchanges a directory and a link to the outside without a
//! pause.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::common::*;

/// Exchanges two names until it is dropped.
struct Flipper {
    over: Arc<AtomicBool>,
    turns: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flipper {
    fn new(one: PathBuf, other: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let turns = Arc::new(AtomicU64::new(0));
        let (seen, counted) = (Arc::clone(&over), Arc::clone(&turns));
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                let flags = RenameFlags::RENAME_EXCHANGE;
                // A name may be in use for a moment; the next turn succeeds.
                if renameat2(AT_FDCWD, &one, AT_FDCWD, &other, flags).is_ok() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { over, turns, thread: Some(thread) }
    }
}

impl Drop for Flipper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("dropped once");
        let ended = thread.join();
        if !std::thread::panicking() {
            ended.expect("the flipper");
            assert!(self.turns.load(Ordering::Relaxed) > 0, "nothing was ever exchanged");
        }
    }
}

/// Starts containers while `good` and `bad` are exchanged; every one works or
/// says why not, and the canary stays what it is.
fn race(scratch: &Scratch, root: &Root, good: &str, bad: &str, options: &[&str]) {
    let canary = Canary::of(scratch.join("canary"));
    let outer = Canary::of(scratch.join("around"));
    let flipper = Flipper::new(scratch.join(good), scratch.join(bad));
    let mut worked = 0;
    for attempt in 0..races() {
        let program = Program::run_in(scratch).args(options).arg(root.path());
        let done = program.args(["echo", "works"]).within(5.0).run();
        match done.code() {
            0 => worked += 1,
            _ => drop(done.refused(&[])),
        }
        if let Err(change) = canary.check().and_then(|()| outer.check()) {
            panic!("attempt {attempt}: {change}");
        }
    }
    drop(flipper);
    println!("{worked} of {} worked", races());
    Leaks::of(scratch).none();
}

/// A canary, and a directory `around` to see files beside it.
fn outside(scratch: &Scratch) -> PathBuf {
    scratch.dir("around");
    Canary::new(scratch).path().join("directory")
}

/// C05, CVE-2021-30465: the target of a mount leads through the volume.
#[test]
fn a_target_below_a_shared_volume() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let canary = outside(&scratch);
    let (volume, source) = (scratch.dir("volume"), scratch.dir("source"));
    scratch.dir("volume/x");
    symlink(canary, scratch.join("volume/y")).unwrap();
    symlink("/V/x", root.join("m")).unwrap();
    let volumes = [format!("{volume}:/V"), format!("{source}:/m/sub")];
    let options = ["-v", &volumes[0], "-v", &volumes[1], "--tmpfs", "/m/t"];
    race(&scratch, &root, "volume/x", "volume/y", &options);
}

/// The same where the link leads up instead of being absolute.
#[test]
fn a_target_that_leads_up() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let canary = outside(&scratch);
    let (volume, source) = (scratch.dir("volume"), scratch.dir("source"));
    scratch.dir("volume/x");
    let up = PathBuf::from("../".repeat(12)).join(canary.strip_prefix("/").unwrap());
    symlink(up, scratch.join("volume/y")).unwrap();
    let volumes = [format!("{volume}:/V"), format!("{source}:/V/x/deep/target")];
    race(&scratch, &root, "volume/x", "volume/y", &["-v", &volumes[0], "-v", &volumes[1]]);
}

/// C08, CVE-2025-31133: the root's own /dev, which masks must not come from,
/// while it becomes a link.
#[test]
fn the_roots_dev() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let canary = outside(&scratch);
    fs::create_dir(root.join("dev-dir")).unwrap();
    fs::remove_dir(root.join("dev")).unwrap();
    symlink(canary, root.join("dev")).unwrap();
    race(&scratch, &root, "root/dev", "root/dev-dir", &["--tmpfs", "/dev/new"]);
}

/// C09: the root's own /proc and the files of /etc.
#[test]
fn the_roots_proc_and_etc() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let canary = outside(&scratch);
    symlink(&canary, root.join("other")).unwrap();
    race(&scratch, &root, "root/proc", "root/other", &[]);
    race(&scratch, &root, "root/etc", "root/other", &[]);
}

/// C06: a volume's source turns into a link; what is mounted is one of both,
/// and nothing is made there.
#[test]
fn a_source_that_changes() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let canary = outside(&scratch);
    scratch.dir("shared/x");
    symlink(canary, scratch.join("shared/y")).unwrap();
    let volume = format!("{}:/v:ro", scratch.text("shared/x"));
    race(&scratch, &root, "shared/x", "shared/y", &["-v", &volume]);
}

/// The working directory and the command, on their way to exec.
#[test]
fn the_working_directory() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let canary = outside(&scratch);
    fs::create_dir(root.join("work")).unwrap();
    symlink(canary, root.join("other")).unwrap();
    race(&scratch, &root, "root/work", "root/other", &["-w", "/work"]);
}
