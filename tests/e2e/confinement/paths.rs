//! Masks, mount flags, propagation, targets of mounts, devices (C05, C08,
//! C09, C17, C18, C40, C41).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Fired, Launcher, Subject, class, other_than};
use crate::common::*;

class! {
    /// C08: what tells about the machine is empty.
    c08_masked_paths(super::masked_paths) needs []
    weak "masks" []
    bubblewrap [] []
}

class! {
    /// C08: what governs the machine cannot be written.
    c08_read_only_paths(super::read_only_paths) needs []
    weak "masks" []
}

class! {
    /// C40: no more of /proc can be read than is known.
    c40_readable(super::readable) needs [ordinary_user]
    weak "masks" []
    bubblewrap [] []
}

class! {
    /// C41, C17: no device node counts but those that were put there.
    c41_device_flags(super::device_flags) needs []
    weak "nodev" []
}

class! {
    /// C18: mounts are handed on in neither direction.
    c18_propagation(super::propagation) needs [unshare]
    weak "propagation" []
}

class! {
    /// C05: a link in a target's path leads to a place inside.
    c05_targets(super::targets) needs []
    weak "resolve" []
}

/// Union of what docker and podman hide, and two more.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

const READ_ONLY: &[&str] =
    &["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn masked_paths(subject: &Subject) -> Fired {
    let mut paths: Vec<String> = MASKED.iter().map(|path| (*path).to_owned()).collect();
    let throttles = (0..4).map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
    paths.extend(throttles);
    let words: Vec<&str> = ["masks"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let seen = subject.probe(&[], &words);
    let seen = seen.as_object().expect("an object").iter();
    seen.filter(|(_, facts)| {
        let empty = facts["null"] == true
            || (facts["kind"] == "directory"
                && facts["entries"] == 0
                && facts["read_only"] == true);
        !empty
    })
    .map(|(path, facts)| format!("{path}: {facts}"))
    .collect()
}

fn read_only_paths(subject: &Subject) -> Fired {
    let words: Vec<&str> = ["masks"].iter().chain(READ_ONLY).copied().collect();
    let seen = subject.probe(&[], &words);
    let mut fired: Fired = seen
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(_, facts)| facts["read_only"] != true && facts["null"] != true)
        .map(|(path, facts)| format!("{path}: {facts}"))
        .collect();
    // The first belongs to the container's own namespace: without the mount
    // being read-only its root could write there.
    let files = [
        "open",
        "write",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/sys/vm/drop_caches",
        "/sys/power/state",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/cgroup.procs",
    ];
    let refused = ["EROFS", "EACCES", "EPERM", "ENOENT"];
    fired.extend(other_than(&refused, &subject.probe(&[], &files)));
    fired
}

/// Files directly in /proc that tell nothing but the kernel's version, the
/// amount of work, and what the machine is made of.
const KNOWN: &[&str] = &[
    "bootconfig",
    "buddyinfo",
    "cgroups",
    "cmdline",
    "config.gz",
    "consoles",
    "cpuinfo",
    "crypto",
    "devices",
    "diskstats",
    "dma",
    "execdomains",
    "fb",
    "filesystems",
    "iomem",
    "ioports",
    "loadavg",
    "locks",
    "mdstat",
    "meminfo",
    "misc",
    "modules",
    "mtrr",
    "partitions",
    "schedstat",
    "slabinfo",
    "softirqs",
    "stat",
    "swaps",
    "uptime",
    "version",
    "vmallocinfo",
    "vmstat",
    "zoneinfo",
];

fn readable(subject: &Subject) -> Fired {
    let seen = subject.probe(&[], &["readable", "/proc"]);
    let top: BTreeSet<&str> = seen
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|path| path.as_str()?.strip_prefix("/proc/"))
        .filter(|path| !path.contains('/'))
        .collect();
    top.into_iter().filter(|name| !KNOWN.contains(name)).map(str::to_owned).collect()
}

fn mounts(program: Program) -> Vec<Value> {
    program.json().as_array().expect("a list").clone()
}

