//! Limits: that they hold, who enforces them, and what is said where they
//! can't be had.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::*;

/// A root, and where the launcher keeps its state.
struct At {
    scratch: Scratch,
    root: Root,
}

impl At {
    fn new() -> Self {
        let scratch = Scratch::new();
        let root = Root::busybox(&scratch);
        Self { scratch, root }
    }

    fn run(&self, options: &[&str]) -> Program {
        Program::run_in(&self.scratch).args(options).arg(self.root.path())
    }

    /// The scope of a container that runs.
    fn unit(&self, name: &str) -> String {
        format!("sublet-{}.scope", self.scratch.container(name))
    }
}

/// A name for a container that no other test has.
fn name(test: &str) -> String {
    format!("e2e-{test}-{}", std::process::id())
}

/// What the user's systemd says.
fn systemctl(words: &[&str]) -> String {
    let said = Command::new("systemctl").arg("--user").args(words).output().expect("run systemctl");
    String::from_utf8(said.stdout).expect("text")
}

/// The directory of a scope.
fn scope(unit: &str) -> PathBuf {
    let found = eventually(20.0, || {
        let path = systemctl(&["show", "--value", "-p", "ControlGroup", unit]);
        Some(path.trim().to_owned()).filter(|path| !path.is_empty())
    });
    PathBuf::from(format!("/sys/fs/cgroup{}", found.expect("a scope")))
}

/// Waits until systemd knows none of these any more.
fn forgotten(units: &[&str]) {
    let known = || {
        let list = ["list-units", "--all", "--plain", "--no-legend"];
        systemctl(&[&list, units].concat())
    };
    let gone = eventually(20.0, || known().is_empty().then_some(()));
    assert!(gone.is_some(), "{}", known());
}

/// Takes 200 MiB, and touches all of them.
const GREEDY: [&str; 5] = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];

#[test]
fn whoever_takes_more_memory_is_killed_and_told() {
    requires!(user_manager);
    let at = At::new();
    let name = name("memory");
    for _ in 0..20 {
        let options = ["-m", "64m", "--name", &name, "--rm"];
        let done = at.run(&options).args(GREEDY).within(60.0).run();
        done.exits(137);
        let told = "sublet: the container ran out of memory: limit 64 MiB, peak 6";
        assert!(done.stderr.contains(told), "{}", done.stderr);
        assert!(done.stderr.ends_with("1 process killed (dd)\n"), "{}", done.stderr);
    }
    forgotten(&["sublet-*", "--state=failed"]);
}

/// Half of a container is no container: all of it goes.
#[test]
fn all_of_a_container_is_killed_together() {
    requires!(user_manager);
    let at = At::new();
    let script = "sleep 600 & dd if=/dev/zero of=/dev/null bs=200M count=1; echo alive";
    for options in [&["-m", "64m"][..], &["-m", "64m", "--init"], &["-m", "64m", "--pid", "host"]] {
        let done = at.run(options).args(["sh", "-c", script]).within(60.0).run();
        done.exits(137);
        assert_eq!(done.stdout(), "", "{options:?}");
        assert!(done.stderr.contains("ran out of memory"), "{options:?}: {}", done.stderr);
    }
}

#[test]
fn a_fifth_of_a_processor_is_a_fifth() {
    requires!(user_manager);
    let at = At::new();
    let name = name("cpus");
    let script = "echo ready; while :; do :; done";
    let running =
        at.run(&["--cpus", "0.2", "--name", &name]).args(["sh", "-c", script]).within(60.0);
    let mut running = running.spawn();
    assert_eq!(running.line(), "ready");
    let unit = at.unit(&name);
    let scope = scope(&unit);
    let maximum = fs::read_to_string(scope.join("cpu.max")).expect("cpu.max");
    assert_eq!(maximum, "20000 100000\n");
    let used = || {
        let text = fs::read_to_string(scope.join("cpu.stat")).expect("cpu.stat");
        let line = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).expect("usage");
        Duration::from_micros(line.parse().expect("a number"))
    };
    let (start, before) = (Instant::now(), used());
    std::thread::sleep(Duration::from_secs(4));
    let share = (used() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    assert!((0.1..=0.25).contains(&share), "{share} of a processor");
    running.signal(libc::SIGTERM);
    running.wait().exits(143);
    forgotten(&[&unit]);
}

