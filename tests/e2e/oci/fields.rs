//! Every field of a configuration that is not refused, read back from inside.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::bundle::Bundle;
use crate::common::*;

/// What a script prints in a container for which `change` has changed the
/// configuration.
fn told(script: &str, change: impl FnOnce(Bundle) -> Bundle) -> String {
    let bundle = change(Bundle::new(&["sh", "-c", script]));
    bundle.oci(&["run", "--bundle", &bundle.path(), "web"]).ok()
}

/// With one value set.
fn with(script: &str, path: &str, value: Value) -> String {
    told(script, |bundle| bundle.set(path, value))
}

#[test]
fn the_process_is_as_it_is_asked_for() {
    requires!();
    assert_eq!(with("pwd", "/process/cwd", json!("/usr/bin")), "/usr/bin");
    assert_eq!(with("echo $A", "/process/env", json!(["PATH=/bin", "A=b c"])), "b c");
    assert_eq!(with("umask", "/process/user", json!({"uid": 0, "gid": 0, "umask": 0o27})), "0027");
    assert_eq!(with("umask", "/process/user", json!({"uid": 0, "gid": 0})), "0022");
    let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 21, "hard": 42}]);
    assert_eq!(with("ulimit -Sn; ulimit -Hn", "/process/rlimits", limit), "21\n42");
    assert_eq!(with("cat /proc/self/oom_score_adj", "/process/oomScoreAdj", json!(777)), "777");
    for (value, flag) in [(true, "1"), (false, "0")] {
        let flags = "grep NoNewPrivs: /proc/self/status | grep -o '[01]'";
        assert_eq!(with(flags, "/process/noNewPrivileges", json!(value)), flag);
    }
}

