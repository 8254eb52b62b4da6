//! `sublet ns`.

use std::fs;

use serde_json::{Value, json};

use super::{HOSTILE, SLEEP, harmless};
use crate::common::*;

/// The container that is called so, in what is told for programs.
fn named(told: &Value, name: &str) -> Value {
    let all = told["Containers"].as_array().expect("containers");
    let found = all.iter().find(|one| one["Name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {told}")).clone()
}

fn link(pid: impl std::fmt::Display, kind: &str) -> Value {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("a namespace");
    let text = link.to_str().expect("text").to_owned();
    let number = text.split_once(":[").expect("a number").1.trim_end_matches(']');
    json!(number.parse::<u64>().expect("a number"))
}

#[test]
fn numbers_are_those_of_proc_and_what_is_the_hosts_is_told() {
    requires!();
    let at = At::new();
    let script = "sleep 600 & echo ready; exec sleep 600";
    let web = at.start("web", &[], script);
    let job = at.start("job", &["--pid", "host", "--network", "host"], SLEEP);
    let told = at.sublet(&["ns", "--json"]).json();
    let (one, other) = (named(&told, "web"), named(&told, "job"));
    for kind in ["user", "pid", "mnt", "uts", "ipc", "net", "cgroup"] {
        let namespace = &one["Namespaces"][kind];
        assert_eq!(namespace["Inode"], link(&one["Pid"], kind), "{kind}");
        assert_eq!(namespace["SharedWith"], json!([]), "{kind}");
        let shared = matches!(kind, "pid" | "net");
        let with = if shared { json!(["host"]) } else { json!([]) };
        assert_eq!(other["Namespaces"][kind]["SharedWith"], with, "{kind}");
        assert_eq!(told["Host"]["Namespaces"][kind], link("self", kind));
    }
    // Into a first process of ours nobody may look.
    let below = at.start("init", &["--init"], "echo ready; exec sleep 600");
    let seen = named(&at.sublet(&["ns", "--json"]).json(), "init");
    assert!(seen["Namespaces"]["net"]["Inode"].is_number(), "{seen}");
    assert_eq!(seen["Processes"], json!(1), "the one that can be seen");
    below.signal(libc::SIGKILL);
    below.wait();
    assert_eq!((&one["Processes"], &other["Processes"]), (&json!(2), &json!(1)));
    assert_eq!(one["Id"], json!(at.scratch.container("web")));

    let tree = at.sublet(&["ns", "web"]).ok();
    assert!(tree.starts_with("host\n") && tree.contains("- web  "), "{tree}");
    assert!(!tree.contains("- job  "), "they share nothing: {tree}");
    assert!(tree.is_ascii(), "cron's locale is no UTF-8: {tree}");
    let all = at.sublet(&["ns"]).env("LC_ALL", "C.UTF-8").ok();
    assert!(all.contains("─ job  ") && all.contains("host's    pid net"), "{all}");

    let file = at.scratch.text("ns.svg");
    at.sublet(&["ns", "--svg", &file]).ok();
    let drawn = fs::read_to_string(&file).expect("a picture");
    assert!(drawn.starts_with("<svg ") && drawn.contains(">web</text>"), "{drawn}");
    let printed = at.sublet(&["ns", "--svg", "-", "web"]).ok();
    assert!(printed.contains(">web</text>") && !printed.contains(">job</text>"), "{printed}");
    job.signal(libc::SIGTERM);
    job.wait();
    web.signal(libc::SIGTERM);
    web.wait();
    at.sublet(&["ns", "web"]).refused(&["web does not run"]);
}

/// Two that run in one network, which is the host's for them and for nobody
/// else.
#[test]
fn what_two_containers_share_has_a_number() {
    requires!(unshare);
    let at = At::new();
    let script = "\"$@\" --name web \"$ROOT\" sh -c 'echo one; exec sleep 600' &
        \"$@\" --name db \"$ROOT\" sh -c 'echo two; exec sleep 600' & wait";
    let outer = ["unshare", "--user", "--map-root-user", "--net", "sh", "-ec", script, "sh"];
    let run = Program::run_in(&at.scratch).args(["--userns", "single", "--network", "host"]);
    let mut both = run.under(&outer).env("ROOT", at.root.path()).within(120.0).spawn();
    both.line();
    both.line();
    let known = || (at.names(&[]).len() == 2).then_some(());
    eventually(20.0, known).expect("both run");
    let told = at.sublet(&["ns", "--json"]).json();
    let net = &named(&told, "web")["Namespaces"]["net"];
    assert_eq!(net["SharedWith"], json!(["db"]));
    let shared = told["Shared"].as_array().expect("groups").clone();
    let group = shared.iter().find(|group| group["Inode"] == net["Inode"]).expect("a group");
    assert_eq!(group["Kind"], "net");
    let tree = at.sublet(&["ns", "db"]).ok();
    assert!(tree.contains("shared    net #1") && tree.contains("- web  "), "{tree}");
    let last = tree.lines().last().expect("a legend");
    assert!(last.starts_with("#1 net ") && last.contains("web") && last.contains("db"), "{tree}");
    at.sublet(&["kill", "web", "db"]).ok();
    both.wait();
}