#[test]
fn a_fork_bomb_ends_at_its_limit() {
    requires!(user_manager);
    let at = At::new();
    let script = "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 3; \
                  cd /sys/fs/cgroup; read max <pids.max; read peak <pids.peak; echo $max $peak";
    let script = format!("({script}) 2>/dev/null; exit 0");
    let done = at.run(&["--pids-limit", "64"]).args(["sh", "-c", &script]).within(60.0).run();
    let said = done.stdout();
    // Its shell may be the one that can't fork for `sleep`; that is as well.
    if let Some((max, peak)) = said.trim().split_once(' ') {
        assert_eq!(max, "64");
        assert!((32..=64).contains(&peak.parse::<u32>().expect("a number")), "{said}");
    }
    done.exits(0);
}

#[test]
fn a_container_sees_its_own_part_of_the_tree_and_no_limits() {
    requires!(user_manager);
    let at = At::new();
    let script = "cat /proc/self/cgroup; awk '$5 == \"/sys/fs/cgroup\" { print $4 }' \
                  /proc/self/mountinfo; cat /sys/fs/cgroup/memory.max; \
                  for file in memory.max pids.max cgroup.procs; do \
                  echo 1 >/sys/fs/cgroup/$file && echo written; done; \
                  mkdir /sys/fs/cgroup/mine && echo made; true";
    let said = at.run(&["-m", "64m"]).args(["sh", "-c", script]).within(60.0).run();
    assert_eq!(said.stdout(), "0::/\n/\nmax\n", "{}", said.stderr);
    said.exits(0);
}

#[test]
fn with_groups_of_its_own_it_can_go_no_higher_either() {
    requires!(user_manager);
    let at = At::new();
    let name = name("delegate");
    let script = "cd /sys/fs/cgroup; mkdir mine && echo $$ >mine/cgroup.procs; \
                  cat /proc/self/cgroup; \
                  for file in memory.max pids.max; do echo max >$file && echo written; done; \
                  echo ready; sleep 600";
    let options = ["-m", "64m", "--pids-limit", "40", "--cgroup-delegate", "--name", &name];
    let program = at.run(&options).args(["sh", "-c", script]).within(60.0);
    let mut running = program.spawn();
    assert_eq!(running.line(), "0::/mine");
    assert_eq!(running.line(), "ready");
    let unit = at.unit(&name);
    let scope = scope(&unit);
    let limit = |file: &str| fs::read_to_string(scope.join(file)).expect("read a limit");
    assert_eq!((limit("memory.max"), limit("pids.max")), ("67108864\n".into(), "56\n".into()));
    running.signal(libc::SIGKILL);
    running.wait();
    // The watcher ends the payload, and lets the scope go.
    forgotten(&[&unit]);
}

/// systemd moves only processes of the user who asks, and with such maps the
/// child becomes another one's.
#[test]
fn whoever_one_is_inside_the_limit_is_there() {
    requires!(user_manager, subuid, newuidmap);
    let at = At::new();
    for userns in ["auto", "keep-id", "nomap", "single"] {
        let name = name(userns);
        let options = ["-m", "64m", "--userns", userns, "--name", &name, "--replace"];
        let script = "cat /proc/self/cgroup; sleep 600";
        let program = at.run(&options).args(["sh", "-c", script]).within(60.0);
        let mut running = program.spawn();
        assert_eq!(running.line(), "0::/", "{userns}");
        let unit = at.unit(&name);
        let limit = fs::read_to_string(scope(&unit).join("memory.max")).expect("memory.max");
        assert_eq!(limit, "67108864\n", "{userns}");
        // Of another user's payload it can't be told what SIGTERM would do.
        running.signal(libc::SIGKILL);
        running.wait();
        forgotten(&[&unit]);
    }
}

#[test]
fn a_name_that_is_taken_is_said() {
    requires!(user_manager);
    let at = At::new();
    let name = name("taken");
    let options = ["--cgroups", "systemd", "--rm", "--name", &name];
    let script = "echo ready; sleep 600";
    let mut first = at.run(&options).args(["sh", "-c", script]).within(60.0).spawn();
    assert_eq!(first.line(), "ready");
    at.run(&options).arg("true").within(60.0).run().refused(&[&name]);
    first.signal(libc::SIGTERM);
    first.wait().exits(143);
    // And free again, at once.
    at.run(&options).arg("true").within(60.0).ok();
}