#[test]
fn capabilities_are_as_they_are_given() {
    requires!();
    let sets = "grep Cap /proc/self/status | grep -o '[0-9a-f]*$'";
    assert_eq!(
        with(sets, "/process/capabilities", Value::Null),
        ["0000000000000000"; 5].join("\n")
    );
    let given = json!({
        "bounding": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL"],
        "permitted": ["CAP_KILL"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    });
    // An exec gives root all that is in its bounding set (capabilities(7)).
    let told = with(sets, "/process/capabilities", given);
    let expected = ["0020", "0021", "0021", "0021", "0020"].map(|end| format!("000000000000{end}"));
    assert_eq!(told, expected.join("\n"));
}

/// As `crun spec` and older engines write them; the kernel gives nobody such.
#[test]
fn ambient_capabilities_that_are_not_inheritable_are_left_out() {
    requires!();
    let given = json!({
        "bounding": ["CAP_KILL"],
        "effective": ["CAP_KILL"],
        "permitted": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    });
    let bundle = Bundle::new(&["grep", "CapAmb", "/proc/self/status"]);
    let bundle = bundle.set("/process/capabilities", given);
    let done = bundle.oci(&["run", "--bundle", &bundle.path(), "web"]);
    assert_eq!(done.stdout(), "CapAmb:\t0000000000000000\n", "{}", done.stderr);
    assert!(done.stderr.contains("process.capabilities.ambient"), "{}", done.stderr);
}

#[test]
fn a_user_of_the_map_has_the_groups_that_are_given() {
    requires!(subuid);
    let user = json!({"uid": 5, "gid": 6, "additionalGids": [7, 8]});
    let told = told("id -u; id -g; id -G; cat /proc/self/uid_map | wc -l", |bundle| {
        bundle.ranged().set("/process/user", user)
    });
    assert_eq!(told, "5\n6\n6 7 8\n2");
}

#[test]
fn names_and_parameters_are_the_containers_own() {
    requires!();
    assert_eq!(with("hostname", "/hostname", json!("web")), "web");
    let domain = "cat /proc/sys/kernel/domainname";
    assert_eq!(with(domain, "/domainname", json!("nis.example")), "nis.example");
    let told = with(
        "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/msg_max",
        "/linux/sysctl",
        json!({
            "net.ipv4.ip_forward": "1",
            "kernel.shm_rmid_forced": "1",
            "fs.mqueue.msg_max": "7",
        }),
    );
    assert_eq!(told, "1\n1\n7");
    let bundle = Bundle::new(&["true"]).set("/linux/sysctl", json!({"kernel.core_pattern": "|/x"}));
    bundle.create("web").exits(1).explained(&["kernel.core_pattern", "the machine's"]);
}

/// What is set through /proc/sys is set although the container finds it
/// read-only.
#[test]
fn what_is_read_only_is_written_before() {
    requires!();
    let script = "cat /proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv4/ip_forward";
    let bundle = Bundle::new(&["sh", "-c", script])
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .set("/linux/readonlyPaths", json!(["/proc/sys"]));
    let done = bundle.oci(&["run", "--bundle", &bundle.path(), "web"]);
    assert_eq!((done.code(), done.stdout().trim()), (1, "1"), "{}", done.stderr);
    assert!(done.stderr.contains("Read-only file system"), "{}", done.stderr);
}

#[test]
fn paths_are_hidden_and_the_root_is_closed() {
    requires!();
    let script = "cat /proc/uptime; ls /secret; echo x 2>/dev/null >/x || echo closed";
    let told = told(script, |bundle| {
        fs::create_dir(bundle.root.join("secret")).expect("a directory");
        fs::write(bundle.root.join("secret/key"), "k").expect("a file");
        bundle
            .set("/linux/maskedPaths", json!(["/secret", "/proc/uptime", "/not/there"]))
            .set("/root/readonly", json!(true))
    });
    assert_eq!(told, "closed");
}

#[test]
fn mounts_have_the_options_that_are_given() {
    requires!();
    let options = |target: &str, mount: Value| {
        let script = format!("grep ' {target} ' /proc/self/mounts | tail -n 1");
        told(&script, |bundle| {
            bundle.scratch.dir("bundle/data");
            let mut mount = mount;
            mount["destination"] = json!(target);
            bundle.push("/mounts", mount)
        })
    };
    let bind = |words: &[&str]| json!({"source": "data", "options": words});
    for (words, expected) in [
        (&["rbind", "ro", "nosuid", "nodev", "noexec"][..], "ro,nosuid,nodev,noexec"),
        (&["bind", "rro"], "ro"),
        (&["rbind", "ro", "rw", "noexec"], "noexec"),
        (&["rbind", "nosymfollow"], "nosymfollow"),
    ] {
        let line = options("/mnt", bind(words));
        let found = line.split(' ').nth(3).expect("options");
        for word in expected.split(',') {
            assert!(found.split(',').any(|it| it == word), "{words:?}: {line}");
        }
        assert_eq!(found.starts_with("ro"), expected.starts_with("ro"), "{words:?}: {line}");
    }
    let tmpfs = json!({"type": "tmpfs", "source": "x", "options": ["size=1m", "mode=700"]});
    let line = options("/tmp", tmpfs);
    assert!(line.contains("tmpfs") && line.contains("size=1024k,mode=700"), "{line}");
    let line = options("/dev/mqueue", json!({"type": "mqueue", "source": "mqueue"}));
    assert!(line.contains(" mqueue "), "{line}");
}

#[test]
fn the_root_is_of_the_propagation_that_is_given() {
    requires!();
    let script =
        "grep ' / ' /proc/self/mountinfo | head -n 1 | grep -oE 'shared|unbindable'; echo end";
    for (word, shown) in [
        ("private", ""),
        ("rslave", ""),
        ("shared", "shared\n"),
        ("rshared", "shared\n"),
        ("unbindable", "unbindable\n"),
    ] {
        for hooks in [json!({}), json!({"createContainer": [{"path": "/bin/true"}]})] {
            let told = told(script, |bundle| {
                bundle.set("/linux/rootfsPropagation", json!(word)).set("/hooks", hooks)
            });
            assert_eq!(told, format!("{shown}end"), "{word}");
        }
    }
}

#[test]
fn a_tmpfs_begins_with_what_it_covers() {
    requires!();
    let script = "cd /full; cat a sub/b; readlink link; stat -c %a . a sub; echo x >c && cat c; \
                  ls /empty; touch /closed/y 2>/dev/null || cat /closed/a";
    let told = told(script, |bundle| {
        for directory in ["full", "closed"] {
            let at = |name: &str| bundle.root.join(directory).join(name);
            fs::create_dir_all(at("sub")).expect("a directory");
            fs::write(at("a"), "one\n").expect("a file");
            fs::write(at("sub/b"), "x".repeat(100_000) + "\n").expect("a file");
            let mode = |name: &str, mode| {
                fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).expect("its mode");
            };
            mode("a", 0o640);
            mode("sub", 0o710);
            mode("", 0o751);
            std::os::unix::fs::symlink("/etc/passwd", at("link")).expect("a link");
        }
        let tmpfs = |target: &str, more: &[&str]| {
            let options = [&["nosuid", "tmpcopyup"], more].concat();
            json!({"destination": target, "type": "tmpfs", "source": "x", "options": options})
        };
        bundle
            .push("/mounts", tmpfs("/full", &[]))
            .push("/mounts", tmpfs("/empty", &["size=1m"]))
            .push("/mounts", tmpfs("/closed", &["ro"]))
    });
    let long = "x".repeat(100_000);
    assert_eq!(told, format!("one\n{long}\n/etc/passwd\n751\n640\n710\nx\none"));
}

