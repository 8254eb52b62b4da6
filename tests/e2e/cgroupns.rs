//! The container's part of the tree of control groups: what of it is seen from
//! which side, and that its root can neither lift the limits nor leave.
//! cgroup_namespaces(7), and the kernel's Documentation/admin-guide/cgroup-v2.

use std::fs;
use std::path::Path;

use crate::common::*;
use crate::limits::{forgotten, name, scope};

/// The steps of a path.
fn steps(path: &str) -> Vec<&str> {
    path.split('/').filter(|step| !step.is_empty()).collect()
}

/// What the kernel calls `path` where `root` is the root: `/..` for each step
/// up, and then down.
fn seen_from(root: &str, path: &str) -> String {
    let (root, path) = (steps(root), steps(path));
    let common = root.iter().zip(&path).take_while(|(one, other)| one == other).count();
    let up = root[common..].iter().map(|_| "..");
    let way: Vec<_> = up.chain(path[common..].iter().copied()).collect();
    format!("/{}", way.join("/"))
}

/// The group of a process.
fn group(process: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).expect("a group");
    text.trim_end().strip_prefix("0::").expect("cgroup v2").to_owned()
}

/// The group that is the root of what a process has mounted as the tree.
fn top(process: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/mountinfo")).expect("mounts");
    let is_tree = |line: &&str| line.split(' ').nth(4) == Some("/sys/fs/cgroup");
    let line = text.lines().rfind(is_tree).expect("a tree");
    line.split(' ').nth(3).expect("a root").to_owned()
}

/// The first process of the container that is in this scope.
fn payload(scope: &Path) -> u32 {
    let all = scope.join("payload/cgroup.procs");
    let text = eventually(20.0, || fs::read_to_string(&all).ok().filter(|text| !text.is_empty()));
    text.expect("a process").lines().next().expect("one").parse().expect("a number")
}

#[test]
fn each_side_sees_the_tree_from_its_own_root() {
    requires!(user_manager, cgroup2);
    let at = At::new();
    let (one, two) = (name("one"), name("two"));
    let options = ["-m", "64m", "--name", &two];
    let mut second =
        at.run(&options).args(["sh", "-c", "echo ready; sleep 600"]).within(60.0).spawn();
    assert_eq!(second.line(), "ready");
    let units = [at.unit(&two)];
    let sibling = payload(&scope(&units[0]));

    // One that sees all processes of the machine.
    let script = "for process in self $$ \"$@\"; do cut -d: -f3 /proc/$process/cgroup; \
                  awk '$5 == \"/sys/fs/cgroup\" { top = $4 } END { print top }' \
                  /proc/$process/mountinfo; done; echo ready; sleep 600";
    let host = std::process::id();
    let program = at.run(&["-m", "64m", "--pid", "host", "--name", &one]).within(60.0);
    let program = program.args(["sh", "-c", script, "sh"]);
    let mut first = program.args([sibling, host].map(|pid| pid.to_string())).spawn();
    let told: Vec<_> = (0..8).map(|_| first.line()).collect();
    assert_eq!(first.line(), "ready");
    let units = [at.unit(&one), units[0].clone()];
    let own = payload(&scope(&units[0]));

    // From the host: the whole path, and so it is of what is mounted inside.
    let path = group(own);
    assert!(path.ends_with(&format!("/{}/payload", units[0])), "{path}");
    assert_eq!((top(own), top(sibling), top(host)), (path.clone(), group(sibling), "/".into()));
    // From inside: the own one is the root, a sibling is up and down again, and
    // what the host has mounted is above.
    let seen = |other: &str| seen_from(&path, other);
    assert_eq!(seen(&group(sibling)), format!("/../../{}/payload", units[1]));
    let expected = [
        ["/".to_owned(), "/".to_owned()],
        ["/".to_owned(), "/".to_owned()],
        [seen(&group(sibling)), seen(&group(sibling))],
        [seen(&group(host)), seen("/")],
    ];
    assert_eq!(told, expected.concat());

    for running in [first, second] {
        running.signal(libc::SIGTERM);
        running.wait().exits(143);
    }
    forgotten(&[&units[0], &units[1]]);
}

