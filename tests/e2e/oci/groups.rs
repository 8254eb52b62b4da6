//! Control groups of containers.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::bundle::Bundle;
use crate::common::program::Done;
use crate::common::*;
use crate::limits::{forgotten, scope};

/// A container in a scope of this name, without its ending.
fn in_scope(args: &[&str]) -> (Bundle, String) {
    let bundle = Bundle::new(args).globally(&["--systemd-cgroup"]);
    let name = bundle.scratch.mark().trim_end_matches('.').to_owned();
    let path = format!("app.slice:oci:{name}");
    (bundle.set("/linux/cgroupsPath", json!(path)), format!("oci-{name}"))
}

fn read(group: &Path, file: &str) -> String {
    let text = fs::read_to_string(group.join(file));
    text.unwrap_or_else(|error| panic!("{group:?} {file}: {error}")).trim_end().to_owned()
}

fn group_of(bundle: &Bundle, id: &str) -> PathBuf {
    let pid = bundle.state(id)["pid"].as_i64().expect("a pid");
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its groups");
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).expect("a group");
    Path::new("/sys/fs/cgroup").join(path)
}

#[test]
fn systemd_makes_a_scope_of_the_name_that_is_given() {
    requires!(scopes);
    let (bundle, name) = in_scope(&["sleep", "600"]);
    let unit = format!("{name}.scope");
    bundle.create("web").exits(0);
    let scope = scope(&unit);
    assert!(scope.to_string_lossy().contains("/app.slice/"), "{scope:?}");
    assert_eq!(group_of(&bundle, "web"), scope.join("payload"));
    bundle.oci(&["start", "web"]).ok();
    // Further programs are in it, wherever they come from.
    let told = bundle.oci(&["exec", "web", "grep", "0::", "/proc/self/cgroup"]).ok();
    assert!(told.ends_with(&format!("/{unit}/payload")), "{told}");
    bundle.oci(&["kill", "web", "KILL"]).ok();
    bundle.stopped("web");
    bundle.oci(&["delete", "web"]).ok();
    forgotten(&[&unit]);
    // Nor does a failed create leave one.
    let bundle = bundle.set("/process/args", json!(["no-such-program"]));
    bundle.create("web").exits(1);
    forgotten(&[&unit]);
}

#[test]
fn a_container_stands_still_and_goes_on() {
    requires!(scopes);
    let script = "while :; do echo x >>/ticks; sleep 0.02; done";
    let (bundle, _) = in_scope(&["sh", "-c", script]);
    bundle.create("web").exits(0);
    bundle.oci(&["pause", "web"]).exits(1).explained(&["cannot pause", "created"]);
    bundle.oci(&["start", "web"]).ok();
    let ticks = || fs::metadata(bundle.root.join("ticks")).map_or(0, |facts| facts.len());
    let more = || {
        let before = ticks();
        eventually(10.0, || (ticks() > before + 2).then_some(()))
    };
    more().expect("it runs");
    bundle.oci(&["resume", "web"]).exits(1).explained(&["cannot resume", "running"]);
    bundle.oci(&["pause", "web"]).ok();
    assert_eq!(bundle.state("web")["status"], "paused");
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(ticks(), before, "it goes on");
    bundle.oci(&["pause", "web"]).exits(1).explained(&["cannot pause", "paused"]);
    bundle.oci(&["exec", "web", "true"]).exits(255).explained(&["paused", "resume"]);
    bundle.oci(&["delete", "web"]).exits(1).explained(&["not stopped"]);
    bundle.oci(&["resume", "web"]).ok();
    assert_eq!(bundle.state("web")["status"], "running");
    more().expect("it goes on");
    bundle.oci(&["pause", "web"]).ok();
    bundle.oci(&["kill", "web", "KILL"]).ok();
    bundle.stopped("web");
    bundle.oci(&["resume", "web"]).exits(1).explained(&["cannot resume", "stopped"]);
    bundle.oci(&["delete", "web"]).ok();
    assert_eq!(bundle.left(), 0);
}

