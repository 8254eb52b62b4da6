//! What can be told of ordinary directories; tests/e2e/cgroups.rs has a tree
//! of cgroup v2.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use super::share::share;
use super::*;
use crate::error::report;
use crate::host::cgroup::Controller;

/// A directory with a few files of a cgroup, gone with the value.
struct Fake(PathBuf);

impl Fake {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("sublet-tree-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        for (file, text) in files {
            fs::write(path.join(file), text).unwrap();
        }
        Self(path)
    }

    fn open(&self) -> Directory {
        Directory::open_any(&self.0).unwrap()
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn now() -> Deadline {
    Deadline::after(Duration::ZERO)
}

#[test]
fn names_lead_nowhere_else() {
    let fake = Fake::new("names", &[("memory.max", "max\n")]);
    let directory = fake.open();
    for name in ["", ".", "..", "../x", "a/b", "/etc", "x\0"] {
        assert_eq!(directory.write(name, "1").unwrap_err().errno, Errno::EINVAL, "{name:?}");
        assert_eq!(directory.read(name).unwrap_err().errno, Errno::EINVAL, "{name:?}");
        assert_eq!(directory.child(name).unwrap_err().errno, Errno::EINVAL, "{name:?}");
        assert_eq!(directory.make(name).unwrap_err().errno, Errno::EINVAL, "{name:?}");
        assert_eq!(directory.remove(name, now()).unwrap_err().errno, Errno::EINVAL, "{name:?}");
    }
    std::os::unix::fs::symlink(&fake.0, fake.0.join("link")).unwrap();
    assert!(directory.child("link").is_err());
}

#[test]
fn a_file_is_written_and_never_made() {
    let fake = Fake::new("files", &[("memory.max", "max\n")]);
    let directory = fake.open();
    assert_eq!(directory.read("memory.max").unwrap(), "max\n");
    directory.write("memory.max", "4096").unwrap();
    assert_eq!(fake.text("memory.max"), "4096");
    let refused = directory.write("pids.max", "7").unwrap_err();
    assert_eq!(refused.errno, Errno::ENOENT);
    assert!(refused.to_string().contains("\"7\" to pids.max"), "{refused}");
    assert!(!fake.0.join("pids.max").exists());
}

#[test]
fn another_file_system_is_not_taken_for_it() {
    let fake = Fake::new("other", &[]);
    let refused = Directory::open(&fake.0).unwrap_err();
    assert!(refused.to_string().contains("not a directory of cgroup v2"), "{refused}");
}

/// What a cgroup has in which `processes` are.
fn with_processes(processes: &str) -> [(&str, &str); 4] {
    [
        ("cgroup.type", "domain\n"),
        ("cgroup.controllers", "cpu pids\n"),
        ("cgroup.subtree_control", "\n"),
        ("cgroup.procs", processes),
    ]
}

#[test]
fn where_nothing_is_shared_processes_may_stay() {
    let fake = Fake::new("none", &with_processes("2\n"));
    share(&fake.open(), &[], now()).unwrap();
    assert_eq!(fake.text("cgroup.subtree_control"), "\n");
}

#[test]
fn what_is_on_is_not_switched_on_again() {
    let fake = Fake::new("on", &with_processes(""));
    let control = fake.0.join("cgroup.subtree_control");
    fs::write(&control, "pids cpu\n").unwrap();
    share(&fake.open(), &[Controller::Cpu, Controller::Pids], now()).unwrap();
    assert_eq!(fake.text("cgroup.subtree_control"), "pids cpu\n");
    fs::write(&control, "pids\n").unwrap();
    share(&fake.open(), &[Controller::Pids, Controller::Cpu], now()).unwrap();
    assert!(fake.text("cgroup.subtree_control").starts_with("+cpu"));
    assert!(!fake.0.join("supervisor").exists());
}

#[test]
fn the_root_of_the_machine_keeps_its_processes() {
    let fake = Fake::new("root", &with_processes("2\n")[1..]);
    share(&fake.open(), &[Controller::Pids], now()).unwrap();
    assert!(fake.text("cgroup.subtree_control").starts_with("+pids"));
    assert!(!fake.0.join("supervisor").exists());
}

#[test]
fn what_cannot_be_cleared_is_an_error() {
    let own = std::process::id().to_string();
    for (processes, told) in [("0\n", "pid namespace"), (own.as_str(), "faster")] {
        let fake = Fake::new("busy", &with_processes(processes));
        fs::create_dir(fake.0.join("supervisor")).unwrap();
        fs::write(fake.0.join("supervisor/cgroup.procs"), "").unwrap();
        let error = report(&share(&fake.open(), &[Controller::Pids], now()).unwrap_err());
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn those_that_keep_processes_out_are_switched_on_first() {
    let mut files = with_processes("");
    files[1].1 = "cpu memory\n";
    let fake = Fake::new("order", &files);
    share(&fake.open(), &[Controller::Cpu, Controller::Memory], now()).unwrap();
    // An ordinary file keeps what a shorter text doesn't cover.
    assert_eq!(fake.text("cgroup.subtree_control"), "+cpuory");
}

#[test]
fn a_controller_that_is_not_there_moves_nobody() {
    let fake = Fake::new("missing", &with_processes("0\n"));
    let error = report(&share(&fake.open(), &[Controller::Io], now()).unwrap_err());
    assert!(error.contains("\"+io\" to cgroup.subtree_control"), "{error}");
    assert!(error.ends_with("has: cpu pids"), "{error}");
}

#[test]
fn what_does_not_stand_still_is_told() {
    let files = [("cgroup.freeze", "0"), ("cgroup.events", "populated 1\nfrozen 0\n")];
    let fake = Fake::new("frozen", &files);
    let directory = fake.open();
    let refused = directory.freeze(now()).unwrap_err();
    assert_eq!((refused.errno, fake.text("cgroup.freeze")), (Errno::ETIMEDOUT, "1".to_owned()));
    directory.thaw(now()).unwrap();
    assert_eq!(fake.text("cgroup.freeze"), "0");
    assert!(directory.populated().unwrap());
    assert!(!directory.await_empty(now()).unwrap());
}