#[test]
fn devices_are_those_of_the_host() {
    requires!();
    let fuse = json!([{"path": "/dev/zero", "type": "c", "major": 1, "minor": 5},
                      {"path": "/dev/mine", "type": "c", "major": 1, "minor": 3}]);
    let bundle = Bundle::new(&["true"]).set("/linux/devices", fuse);
    // Only what the host has, under the name that it has there.
    bundle.create("web").exits(1).explained(&["/dev/mine"]);
    let given = json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 5}]);
    let bundle = bundle.set("/linux/devices", given);
    bundle.create("web").exits(1).explained(&["/dev/null", "not the device"]);
    let node = json!([{"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "uid": 0}]);
    assert_eq!(with("ls -l /dev/zero | cut -c 1", "/linux/devices", node), "c");
}

#[test]
fn a_filter_is_loaded_with_and_without_new_rights() {
    requires!();
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    });
    for no_new in [true, false] {
        let bundle = Bundle::new(&["mkdir", "/made"])
            .set("/linux/seccomp", filter.clone())
            .set("/process/noNewPrivileges", json!(no_new));
        let done = bundle.oci(&["run", "--bundle", &bundle.path(), "web"]);
        assert!(done.code() == 1 && done.stderr.contains("not supported"), "{}", done.stderr);
    }
}

/// A pod's containers share what the first one of them has.
#[test]
fn namespaces_of_others_are_joined() {
    requires!(unshare);
    let bundle = Bundle::new(&["sh", "-c", "hostname; readlink /proc/self/ns/net"]);
    let path = |kind: &str| format!("/proc/self/ns/{kind}");
    let names = ["uts", "net", "ipc"];
    let kinds = ["uts", "network", "ipc"];
    let joined =
        names.iter().zip(kinds).map(|(name, kind)| json!({"type": kind, "path": path(name)}));
    let own = ["mount", "pid"].iter().map(|kind| json!({ "type": kind }));
    let bundle = bundle
        .set("/linux/namespaces", joined.chain(own).collect())
        .set("/linux/uidMappings", json!([]))
        .set("/linux/gidMappings", json!([]));
    // Within a user namespace of the caller's, as an engine makes one.
    let script = "hostname joined; readlink /proc/self/ns/net; exec \"$@\"";
    let outer = [
        "unshare",
        "--user",
        "--map-root-user",
        "--uts",
        "--net",
        "--ipc",
        "sh",
        "-ec",
        script,
        "sh",
    ];
    let done = bundle.command(&["run", "--bundle", &bundle.path(), "web"]).under(&outer).run();
    let told = done.ok();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!((lines[1], lines[0]), ("joined", lines[2]), "{told}");
}

/// Nothing of the machine changes by what is not a container's own.
#[test]
fn what_would_be_the_callers_is_refused() {
    requires!();
    let bundle = Bundle::new(&["true"]).set("/linux/namespaces", json!([{"type": "mount"}]));
    bundle.create("web").exits(1).explained(&["linux.uidMappings"]);
    let none = bundle.set("/linux/uidMappings", json!([])).set("/linux/gidMappings", json!([]));
    if caller().0 != 0 {
        none.create("web").exits(1).explained(&["user namespace"]);
    }
}