#[test]
fn limits_hold_and_are_changed() {
    requires!(user_manager);
    let (bundle, name) = in_scope(&["sleep", "600"]);
    let bundle = bundle.set(
        "/linux/resources",
        json!({
            "devices": [{"allow": false, "access": "rwm"}],
            "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
            "cpu": {"quota": 50_000, "period": 100_000, "shares": 2048},
            "pids": {"limit": 33},
            "unified": {"memory.high": "50331648"},
        }),
    );
    bundle.create("web").exits(0);
    let scope = scope(&format!("{name}.scope"));
    let has = |file: &str, value: &str| assert_eq!(read(&scope, file), value, "{file}");
    has("memory.max", "67108864");
    has("memory.swap.max", "33554432");
    has("memory.low", "33554432");
    has("memory.high", "50331648");
    has("cpu.max", "50000 100000");
    has("pids.max", "33");
    // Where engines look, and programs inside.
    let payload = scope.join("payload");
    assert_eq!(read(&payload, "memory.max"), "67108864");
    assert_eq!(read(&payload, "cpu.max"), "50000 100000");
    bundle.oci(&["start", "web"]).ok();

    let update = |words: &[&str]| bundle.oci(&[&["update"], words, &["web"]].concat());
    update(&["--memory", "48m", "--pids-limit", "44"]).ok();
    has("memory.max", "50331648");
    has("pids.max", "44");
    has("cpu.max", "50000 100000");
    assert_eq!(read(&payload, "memory.max"), "50331648");
    update(&["--cpu-quota", "20000"]).ok();
    has("cpu.max", "20000 100000");
    update(&["--memory-swap", "64m"]).ok();
    has("memory.swap.max", "16777216");
    let file = bundle.scratch.file("limits", json!({"pids": {"limit": -1}}).to_string());
    update(&["--resources", &file]).ok();
    has("pids.max", "max");
    let words = ["update", "-r", "-", "web"];
    let text = json!({"unified": {"memory.high": "max"}}).to_string();
    bundle.command(&words).input(text).run().exits(0);
    has("memory.high", "max");
    for (text, words) in [
        ("{", "not JSON"),
        ("{\"surprise\": 1}", "surprise"),
        ("{\"memory\": {\"kernel\": 1}}", "memory.kernel"),
        ("{\"unified\": {\"cgroup.procs\": \"0\"}}", "cgroup.procs"),
        ("{\"unified\": {\"../x.y\": \"0\"}}", "../x.y"),
    ] {
        let file = bundle.scratch.file("limits", text);
        update(&["--resources", &file]).exits(1).explained(&[words]);
    }
    update(&["--memory", "much"]).exits(1).explained(&["--memory"]);
    update(&["--resources", "/no/such/file"]).exits(1).explained(&["/no/such/file"]);

    let stats = bundle.oci(&["events", "--stats", "web"]).json();
    assert_eq!((&stats["type"], &stats["id"]), (&json!("stats"), &json!("web")));
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 50_331_648);
    assert!(stats["data"]["pids"]["current"].as_u64() >= Some(1), "{stats}");
    assert!(stats["data"]["cpu"]["usage"]["total"].as_u64().is_some(), "{stats}");
    let mut events = bundle.command(&["events", "--interval", "100ms", "web"]).spawn();
    assert!(events.line().contains("\"type\":\"stats\""));
    bundle.oci(&["kill", "web", "KILL"]).ok();
    events.wait().exits(0);
    update(&["--pids-limit", "5"]).exits(1).explained(&["stopped"]);
    bundle.oci(&["events", "--stats", "web"]).exits(1).explained(&["stopped"]);
    bundle.oci(&["delete", "web"]).ok();
}

