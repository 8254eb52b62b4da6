//! Machines as directories of ordinary files.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A machine that is gone with the value.
struct Machine(PathBuf);

impl Machine {
    fn new(name: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("sublet-cgroup-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        Self(root)
    }

    /// Makes a cgroup with what a delegatee may write.
    fn cgroup(&self, path: &str, controllers: &str) -> PathBuf {
        let directory = self.0.join(path);
        fs::create_dir_all(&directory).unwrap();
        for file in ["cgroup.procs", "cgroup.subtree_control", "cgroup.type"] {
            fs::write(directory.join(file), "").unwrap();
        }
        fs::write(directory.join("cgroup.controllers"), controllers).unwrap();
        directory
    }

    fn systemd(&self) {
        fs::create_dir_all(self.0.join("run/systemd/system")).unwrap();
    }

    fn read(&self, mounts: &str, membership: &str) -> Cgroups {
        Cgroups::read(&self.0, &Mounts::of(mounts), membership, (1000, 1000))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const UNIFIED: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
const SESSION: &str = "sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";

#[test]
fn a_terminal_of_a_desktop_is_systemds() {
    let machine = Machine::new("desktop");
    machine.systemd();
    machine.cgroup("sys/fs/cgroup", "cpu memory");
    let session = machine.cgroup(SESSION, "cpu memory pids\n");
    let own = machine.cgroup(&format!("{SESSION}/app.slice/app-terminal.scope"), "memory pids");
    let path = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-terminal.scope\n";
    let cgroups = machine.read(UNIFIED, path);
    assert_eq!(cgroups.version, Version::V2);
    assert_eq!((cgroups.own, cgroups.ours), (Some(own), None));
    assert_eq!(cgroups.session, Some(session));
    let expected = [Controller::Cpu, Controller::Memory, Controller::Pids];
    assert_eq!(cgroups.session_controllers, expected);
    assert_eq!(cgroups.controllers, []);
}

#[test]
fn the_users_systemd_itself_is_not_ours() {
    let machine = Machine::new("manager");
    machine.cgroup("sys/fs/cgroup", "");
    let session = machine.cgroup(SESSION, "");
    let path = "0::/user.slice/user-1000.slice/user@1000.service\n";
    let cgroups = machine.read(UNIFIED, path);
    assert_eq!((cgroups.own, cgroups.ours), (Some(session), None));
}

#[test]
fn without_systemd_what_we_may_write_is_ours() {
    let machine = Machine::new("plain");
    machine.cgroup("sys/fs/cgroup", "");
    let job = machine.cgroup("sys/fs/cgroup/job", "pids io");
    let cgroups = machine.read(UNIFIED, "0::/job\n");
    assert_eq!(cgroups.ours.as_ref(), Some(&job));
    assert_eq!(cgroups.controllers, [Controller::Pids, Controller::Io]);
    assert_eq!(cgroups.session, None);
    fs::remove_file(job.join("cgroup.subtree_control")).unwrap();
    assert_eq!(machine.read(UNIFIED, "0::/job\n").ours, None);
}

#[test]
fn a_second_start_finds_itself_in_the_supervisors_leaf() {
    let machine = Machine::new("second");
    machine.cgroup("sys/fs/cgroup", "");
    let job = machine.cgroup("sys/fs/cgroup/job", "pids");
    let leaf = machine.cgroup("sys/fs/cgroup/job/supervisor", "pids");
    let cgroups = machine.read(UNIFIED, "0::/job/supervisor\n");
    assert_eq!((cgroups.own.as_ref(), cgroups.ours.as_ref()), (Some(&leaf), Some(&job)));
    // One that was called so by somebody else is taken as any other.
    fs::remove_file(job.join("cgroup.procs")).unwrap();
    assert_eq!(machine.read(UNIFIED, "0::/job/supervisor\n").ours, Some(leaf));
}

#[test]
fn a_container_is_shown_a_part() {
    let machine = Machine::new("part");
    machine.systemd();
    let root = machine.cgroup("sys/fs/cgroup", "pids");
    let below = machine.cgroup("sys/fs/cgroup/x", "");
    let part = |root: &str| format!("9 8 0:26 {root} /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
    let own = |root: &str, path: &str| machine.read(&part(root), &format!("0::{path}\n")).own;
    assert_eq!(own("/", "/"), Some(root.clone()));
    assert_eq!(own("/docker/1", "/docker/1"), Some(root.clone()));
    assert_eq!(own("/docker/1", "/docker/1/x"), Some(below.clone()));
    assert_eq!(own("/..", "/../x"), Some(below));
    assert_eq!(own("/docker/1", "/docker/12"), None);
    assert_eq!(own("/docker/1", "/"), None);
    assert_eq!(own("/..", "/"), None);
    assert_eq!(own("/..", "/../../x"), None);
    assert_eq!(own("/", "/.."), None);
    assert_eq!(own("/", "/x (deleted)"), None);
    // Its root is its own, even with a systemd in it; the machine's is not.
    assert_eq!(machine.read(UNIFIED, "0::/\n").ours.as_ref(), Some(&root));
    fs::remove_file(root.join("cgroup.type")).unwrap();
    assert_eq!(machine.read(UNIFIED, "0::/\n").ours, None);
}

#[test]
fn kinds_of_machines_are_told_apart() {
    let machine = Machine::new("kinds");
    let version = |mounts: &str, membership: &str| machine.read(mounts, membership).version;
    let legacy = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
    let named = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
    let unified = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    assert_eq!(version("", ""), Version::None);
    assert_eq!(version(legacy, "3:cpu,cpuacct:/\n"), Version::V1);
    assert_eq!(version(&format!("{legacy}{unified}"), "0::/\n"), Version::V1, "it is hidden");
    let mount = machine.cgroup("sys/fs/cgroup/unified", "");
    assert_eq!(version(&format!("{legacy}{unified}"), "0::/\n"), Version::Hybrid);
    assert_eq!(version(unified, "4:memory:/x\n0::/\n"), Version::Bare);
    let cgroups = machine.read(&format!("{named}{unified}"), "1:name=systemd:/\n0::/\n");
    assert_eq!((cgroups.version, cgroups.mount), (Version::V2, Some(mount)));
}

#[test]
fn the_mount_that_shows_us_is_taken() {
    let machine = Machine::new("choice");
    machine.cgroup("mnt", "");
    machine.cgroup("sys/fs/cgroup", "");
    let elsewhere = "50 1 0:26 / /mnt rw - cgroup2 none rw\n";
    let mount = |mounts: &str| machine.read(mounts, "0::/\n").mount.unwrap();
    assert!(mount(&format!("{UNIFIED}{elsewhere}")).ends_with("sys/fs/cgroup"));
    let part = UNIFIED.replace("0:26 /", "0:26 /part");
    assert!(mount(&format!("{part}{elsewhere}")).ends_with("mnt"));
    assert!(mount(&part).ends_with("sys/fs/cgroup"));
}

#[test]
fn a_process_is_found_where_it_is() {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let Some(path) = unified(&own) else { return };
    let cgroups = Cgroups { mount: Some("/mnt".into()), root: "/".into(), ..Cgroups::default() };
    let found = cgroups.of_process(std::process::id().cast_signed()).ok();
    assert_eq!(found, cgroups.directory(path));
    let lost = Cgroups { root: "/elsewhere".into(), ..cgroups };
    assert!(lost.of_process(std::process::id().cast_signed()).is_err());
}