#[test]
fn it_is_scheduled_as_it_is_asked_for() {
    requires!();
    let set = |bundle: Bundle| {
        bundle
            .set(
                "/process/scheduler",
                json!({"policy": "SCHED_BATCH", "nice": 7, "flags": ["SCHED_RESET_ON_FORK"]}),
            )
            .set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6}))
            .set("/linux/personality", json!({"domain": "LINUX32"}))
    };
    // The policy's number is the 41st field of stat, the nice value the 19th.
    let script = "cut -d' ' -f19,41 /proc/self/stat; ionice -p $$; uname -m";
    let told = told(script, set);
    let machine = if cfg!(target_arch = "x86_64") { "i686" } else { "armv8l" };
    assert_eq!(told, format!("7 3\nbest-effort: prio 6\n{machine}"));
    // So is a further program.
    let bundle = set(Bundle::new(&["sleep", "600"]));
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
    let more = bundle.oci(&["exec", "web", "sh", "-c", script]).ok();
    assert_eq!(more, told);
    let pid = bundle.state("web")["pid"].to_string();
    let told = Program::new("chrt").args(["-p", &pid]).ok();
    assert!(told.contains("SCHED_BATCH|SCHED_RESET_ON_FORK"), "{told}");
}

#[test]
fn what_only_root_may_have_of_the_scheduler_is_told_by_its_step() {
    requires!(ordinary_user);
    let bundle = Bundle::new(&["true"])
        .set("/process/scheduler", json!({"policy": "SCHED_FIFO", "priority": 50}));
    let done = bundle.create("web");
    done.exits(1).explained(&["SCHED_FIFO", "not permitted"]);
    assert_eq!(bundle.left(), 0);
}

/// What a further program says, in a container for which `change` has changed
/// the configuration.
fn told_by_another(script: &str, change: impl FnOnce(Bundle) -> Bundle) -> (String, String) {
    let bundle = change(Bundle::new(&[
        "sh",
        "-c",
        &format!("({script}) >/part; mv /part /said; exec sleep 600"),
    ]));
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
    let said = || fs::read_to_string(bundle.root.join("said")).ok();
    let own = eventually(20.0, said).expect("it runs");
    (own.trim().to_owned(), bundle.oci(&["exec", "web", "sh", "-c", script]).ok())
}

/// The processors that the test may run on.
fn processors() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").expect("our status");
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let parts = line.expect("a list").trim().split(',');
    let numbers = parts.flat_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<u32>().expect("a number")..=last.parse().expect("a number")
    });
    numbers.map(|number| number.to_string()).collect()
}

#[test]
fn a_further_program_runs_on_the_processors_that_are_given() {
    requires!();
    let (all, list) = (processors(), "grep Cpus_allowed_list /proc/self/status | cut -f 2");
    let (first, last) = (&all[0], &all[all.len() - 1]);
    let (all_of_them, _) = told_by_another(list, |bundle| bundle);
    let with = |affinity: Value| {
        let (own, other) =
            told_by_another(list, |bundle| bundle.set("/process/execCPUAffinity", affinity));
        assert_eq!(own, all_of_them, "it is for further programs alone");
        other
    };
    assert_eq!(&with(json!({"initial": first, "final": last})), last);
    assert_eq!(&with(json!({"final": last})), last);
    // What is not said is left as the kernel has it after the first.
    assert_eq!(&with(json!({"initial": last})), last);
    assert_eq!(with(json!({})), with(Value::Null));
    let bundle = Bundle::new(&["sleep", "600"]);
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
    for (field, words) in [("initial", "8191"), ("final", "8191")] {
        let affinity = json!({ field: "8191" });
        let process = json!({
            "user": {"uid": 0, "gid": 0}, "args": ["true"], "cwd": "/", "env": ["PATH=/bin"],
            "execCPUAffinity": affinity,
        });
        let file = bundle.scratch.file("process.json", process.to_string());
        let done = bundle.oci(&["exec", "--process", &file, "web"]);
        let field = format!("process.execCPUAffinity.{field}");
        done.exits(255).explained(&[&field, words]);
    }
    let bundle = bundle.set("/process/execCPUAffinity", json!({"final": "1-0"}));
    bundle.create("b").exits(1).explained(&["process.execCPUAffinity.final"]);
}

