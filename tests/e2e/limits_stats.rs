//! Limits from outside: what `stats` tells of a container, and what `update`
//! changes of it.

use serde_json::{Value, json};

use crate::common::*;

const M: u64 = 1 << 20;

#[test]
fn a_limited_container_is_measured() {
    requires!(user_manager);
    let at = At::new();
    let options = ["-m", "64m", "--pids-limit", "40", "--cpus", "0.2"];
    let running = at.start("busy", &options, "echo ready; while :; do :; done");
    let usage = || -> f64 {
        let stat = at.file("busy", "cpu.stat");
        let line = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
        line.expect("the time it used").parse().expect("a number")
    };
    let before = usage();
    let all = at.stats(&["-i", "2s"]);
    let used_by_then = usage() - before;
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
    let one = &all[0];
    assert_eq!((&one["name"], &one["status"]), (&json!("busy"), &json!("running")));
    assert_eq!(one["id"], json!(at.scratch.container("busy")));
    assert_eq!(one["memory"]["limit_bytes"], json!(64 * M));
    let pids = &one["pids"];
    assert_eq!((&pids["current"], &pids["limit"]), (&json!(1), &json!(40)), "{pids}");
    let used = one["memory"]["working_set_bytes"].as_u64().expect("a number");
    assert!((1..64 * M).contains(&used), "{one}");
    let percent = |key: &str| one[key].as_f64().unwrap_or_else(|| panic!("{key}: {one}"));
    // Of two seconds at least, all of which lie within what was read around them.
    let of_two_seconds = percent("cpu_percent") / 100.0 * 2e6;
    assert!(of_two_seconds > 1e5 && of_two_seconds < used_by_then + 2e4, "{used_by_then} {one}");
    assert!(percent("throttled_percent") > 0.0 && percent("memory_percent") < 100.0, "{one}");
    assert!(one["pressure"]["cpu"]["some"]["avg10_percent"].is_number(), "{one}");

    let id = at.scratch.container("busy");
    let table = at.sublet(&["stats", "--no-stream", &id[..4]]).ok();
    let lines: Vec<_> = table.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("CONTAINER ID  NAME"), "{table}");
    assert!(lines[1].starts_with(&id[..12]) && lines[1].contains(" / 64MiB"), "{table}");
    assert!(lines[1].contains(" / 40 "), "{table}");
    let lines = at.sublet(&["stats", "--no-stream", "--format", "jsonl"]).ok();
    assert_eq!(lines.lines().count(), 1);

    running.signal(libc::SIGTERM);
    running.wait().exits(143);
    assert_eq!(at.stats(&[]), json!([]));
    assert_eq!(at.stats(&["-a"])[0]["status"], "exited");
}

#[test]
fn limits_change_while_it_runs() {
    requires!(user_manager);
    let at = At::new();
    let options = ["-m", "64m", "--cpu-period", "50000", "--cpu-quota", "10000"];
    let running = at.start("web", &options, "echo ready; sleep 600");
    assert_eq!(at.file("web", "cpu.max"), "10000 50000");
    let update = |words: &[&str]| at.sublet(&[&["update"], words, &["web"]].concat());
    assert_eq!(update(&["-m", "96m", "--cpus", "0.5", "--pids-limit", "30"]).ok(), "web");
    for (file, content) in [
        ("memory.max", (96 * M).to_string()),
        ("memory.swap.max", (64 * M).to_string()),
        ("cpu.max", "50000 100000".to_owned()),
        ("pids.max", "46".to_owned()),
        ("payload/pids.max", "30".to_owned()),
    ] {
        assert_eq!(at.file("web", file), content, "{file}");
    }
    assert_eq!(at.stats(&["web"])[0]["memory"]["limit_bytes"], json!(96 * M));
    // The swap is counted from what the memory is by now.
    update(&["--memory-swap", "96m", "-c", "200"]).ok();
    assert_eq!(
        (at.file("web", "memory.swap.max"), at.file("web", "cpu.weight")),
        ("0".into(), "29".into())
    );
    update(&["--memory", "-1", "--cpus", "0", "--pids-limit", "-1"]).ok();
    for (file, content) in [("memory.max", "max"), ("cpu.max", "max 100000"), ("pids.max", "max")] {
        assert_eq!(at.file("web", file), content, "{file}");
    }

    running.signal(libc::SIGTERM);
    running.wait();
}