#[test]
fn a_container_that_runs_out_of_memory_is_told_of() {
    requires!(user_manager);
    let script = "read line </go; tail /dev/zero; sleep 600";
    let (bundle, _) = in_scope(&["sh", "-c", script]);
    let bundle =
        bundle.set("/linux/resources", json!({"memory": {"limit": 32 << 20, "swap": 32 << 20}}));
    nix::unistd::mkfifo(&bundle.root.join("go"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
    let mut events = bundle.command(&["events", "--interval", "200ms", "web"]).spawn();
    events.line();
    fs::write(bundle.root.join("go"), "now\n").expect("let it");
    let told = (0..300).any(|_| events.line().contains("\"type\":\"oom\""));
    assert!(told);
    bundle.oci(&["kill", "web", "KILL"]).ok();
    events.wait();
}

/// What a shell says that is in a group of its own, with the bundle's in that.
fn delegated(bundle: &Bundle, script: &str) -> Done {
    let scoped =
        ["systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"];
    let (path, root) = (bundle.path(), bundle.scratch.text("run/sublet-oci"));
    let program = bundle.scratch.text("sublet-oci");
    let script = format!(
        "own=$(sed -n s/^0:://p /proc/self/cgroup); at=/sys/fs/cgroup$own
        sed -i \"s|OWN|$own|\" {path}/config.json
        oci() {{ {program} --root {root} \"$@\"; }}
        create() {{ oci create --bundle {path} web </dev/null >/dev/null; }}
        {script}"
    );
    let (uid, _) = caller();
    let program = Program::new("sh").at_home(&bundle.scratch).args(["-c", &script]).within(60.0);
    program.under(&scoped).env("XDG_RUNTIME_DIR", format!("/run/user/{uid}")).run()
}

#[test]
fn a_group_is_made_at_a_path_and_removed() {
    requires!(scopes, delegated);
    let bundle = Bundle::new(&["sleep", "600"]).set("/linux/cgroupsPath", json!("OWN/pod/web"));
    let script = "
        create 2>/dev/null; ls -d $at/pod/web/payload | sed \"s|$at||\"
        oci start web
        oci exec web cat /proc/self/cgroup | sed -n \"s|^0::$own||p\"
        oci pause web; oci state web | grep -c paused; oci resume web
        oci delete -f web
        ls -d $at/pod/web 2>/dev/null || echo gone";
    let done = delegated(&bundle, script);
    assert_eq!(done.ok(), "/pod/web/payload\n/pod/web/payload\n1\ngone", "{}", done.stderr);
    // A failed create takes those above along that were not there.
    let bundle = Bundle::new(&["none"]).set("/linux/cgroupsPath", json!("OWN/a/b/web"));
    let done = delegated(&bundle, "create 2>/dev/null; ls -d $at/a 2>/dev/null || echo gone");
    assert_eq!(done.ok(), "gone");
}

#[test]
fn a_group_that_is_there_is_taken_if_nobody_is_in_it() {
    requires!(scopes, delegated);
    let bundle = Bundle::new(&["sleep", "600"]).set("/linux/cgroupsPath", json!("OWN/web"));
    let script = "
        mkdir $at/web; sleep 600 & echo $! >$at/web/cgroup.procs
        create 2>&1; cat $at/web/cgroup.procs | wc -l; kill $!; wait $! 2>/dev/null
        create 2>&1 && oci state web | grep -c 'status.*created'
        oci delete -f web; ls -d $at/web 2>/dev/null || echo gone";
    let done = delegated(&bundle, script);
    let told = done.ok();
    assert!(told.contains("has processes in it"), "{told}");
    assert!(told.ends_with("1\n1\ngone"), "{told} {}", done.stderr);
}

/// Without a pid namespace of its own nothing ends with its first process.
fn left_in_the_group(verb: &str) {
    let (bundle, name) = in_scope(&["sh", "-c", "sleep 600 & echo $! >/left"]);
    let kinds = ["user", "mount", "network", "ipc", "uts"].map(|kind| json!({ "type": kind }));
    let bundle = bundle.set("/linux/namespaces", json!(kinds)).set("/mounts", json!([]));
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
    bundle.stopped("web");
    let pid = fs::read_to_string(bundle.root.join("left")).expect("a pid");
    let process = PathBuf::from(format!("/proc/{}", pid.trim()));
    assert!(process.exists());
    if verb == "kill" {
        // Of all that a signal could be for only KILL is for all.
        bundle.oci(&["kill", "--all", "web", "TERM"]).ok();
        bundle.oci(&["kill", "web", "KILL"]).exits(1).explained(&["container not running"]);
        assert!(process.exists());
        bundle.oci(&["kill", "--all", "web", "KILL"]).ok();
    } else {
        bundle.oci(&["delete", "web"]).ok();
    }
    eventually(10.0, || (!process.exists()).then_some(())).expect("it ends");
    bundle.oci(&["delete", "--force", "web"]).ok();
    forgotten(&[&format!("{name}.scope")]);
}

#[test]
fn what_is_left_in_the_group_ends_with_it() {
    requires!(scopes);
    left_in_the_group("delete");
}

/// As containerd's shim has it where containers share a pid namespace.
#[test]
fn what_is_left_in_the_group_can_be_killed() {
    requires!(scopes);
    left_in_the_group("kill");
}

#[test]
fn paths_that_are_none_are_refused() {
    requires!();
    let path = |manager: &str, path: &str| {
        let bundle = Bundle::new(&["sleep", "600"]).globally(&["--cgroup-manager", manager]);
        bundle.set("/linux/cgroupsPath", json!(path)).create("web")
    };
    for text in ["/a/../../b", "../b", "/", "a\nb", "user.slice:libpod:web"] {
        path("cgroupfs", text).exits(1).explained(&["linux.cgroupsPath"]);
    }
    for text in [
        "/a/b",
        "a:b",
        "a:b:c:d",
        "a.slice:b:",
        "../x.slice:b:c",
        "/a:b:c",
        "a.slice:b:c/d",
        "a.slice:b:c.slice",
        "nothing:b:c",
    ] {
        path("systemd", text).exits(1).explained(&["linux.cgroupsPath"]);
    }
    // Nobody is asked where none is to be made.
    path("disabled", "/a/../../b").exits(0);
    let bundle = Bundle::new(&["sleep", "600"]);
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
    for words in
        [&["pause", "web"][..], &["update", "--pids-limit", "5", "web"], &["events", "web"]]
    {
        bundle.oci(words).exits(1).explained(&["no control group of its own", "linux.cgroupsPath"]);
    }
    assert_eq!(bundle.state("web")["status"], "running");
    for file in ["cgroup.procs", "cgroup.kill", "memory/max", "x"] {
        let bundle =
            Bundle::new(&["true"]).set("/linux/resources", json!({"unified": {file: "1"}}));
        bundle.create("web").exits(1).explained(&["linux.resources.unified", file]);
    }
}