/// The offsets are told by the kernel, and seen in what its clocks show.
#[test]
fn clocks_differ_from_the_machines() {
    requires!(time_namespace);
    let script = "cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets; \
                  readlink /proc/self/ns/time";
    let time = |bundle: Bundle| bundle.push("/linux/namespaces", json!({"type": "time"}));
    let offsets = json!({
        "boottime": {"secs": 1_000_000_000, "nanosecs": 7}, "monotonic": {"secs": 500},
    });
    let (own, other) =
        told_by_another(script, |bundle| time(bundle).set("/linux/timeOffsets", offsets));
    for said in [own, other] {
        let lines: Vec<&str> = said.lines().collect();
        let words = |at: usize| lines[at].split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(lines[0].parse::<u64>().expect("seconds") >= 1_000_000_000, "{said}");
        assert_eq!(
            (words(1), words(2)),
            ("monotonic 500 0".into(), "boottime 1000000000 7".into())
        );
        let ours = fs::read_link("/proc/self/ns/time").expect("our clocks");
        assert_ne!(lines[3], ours.to_str().expect("UTF-8"));
    }
    // Without offsets it is one all the same.
    let (own, other) = told_by_another(script, time);
    assert_eq!(own.lines().last(), other.lines().last());
    assert!(own.contains("monotonic           0"), "{own}");
    let refused = |offsets: Value, words: &[&str]| {
        let bundle = time(Bundle::new(&["true"])).set("/linux/timeOffsets", offsets);
        bundle.create("web").exits(1).explained(words);
        assert_eq!(bundle.left(), 0);
    };
    refused(json!({"boottime": {"secs": -1_000_000_000}}), &["linux.timeOffsets", "/proc/uptime"]);
    refused(json!({"realtime": {"secs": 1}}), &["linux.timeOffsets.realtime"]);
    let bundle = Bundle::new(&["true"]).set("/linux/timeOffsets", json!({"boottime": {"secs": 1}}));
    bundle.create("web").exits(1).explained(&["linux.timeOffsets", "linux.namespaces"]);
}

/// An engine's pod has one time for all.
#[test]
fn clocks_of_others_are_joined() {
    requires!(unshare, time_namespace);
    let bundle = Bundle::new(&["sh", "-c", "readlink /proc/self/ns/time"]);
    let own = ["mount", "pid"].map(|kind| json!({ "type": kind }));
    let joined = json!({"type": "time", "path": "/proc/self/fd/9"});
    let bundle = bundle
        .set("/linux/namespaces", own.into_iter().chain([joined]).collect())
        .set("/linux/uidMappings", json!([]))
        .set("/linux/gidMappings", json!([]));
    let script = "unshare --time sleep 600 & \
                  until [ $(readlink /proc/$!/ns/time_for_children) != $(readlink /proc/$$/ns/time) ]; \
                  do sleep 0.1; done; exec 9</proc/$!/ns/time_for_children; \
                  readlink /proc/$!/ns/time_for_children; kill $!; exec \"$@\"";
    let outer = ["unshare", "--user", "--map-root-user", "sh", "-ec", script, "sh"];
    let done = bundle.command(&["run", "--bundle", &bundle.path(), "web"]).under(&outer).run();
    let told = done.ok();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, lines[1]), "{told}");
    let path = bundle.scratch.text("no-such");
    let bundle = Bundle::new(&["true"]);
    let bundle = bundle.push("/linux/namespaces", json!({"type": "time", "path": path}));
    bundle.create("web").exits(1).explained(&["join the clocks", "no-such"]);
}

#[test]
fn memory_comes_from_the_nodes_that_are_given() {
    requires!();
    let policy = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    let script = "grep -o 'bind[^ ]*' /proc/self/numa_maps | head -n 1";
    let set = |policy: Value| move |bundle: Bundle| bundle.set("/linux/memoryPolicy", policy);
    if !std::path::Path::new("/proc/self/numa_maps").exists() {
        let bundle = set(policy)(Bundle::new(&["true"]));
        bundle.create("web").exits(1).explained(&["MPOL_BIND", "one memory node"]);
        return;
    }
    let (own, other) = told_by_another(script, set(policy));
    assert_eq!((own.as_str(), other.as_str()), ("bind=static:0", "bind=static:0"));
    let bundle = set(json!({"mode": "MPOL_LOCAL", "nodes": "0"}))(Bundle::new(&["true"]));
    bundle.create("web").exits(1).explained(&["linux.memoryPolicy", "MPOL_LOCAL"]);
}