/// The mount at a point has all of these flags.
fn lacking(mounts: &[Value], point: &str, flags: &[&str]) -> Fired {
    let mount = mounts.iter().rev().find(|mount| mount["point"] == point);
    let mount = mount.unwrap_or_else(|| panic!("nothing at {point}"));
    let options = mount["options"].as_array().expect("a list");
    let missing = flags.iter().filter(|flag| !options.iter().any(|option| option == **flag));
    missing.map(|flag| format!("{point} is not {flag}")).collect()
}

fn device_flags(subject: &Subject) -> Fired {
    let volume = format!("{}:/v", subject.scratch.dir("source"));
    let mounts = mounts(subject.program(&["-v", &volume, "--tmpfs", "/t"], &["/probe", "mounts"]));
    let expected = [
        ("/", &["nodev"][..]),
        ("/v", &["nodev", "nosuid"]),
        ("/t", &["nodev", "nosuid"]),
        ("/proc", &["nodev", "nosuid", "noexec"]),
    ];
    expected.iter().flat_map(|(point, flags)| lacking(&mounts, point, flags)).collect()
}

fn propagation(subject: &Subject) -> Fired {
    let volume = format!("{}:/v", subject.scratch.dir("source"));
    let program = subject.program(&["-v", &volume], &["/probe", "mounts"]);
    // A host that is booted by systemd shares its mounts; so that the test
    // says something on any host, it makes such a one of its own.
    let mounts = mounts(program.inside_namespaces(r#"mount --make-rshared /; exec "$@""#));
    let tied = mounts.iter().filter(|mount| mount["propagation"] != serde_json::json!([]));
    tied.map(|mount| format!("{} is {}", mount["point"], mount["propagation"])).collect()
}

fn targets(subject: &Subject) -> Fired {
    let canary = Canary::new(&subject.scratch);
    let source = subject.scratch.dir("source");
    let target = canary.path().join("directory");
    std::os::unix::fs::symlink(&target, subject.root.join("out")).expect("make a link");
    let volume = format!("{source}:/out/made");
    let options = ["-v", &volume, "--tmpfs", "/out/memory"];
    subject.program(&options, &["touch", "/out/made/x", "/out/memory/x"]).run();
    canary.check().err().into_iter().collect()
}

/// There is nothing above the root: neither the host's root nor anything else
/// is left stacked on it, where `..` would find it.
#[test]
fn nothing_is_above_the_root() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    let canary = Canary::new(&subject.scratch);
    let file = canary.path().join("file").display().to_string();
    let ways = [format!("/..{file}"), format!("/../..{file}"), format!("/tmp/../..{file}")];
    let words: Vec<&str> =
        ["open", "read"].into_iter().chain(ways.iter().map(String::as_str)).collect();
    assert_eq!(other_than(&["ENOENT"], &subject.probe(&[], &words)), [""; 0]);
    // From a directory that is entered, too, and with the host's own system.
    let script = "cd /tmp && cd ../../.. && ls -d bin/busybox && pwd";
    let told = subject.program(&[], &["sh", "-ec", script]).ok();
    assert_eq!(told, "bin/busybox\n/");
    let mounts = mounts(subject.program(&[], &["/probe", "mounts"]));
    assert_eq!(mounts.iter().filter(|mount| mount["point"] == "/").count(), 1, "{mounts:?}");
}

/// C41: device nodes cannot be made, in the root or in memory.
#[test]
fn c41_no_device_can_be_made() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    for directory in ["/tmp", "/dev", "/dev/shm", "/t"] {
        let seen = subject.probe(&["--tmpfs", "/t", "--cap-add", "MKNOD"], &["mknod", directory]);
        assert_eq!(
            (&seen["character"], &seen["block"]),
            (&"EPERM".into(), &"EPERM".into()),
            "{seen}"
        );
    }
}

/// C41: devices that are a way out or in are there only when asked for.
#[test]
fn c41_no_device_of_the_hosts_is_there() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    let devices = ["/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/mem", "/dev/kmsg", "/dev/vda"];
    let words: Vec<&str> = ["open", "read"].iter().chain(&devices).copied().collect();
    let seen = subject.probe(&[], &words);
    assert_eq!(other_than(&["ENOENT"], &seen), [""; 0]);
}