/// What root inside might try, one a line: each line that succeeds is told.
/// `$1` is the launcher.
const ATTEMPTS: &str = r#"
    launcher=$1 tree=/sys/fs/cgroup
    try() { "$@" >/dev/null 2>&1 && echo "$*"; }
    put() { echo "$1" >"$2"; }
    limits() {
        try put max $1/memory.max
        try put max $1/memory.swap.max
        try put "max 100000" $1/cpu.max
        try put 10000 $1/cpu.weight
        try put max $1/pids.max
        try put max $1/cgroup.max.descendants
        try put 1 $1/cgroup.freeze
    }
    limits $tree
    try mount -o remount,rw,bind $tree
    limits $tree
    # What is above, in what is mounted, in what others have mounted.
    try put $$ $tree/../cgroup.procs
    try ls $tree/supervisor
    try ls /proc/$launcher/root/sys/fs/cgroup
    try nsenter -t $launcher -C true
    # A tree of its own: there is none but that of the namespace.
    mkdir -p /tmp/tree
    for type in cgroup2 "cgroup -o memory" "cgroup -o none,name=mine" "cgroup -o cpuset"; do
        try mount -t $type none /tmp/tree || continue
        limits /tmp/tree
        try ls /tmp/tree/supervisor
        grep -qx $$ /tmp/tree/cgroup.procs || echo "not the own"
    done
    # A namespace below is no way up.
    try unshare -C sh -c 'grep -q "\.\./[^.]" /proc/self/cgroup'
    echo over; sleep 600"#;

#[test]
fn root_inside_can_neither_lift_its_limits_nor_leave() {
    requires!(user_manager, cgroup2);
    let at = At::new();
    let limits = ["-m", "64m", "--memory-swap", "64m", "--cpus", "0.5", "--pids-limit", "40"];
    // Only with CAP_SYS_ADMIN a tree can be mounted; it is the container's own.
    let mounts = ["mount -o remount,rw,bind /sys/fs/cgroup", "mount -t cgroup2 none /tmp/tree"];
    let all = ["--cap-add", "ALL", "--security-opt", "seccomp=unconfined"];
    for (options, allowed) in [
        (&[][..], &[][..]),
        (&["--cgroup-delegate"], &[]),
        (&all, &mounts),
        (&[&all[..], &["--cgroup-delegate"]].concat(), &mounts),
        (&[&all[..], &["--pid", "host"]].concat(), &mounts),
    ] {
        let name = name("escape");
        let options = [&limits, options, &["--name", &name, "--replace"]].concat();
        let program = Program::run_in(&at.scratch).args(&options).within(60.0);
        let program = program.args(["host", "sh", "-c", ATTEMPTS, "sh"]);
        // Of the pid that it has here, as far as it can be known before.
        let mut running = program.inside("exec \"$@\" $$").spawn();
        let did: Vec<_> =
            std::iter::repeat_with(|| running.line()).take_while(|line| line != "over").collect();
        assert_eq!(did, allowed, "{options:?}");
        let unit = at.unit(&name);
        let scope = scope(&unit);
        let file = |name: &str| fs::read_to_string(scope.join(name)).expect("a file");
        for (name, content) in [
            ("memory.max", "67108864\n"),
            ("memory.swap.max", "0\n"),
            ("cpu.max", "50000 100000\n"),
            ("pids.max", "56\n"),
        ] {
            assert_eq!(file(name), content, "{options:?}");
        }
        assert!(group(payload(&scope)).ends_with(&format!("{unit}/payload")), "{options:?}");
        running.signal(libc::SIGKILL);
        running.wait();
        forgotten(&[&unit]);
    }
}