#[test]
fn a_controller_that_is_not_delegated_is_named_with_the_drop_in() {
    requires!(user_manager);
    let at = At::new();
    let options = ["--cpuset-cpus", "0"];
    let done = at.run(&options).arg("true").run();
    done.refused(&["--cpuset-cpus", "cpuset is not delegated", "delegate.conf", "Delegate=cpu"]);
    let best = at
        .run(&["--limits", "best-effort", "--cpuset-cpus", "0"])
        .args(["grep", "Cpus_allowed_list", "/proc/self/status"])
        .run();
    assert_eq!(best.ok().split_whitespace().last(), Some("0"));
    assert!(
        best.stderr.contains("--cpuset-cpus is its processes' own affinity"),
        "{}",
        best.stderr
    );
}

#[test]
fn a_group_of_ours_is_split_without_asking_anybody() {
    requires!(user_manager, delegated);
    let at = At::new();
    let (uid, _) = caller();
    // The group that this shell is in, as a parent of the container's.
    let script = "own=$(cut -d: -f3 /proc/self/cgroup); sublet=$1; shift 2; \
                  \"$sublet\" run --cgroup-parent \"$own\" \"$@\" && code=0 || code=$?; \
                  ls -d /sys/fs/cgroup$own/sublet-* 2>/dev/null && echo left; \
                  cut -d: -f3 /proc/self/cgroup | sed 's|.*/||'; exit $code";
    let scoped =
        ["systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"];
    let ours = |options: &[&str], words: &[&str]| {
        let program = at.run(options).args(words).within(90.0);
        program.inside(script).under(&scoped).env("XDG_RUNTIME_DIR", format!("/run/user/{uid}"))
    };
    let done = ours(&["-m", "64m", "--cgroups", "direct"], &["cat", "/proc/self/cgroup"]).run();
    assert_eq!(done.ok(), "0::/\nsupervisor");
    let done = ours(&["-m", "64m"], &GREEDY).run();
    done.exits(137);
    assert_eq!(done.stdout(), "supervisor\n");
    assert!(done.stderr.contains("ran out of memory: limit 64 MiB"), "{}", done.stderr);
}

#[test]
fn who_makes_the_group_can_be_said() {
    requires!(user_manager);
    let at = At::new();
    let own = fs::read_to_string("/proc/self/cgroup").expect("a cgroup");
    let words = ["cat", "/proc/self/cgroup"];
    let said = |options: &[&str]| at.run(options).args(words).within(60.0).ok();
    let own = own.trim();
    assert_eq!(said(&["--cgroups", "disabled", "--cgroupns", "host"]), own);
    assert_eq!(said(&["--cgroupns", "host"]), own, "nobody is asked for nothing");
    for who in ["require", "systemd"] {
        let inside = said(&["--cgroups", who, "--cgroupns", "host"]);
        assert!(inside.ends_with(".scope/payload"), "{who}: {inside}");
    }
    at.run(&["--cgroups", "disabled", "-m", "64m"]).arg("true").run().refused(&["disabled"]);
    at.run(&["--cgroups", "direct"]).arg("true").run().refused(&["--cgroup-parent"]);
}

#[test]
fn where_only_root_can_limit_it_is_said_why() {
    requires!(legacy_cgroups, ordinary_user);
    let at = At::new();
    at.run(&[]).arg("true").ok();
    at.run(&["--cgroups", "disabled"]).arg("true").ok();
    for options in [&["-m", "64m"][..], &["--cgroups", "require"], &["--cgroups", "systemd"]] {
        at.run(options).arg("true").run().refused(&["cgroup v1", "unified_cgroup_hierarchy"]);
    }
    let best = at
        .run(&["--limits", "best-effort", "-m", "64m", "--cpuset-cpus", "0"])
        .args(["grep", "Cpus_allowed_list", "/proc/self/status"])
        .run();
    assert_eq!(best.ok().split_whitespace().last(), Some("0"));
    assert!(best.stderr.contains("not limited: --memory"), "{}", best.stderr);
}

#[test]
fn a_time_that_is_over_is_told() {
    requires!();
    let at = At::new();
    let done = at.run(&["--timeout", "1"]).args(["sleep", "600"]).within(30.0).run();
    done.exits(255);
    let told = "sublet: the container's time of 1s was over: it was ended by SIGTERM\n";
    assert!(done.stderr.ends_with(told), "{}", done.stderr);
    at.run(&["--timeout", "600"]).args(["sh", "-c", "exit 3"]).run().exits(3);
}