#[test]
fn who_joins_a_network_shares_it() {
    requires!();
    let at = At::new();
    let web = at.start("web", &[], SLEEP);
    let db = at.start("db", &["--network", "container:web"], SLEEP);
    let told = at.sublet(&["ns", "--json", "db"]).json();
    let (one, other) = (named(&told, "web"), named(&told, "db"));
    assert_eq!(one["Namespaces"]["net"]["SharedWith"], json!(["db"]));
    assert_eq!(other["Namespaces"]["net"]["SharedWith"], json!(["web"]));
    assert_eq!(one["Namespaces"]["mnt"]["SharedWith"], json!([]));
    assert_eq!((&one["Processes"], &other["Processes"]), (&json!(1), &json!(1)));
    for running in [db, web] {
        running.signal(libc::SIGTERM);
        running.wait();
    }
}

#[test]
fn one_without_a_record_is_seen_and_one_inside_another_is_in_it() {
    requires!();
    let at = At::new();
    let mark = at.scratch.mark().to_owned();
    let script = "echo ready; exec sleep 600";
    let mut plain = at.run(&["--rm"]).args(["sh", "-c", script, &mark]).spawn();
    assert_eq!(plain.line(), "ready");
    let nested = "unshare -Ur sleep 600 & echo ready; exec sleep 600";
    let web = Program::run_in(&at.scratch).args([
        "--name",
        "web",
        "--nested",
        "--network",
        "none",
        "host",
        "sh",
        "-c",
        nested,
    ]);
    let mut web = web.within(120.0).spawn();
    assert_eq!(web.line(), "ready");
    let seen = eventually(20.0, || {
        let told = at.sublet(&["ns", "--json"]).json();
        let inner = named_if_there(&told, "web")?["InnerUserNamespaces"].as_array()?.clone();
        (inner.len() == 1).then_some((told, inner))
    });
    let (told, inner) = seen.expect("a user namespace inside");
    assert_eq!((&inner[0]["Depth"], &inner[0]["Processes"]), (&json!(1), &json!(1)));
    let all = told["Containers"].as_array().expect("containers");
    let nameless = all.iter().filter(|one| one["Id"].is_null());
    // Other tests have theirs.
    let ours = nameless.filter(|one| {
        let pid = &one["Pid"];
        let root = fs::read_link(format!("/proc/{pid}/cwd"));
        root.is_ok() && parent(pid) == Some(plain.pid())
    });
    assert_eq!(ours.count(), 1, "{told}");
    plain.signal(libc::SIGTERM);
    plain.wait();
    web.signal(libc::SIGKILL);
    web.wait();
}

fn named_if_there(told: &Value, name: &str) -> Option<Value> {
    told["Containers"].as_array()?.iter().find(|one| one["Name"] == name).cloned()
}

/// Field 4 of its stat.
fn parent(pid: &Value) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[test]
fn nothing_typed_reaches_the_terminal_or_the_picture() {
    requires!();
    let at = At::new();
    let program = at.run(&["--name", "web"]).args(["sh", "-c", SLEEP, HOSTILE, "</text><script>"]);
    let mut web = program.within(120.0).spawn();
    assert_eq!(web.line(), "ready");
    eventually(10.0, || (at.names(&[]) == ["web"]).then_some(())).expect("it runs");
    harmless(&at.sublet(&["ns", "web"]).ok());
    let drawn = at.sublet(&["ns", "--svg", "-", "web"]).ok();
    harmless(&drawn);
    assert!(!drawn.contains("<script>"), "{drawn}");
    // Where a container may write, there may be a link of its own.
    let link = at.scratch.join("picture.svg");
    let canary = at.scratch.file("canary", "untouched");
    std::os::unix::fs::symlink(&canary, &link).expect("a link");
    at.sublet(&["ns", "--svg", link.to_str().expect("a path"), "web"]).ok();
    assert_eq!(fs::read_to_string(&canary).expect("read it"), "untouched");
    assert_eq!(fs::read_to_string(&link).expect("a picture").trim_end(), drawn);
    at.sublet(&["ns", "--svg", "/dev/null"]).refused(&["--svg", "not a file"]);
    web.signal(libc::SIGTERM);
    web.wait();
}