/// C17: a read-only volume is read-only all the way down.
#[test]
fn c17_read_only_reaches_submounts() {
    requires!(unshare);
    let subject = Subject::new(Launcher::Sublet);
    let source = subject.scratch.dir("source/below");
    let source = source.trim_end_matches("/below");
    let script = r#"mount -t tmpfs none "$SOURCE/below"; exec "$@""#;
    for (option, outcome) in [(":ro", "EROFS"), ("", "ok")] {
        let volume = format!("{source}:/v{option}");
        let words = ["/probe", "open", "create", "/v/x", "/v/below/x"];
        let program = subject.program(&["-v", &volume], &words).env("SOURCE", source);
        let seen = program.inside_namespaces(script).json();
        assert_eq!(other_than(&[outcome], &seen), [""; 0], "with {volume}");
    }
}

/// C17: the probe above does fire: this is what a plain remount leaves open.
#[test]
fn c17_a_remount_does_not_reach_submounts() {
    requires!(unshare);
    let subject = Subject::new(Launcher::Sublet);
    let source = subject.scratch.dir("source/below");
    let source = source.trim_end_matches("/below");
    subject.scratch.dir("root/v");
    let script = r#"mount -t tmpfs none "$SOURCE/below"
                    mount --rbind "$SOURCE" "$ROOT/v"; mount -o remount,bind,ro "$ROOT/v"
                    exec chroot "$ROOT" "$@""#;
    let program = Program::new("/probe").args(["open", "create", "/v/x", "/v/below/x"]);
    let program = program.env("SOURCE", source).env("ROOT", subject.root.text());
    let seen = program.inside_namespaces(script).json();
    assert_eq!(seen, serde_json::json!({ "/v/x": "EROFS", "/v/below/x": "ok" }));
}

/// C17: flags reach submounts as well.
#[test]
fn c17_flags_reach_submounts() {
    requires!(unshare);
    let subject = Subject::new(Launcher::Sublet);
    let source = subject.scratch.dir("source/below");
    let source = source.trim_end_matches("/below");
    let script = r#"mount -t tmpfs none "$SOURCE/below"; exec "$@""#;
    let volume = format!("{source}:/v:noexec");
    let program = subject.program(&["-v", &volume], &["/probe", "mounts"]).env("SOURCE", source);
    let mounts = mounts(program.inside_namespaces(script));
    for point in ["/v", "/v/below"] {
        assert_eq!(lacking(&mounts, point, &["noexec", "nosuid", "nodev"]), [""; 0]);
    }
}

/// C09: what the launcher itself writes through is not for sale.
#[test]
fn c09_nothing_can_be_mounted_into_proc() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    let source = subject.scratch.dir("source");
    for target in [
        "/proc/self/attr",
        "/proc/self/oom_score_adj",
        "/proc/sys/net",
        "/proc/1",
        "/proc/sys",
        "/tmp/../proc/1",
        "/proc/./1",
        "//proc/1",
    ] {
        let volume = format!("{source}:{target}");
        subject.program(&["-v", &volume], &["true"]).refused(&["/proc"]);
        subject.program(&["--tmpfs", target], &["true"]).refused(&["/proc"]);
    }
}

/// C09: the same through a link that the root brings along.
#[test]
fn c09_a_link_into_proc_is_seen_through() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    let source = subject.scratch.dir("source");
    std::os::unix::fs::symlink("/proc", subject.root.join("p")).unwrap();
    for target in ["/p/self/attr", "/p/1", "/p/sys/net", "/p"] {
        let volume = format!("{source}:{target}");
        let done = subject.program(&["-v", &volume], &["/probe", "mounts"]).run();
        if done.code() == 0 {
            let mounts = done.json();
            let ours = |mount: &&Value| mount["root"].to_string().contains(subject.scratch.mark());
            let points =
                mounts.as_array().unwrap().iter().filter(ours).map(|mount| &mount["point"]);
            let in_proc = points.filter(|point| point.to_string().starts_with("\"/proc"));
            assert_eq!(in_proc.count(), 0, "with {volume}: {mounts}");
        } else {
            done.refused(&[target]);
        }
    }
}