#[test]
fn nothing_changes_unless_all_can() {
    requires!(user_manager);
    let at = At::new();
    let one = at.start("one", &["-m", "64m"], "echo ready; sleep 600");
    let two = at.start("two", &["--cgroups", "disabled"], "echo ready; sleep 600");
    let update = |words: &[&str]| at.sublet(&[&["update"], words].concat()).run();
    update(&["-m", "96m", "one", "two"]).refused(&["two", "no control group", "--cgroups require"]);
    update(&["-m", "96m", "one", "onne"]).refused(&["onne", "there is one"]);
    update(&["-m", "96m", "--cpuset-cpus", "0", "one"]).refused(&["cpuset", "delegate.conf"]);
    update(&["--memory-swap", "32m", "one"]).refused(&["--memory-swap is less than --memory"]);
    assert_eq!(at.file("one", "memory.max"), (64 * M).to_string());
    for running in [&one, &two] {
        running.signal(libc::SIGTERM);
    }
    one.wait();
    two.wait();
}

#[test]
fn a_name_is_one_containers_and_all_that_is_known_of_it() {
    requires!();
    let at = At::new();
    let running = at.start("web", &["--cgroups", "disabled"], "echo ready; sleep 600");
    let one = &at.stats(&[])[0];
    assert_eq!((&one["name"], &one["memory"]), (&json!("web"), &Value::Null));
    let table = at.sublet(&["stats", "--no-stream"]).ok();
    assert!(table.lines().nth(1).is_some_and(|line| line.contains("web   --")), "{table}");
    let again = Program::run_in(&at.scratch).args(["--name", "web"]).arg(at.root.path());
    again.arg("true").refused(&["the name web is in use"]);
    at.sublet(&["stats", "wep"]).refused(&["no container wep", "there is web"]);
    at.sublet(&["update", "web"]).refused(&["no limit is given"]);
    at.sublet(&["update", "-m", "1g"]).refused(&["CONTAINER is missing"]);

    running.signal(libc::SIGTERM);
    running.wait().exits(143);
    let again = Program::run_in(&at.scratch).args(["--name", "web", "--replace"]);
    again.arg(at.root.path()).arg("true").ok();
}

/// One that is killed with its launcher.
#[test]
fn who_is_killed_is_not_said_to_run() {
    requires!();
    let at = At::new();
    for (name, options) in [("kept", &["--cgroups", "disabled"][..]), ("gone", &["--rm"])] {
        let running = at.start(name, options, "echo ready; sleep 600");
        running.signal(libc::SIGKILL);
        running.wait();
    }
    let left = at.stats(&["-a"]);
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
    assert_eq!((&left[0]["name"], &left[0]["status"]), (&json!("kept"), &json!("supervisor-lost")));
}

#[test]
fn without_a_container_there_is_a_line_of_titles() {
    requires!();
    let at = At::new();
    let table = at.sublet(&["stats", "--no-stream"]).ok();
    assert!(table.starts_with("CONTAINER ID") && table.lines().count() == 1, "{table}");
    // Who stops reading ends it.
    let piped = at.sublet(&["stats", "-i", "50ms"]).inside("\"$@\" | head -n 1");
    assert!(piped.ok().starts_with("CONTAINER ID"));
}

#[test]
fn ctrl_c_ends_it_well() {
    requires!();
    let at = At::new();
    let mut running = at.sublet(&["stats", "-i", "50ms"]).spawn();
    assert!(running.line().starts_with("CONTAINER ID"));
    running.signal(libc::SIGINT);
    running.wait().exits(0);
}

/// Where sublet itself makes the group: its files change, with a controller
/// that was off until then, and what a killed launcher leaves is taken down.
#[test]
fn a_group_of_ours_is_seen_changed_and_taken_down() {
    requires!(user_manager, delegated);
    let at = At::new();
    let script = "sublet=$1 root=$2 XDG_RUNTIME_DIR=$3; export XDG_RUNTIME_DIR
        own=$(cut -d: -f3 /proc/self/cgroup)
        start() {
            \"$sublet\" run --network none --rm --cgroup-parent \"$own\" --pids-limit 40 --name web \"$root\" sleep 600 &
            pid=$!
            until \"$sublet\" stats --no-stream -i 50ms | grep -q ' / 40 '; do sleep 0.1; done
        }
        start
        \"$sublet\" update -m 64m --cpus 0.5 --pids-limit 20 web
        cd /sys/fs/cgroup$own/sublet-*
        cat memory.max cpu.max pids.max payload/pids.max
        cd /; kill $pid; wait $pid || true
        start
        kill -KILL $pid; wait $pid || true
        \"$sublet\" stats -a --format json
        ls -d /sys/fs/cgroup$own/sublet-* 2>/dev/null && echo left
        exit 0";
    let scoped =
        ["systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"];
    let (uid, _) = caller();
    let program = Program::sublet(&at.scratch).arg(at.root.path()).arg(at.scratch.join("run"));
    let program = program.inside(script).under(&scoped).within(120.0);
    let done = program.env("XDG_RUNTIME_DIR", format!("/run/user/{uid}")).run();
    assert_eq!(done.ok(), "web\n67108864\n50000 100000\n36\n20\n[]", "{}", done.stderr);
}
