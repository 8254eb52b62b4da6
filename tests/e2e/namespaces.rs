//! What the payload sees of the machine, and what it does not.

use serde_json::Value;

use crate::common::*;

const NAMES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

fn run(scratch: &Scratch, root: &Root, options: &[&str]) -> Program {
    Program::run_in(scratch).args(options).arg(root.path())
}

fn links(scratch: &Scratch, root: &Root, options: &[&str]) -> Value {
    run(scratch, root, options).args(["/probe", "ns"]).json()
}

fn own_link(name: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string()
}

#[test]
fn all_seven_are_its_own() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let links = links(&scratch, &root, &[]);
    for name in NAMES {
        assert_ne!(links[name], own_link(name), "the {name} namespace is the host's");
    }
}

#[test]
fn two_containers_share_none() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    // The number of a namespace that has ended is given out again, so the
    // first container lives until both have answered.
    let words = ["sh", "-c", "/probe ns; exec sleep 100"];
    let mut first = run(&scratch, &root, &[]).args(words).spawn();
    let first_links: Value = serde_json::from_str(&first.line()).unwrap();
    let second_links = links(&scratch, &root, &[]);
    for name in NAMES {
        assert_ne!(first_links[name], second_links[name], "they share the {name} namespace");
    }
}

#[test]
fn one_at_a_time_can_be_the_hosts() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let shared = [
        ("--pid", "pid"),
        ("--ipc", "ipc"),
        ("--uts", "uts"),
        ("--network", "net"),
        ("--cgroupns", "cgroup"),
    ];
    for (option, host) in shared {
        let links = links(&scratch, &root, &[option, "host"]);
        for name in NAMES {
            let same = links[name] == own_link(name);
            assert_eq!(same, name == host, "{name} under {option} host");
        }
    }
}

/// They are given to the root that the user namespace has when its network is
/// made, which is done beside all else: often enough to see who is first.
#[test]
fn what_the_kernel_shows_of_the_network_is_roots() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let files = ["/proc/self/net/dev", "/sys/class/net/lo/mtu"];
    for ids in [&["--userns", "single"][..], &[]] {
        for _ in 0..20 {
            let owners = run(&scratch, &root, ids).args(["/bin/busybox", "stat", "-c", "%u"]);
            assert_eq!(owners.args(files).ok(), "0\n0", "{ids:?}");
        }
    }
}

#[test]
fn the_payload_is_pid_1() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let script = "echo $$; cat /proc/1/cmdline; exit";
    let done = run(&scratch, &root, &[]).args(["sh", "-c", script]).ok();
    let (pid, line) = done.split_once('\n').unwrap();
    assert_eq!(pid, "1");
    assert!(line.starts_with("sh\0-c\0"), "{line:?}");
}

#[test]
fn ps_shows_its_own_processes_only() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let done = run(&scratch, &root, &[]).args(["sh", "-c", "ps -o pid,args; exit"]).ok();
    let lines: Vec<&str> = done.lines().skip(1).collect();
    assert_eq!(lines.len(), 2, "{done}");
    assert!(lines[0].contains("sh -c") && lines[1].contains("ps -o"), "{done}");
}

#[test]
fn with_the_hosts_pid_namespace_it_is_not_pid_1() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let done = run(&scratch, &root, &["--pid", "host"]).args(["sh", "-c", "echo $$"]).ok();
    assert_ne!(done, "1");
}

#[test]
fn the_cgroup_is_the_root_of_what_it_sees() {
    requires!(cgroup2);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    assert_eq!(run(&scratch, &root, &[]).args(["cat", "/proc/self/cgroup"]).ok(), "0::/");
}

#[test]
fn on_an_older_host_every_hierarchy_starts_at_its_root() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let done = run(&scratch, &root, &[]).args(["cat", "/proc/self/cgroup"]).ok();
    for line in done.lines() {
        assert!(line.ends_with(":/"), "{line}");
    }
}

#[test]
fn the_hostname_is_its_own() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let before = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let inside = run(&scratch, &root, &["-h", "inside"]).arg("hostname").ok();
    let host = run(&scratch, &root, &["--uts", "host"]).arg("hostname").ok();
    assert_eq!((inside.as_str(), host.as_str()), ("inside", before.trim()));
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
}

#[test]
fn no_mount_of_the_hosts_is_left() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let mounts = run(&scratch, &root, &[]).args(["/probe", "mounts"]).json();
    let points: Vec<&str> =
        mounts.as_array().unwrap().iter().filter_map(|mount| mount["point"].as_str()).collect();
    for point in &points {
        let top = point.split('/').nth(1).unwrap_or_default();
        assert!(["", "dev", "etc", "proc", "sys"].contains(&top), "{point} of {points:?}");
    }
    for own in ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys"] {
        assert!(points.contains(&own), "no {own} in {points:?}");
    }
    // The root is there once: nothing of the tree that it was pivoted from.
    assert_eq!(points.iter().filter(|point| **point == "/").count(), 1, "{points:?}");
}

#[test]
fn without_a_network_there_is_loopback_only() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    for options in [&[][..], &["--network", "none"]] {
        let devices = run(&scratch, &root, options).args(["cat", "/proc/net/dev"]).ok();
        let names: Vec<&str> = devices
            .lines()
            .skip(2)
            .filter_map(|line| line.split(':').next())
            .map(str::trim)
            .collect();
        assert_eq!(names.first(), Some(&"lo"), "{devices}");
        // Fallback tunnel devices exist in every new namespace where their
        // modules are loaded; none of them leads anywhere.
        let physical = names.iter().filter(|name| name.starts_with('e') || name.starts_with('w'));
        assert_eq!(physical.count(), 0, "{devices}");
    }
}

#[test]
fn loopback_is_up() {
    requires!(python3);
    let scratch = Scratch::new();
    let script = "import socket; s = socket.create_server(('127.0.0.1', 0)); \
                  socket.create_connection(s.getsockname()); print('connected')";
    let words = ["host", "/usr/bin/python3", "-c", script];
    assert_eq!(Program::run_in(&scratch).args(words).ok(), "connected");
}

/// Another process makes the network namespace. Where it may not join the
/// child's user namespace, the child makes one itself.
#[test]
fn the_network_is_its_own_where_none_can_be_handed_over() {
    requires!();
    let scratch = Scratch::new();
    let profile = scratch.path().join("profile.json");
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["setns"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}"#;
    std::fs::write(&profile, text).unwrap();
    let inner = launcher();
    let outer = [
        format!("--security-opt=seccomp={}", profile.display()),
        format!("--volume={0}:{0}:ro", inner.display()),
    ];
    let words = [&["host", "--", inner.to_str().unwrap()][..], &RUN, &["host", "--"]].concat();
    let script =
        "cat /sys/class/net/lo/operstate; readlink /proc/self/ns/net; ls -d /sys/class/net/lo";
    let container = Program::run_in(&scratch).arg("--nested").args(outer).args(words);
    let seen = container.args(["sh", "-c", script]).ok();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!((lines[0], lines[2]), ("unknown", "/sys/class/net/lo"), "{seen}");
    assert_ne!(lines[1], own_link("net"));
}

#[test]
fn queues_and_shared_memory_are_its_own() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let words = ["sh", "-c", "cat /proc/sysvipc/shm /proc/sysvipc/msg | wc -l; ls /dev/mqueue"];
    assert_eq!(run(&scratch, &root, &[]).args(words).ok(), "2");
}
