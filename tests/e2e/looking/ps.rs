//! What `ps` and `inspect` tell, and which containers verbs are about.

use serde_json::{Value, json};

use super::{HOSTILE, SLEEP, harmless};
use crate::common::*;

#[test]
fn lists_have_an_order_and_may_go_without_titles() {
    requires!();
    let at = At::new();
    for name in ["b", "c", "a"] {
        at.run(&["--name", name]).arg("true").ok();
    }
    assert_eq!(at.names(&["-a", "--sort", "names"]), ["a", "b", "c"]);
    assert_eq!(at.names(&["-a", "--sort", "created"]), ["b", "c", "a"]);
    let bare = at.sublet(&["ps", "-a", "--noheading"]).ok();
    assert_eq!(bare.lines().count(), 3, "{bare}");
    let bare = at.sublet(&["ps", "-a", "--noheading", "--format", "table {{.Names}}"]).ok();
    assert_eq!(bare, "a\nc\nb");
    assert_eq!(at.names(&["-a", "--filter", "until=1h"]), [""; 0]);
    let mut watch = at.sublet(&["ps", "-a", "--watch", "1", "--format", "{{.Names}}"]).spawn();
    let told: Vec<String> = (0..6).map(|_| watch.line()).collect();
    assert_eq!(told, ["a", "c", "b", "a", "c", "b"]);
    watch.signal(libc::SIGINT);
    watch.wait().exits(0);
    at.sublet(&["ps", "-s"]).refused(&["no container takes room on a disk", "sublet stats"]);
    at.sublet(&["ps", "--sort", "frob"]).run().exits(125);
}

#[test]
fn inspect_has_the_paths_that_scripts_read() {
    requires!();
    let at = At::new();
    let volume = format!("{}:/data:ro", at.scratch.dir("data"));
    let options = ["--name", "web", "-v", &volume, "-e", "A=b c", "-w", "/tmp", "-u", "0:0"];
    at.run(&options).args(["sh", "-c", "exit 3"]).run().exits(3);
    let told = at.sublet(&["inspect", "web"]).json()[0].take();
    assert_eq!(told["Mounts"][0]["Destination"], "/data");
    assert_eq!(
        (&told["Mounts"][0]["RW"], &told["Mounts"][0]["Type"]),
        (&json!(false), &json!("bind"))
    );
    for (field, value) in [
        ("{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}", "exited 3 false"),
        ("{{.Config.WorkingDir}} {{.Config.User}} {{.Config.Hostname}}", "/tmp 0:0 web"),
        ("{{.HostConfig.NetworkMode}}", "none"),
        ("{{.HostConfig.Privileged}} {{.HostConfig.ReadonlyRootfs}}", "false false"),
        ("{{json .Config.Cmd}}", r#"["sh","-c","exit 3"]"#),
        ("{{json .NetworkSettings.Ports}}", "{}"),
    ] {
        let options = ["inspect", "-f", field, "web"];
        let told = at.sublet(&options).ok();
        assert_eq!(told, value, "{field}");
    }
    let env = told["Config"]["Env"].as_array().expect("variables");
    assert!(env.contains(&json!("A=b c")), "{told}");
    let latest: Value = at.sublet(&["inspect", "--latest"]).json();
    assert_eq!(latest[0]["Name"], "web");
    at.sublet(&["inspect", "--type", "image", "web"]).refused(&["only containers"]);
}

#[test]
fn verbs_are_about_all_or_the_newest_or_those_that_pass() {
    requires!();
    let at = At::new();
    let file = at.scratch.text("id");
    let one = at.start("one", &["--label", "tier=test", "--cidfile", &file], SLEEP);
    let two = at.start("two", &["--label", "tier=test"], SLEEP);
    let three = at.start("three", &[], SLEEP);
    assert_eq!(at.sublet(&["wait", "--condition", "running", "one"]).ok(), "-1");
    assert_eq!(at.sublet(&["stop", "--latest"]).ok(), "three");
    three.wait().exits(143);
    let id = at.scratch.container("one");
    assert_eq!(at.sublet(&["kill", "-s", "TERM", "--cidfile", &file]).ok(), id);
    one.wait().exits(143);
    assert_eq!(at.sublet(&["stop", "-a", "--filter", "label=tier=test"]).ok(), "two");
    two.wait().exits(143);
    assert_eq!(at.sublet(&["stop", "-a"]).ok(), "", "none runs");
    assert_eq!(at.sublet(&["rm", "-i", "none", "one"]).ok(), "one");
    assert_eq!(at.sublet(&["wait", "--ignore", "none", "two"]).ok(), "143");
    at.sublet(&["stop", "-a", "two"]).refused(&["--all", "one is enough"]);
    at.sublet(&["stop", "-a", "-l"]).refused(&["--all and --latest"]);
    at.sublet(&["wait", "--condition", "frob", "two"]).refused(&["not a condition", "paused"]);
    let never = at.sublet(&["wait", "--condition", "paused", "two"]).run();
    never.exits(1).explained(&["has ended", "--condition exited"]);
    let last = at.start("last", &[], SLEEP);
    at.sublet(&["rm", "-a"]).run().exits(1).explained(&["container last is running"]);
    assert_eq!(at.left().len(), 1);
    at.sublet(&["rm", "-af"]).ok();
    last.wait().exits(137);
    assert!(at.left().is_empty(), "{:?}", at.left());
}

#[test]
fn one_that_is_about_to_be_started_again_is_found() {
    requires!();
    let at = At::new();
    let words = ["-d", "--name", "web", "--restart", "always"];
    at.run(&words).args(["sh", "-c", "exit 3"]).ok();
    let waits = ["wait", "--condition", "restarting", "--interval", "5ms", "web"];
    assert_eq!(at.sublet(&waits).ok(), "3");
    let found = || (at.names(&["--filter", "status=restarting"]) == ["web"]).then_some(());
    eventually(30.0, found).expect("it is restarting");
    at.sublet(&["rm", "-f", "web"]).ok();
}

/// Longer than a width that Rust knows.
#[test]
fn a_command_line_may_be_long() {
    requires!();
    let at = At::new();
    let long = "A".repeat(70_000);
    let stays = ["sh", "-c", "echo ready; while :; do sleep 0.1; done", &long];
    let mut web = at.run(&["--name", "web"]).args(stays).within(120.0).spawn();
    assert_eq!(web.line(), "ready");
    eventually(10.0, || (at.names(&[]) == ["web"]).then_some(())).expect("it runs");
    assert!(at.sublet(&["top", "web"]).ok().contains(&long));
    at.sublet(&["kill", "web"]).ok();
    web.wait();
}

#[test]
fn a_stop_may_begin_with_another_signal() {
    requires!();
    let at = At::new();
    let script = "trap 'exit 4' INT; trap '' TERM; echo ready; while :; do sleep 0.1; done";
    let running = at.start("web", &[], script);
    at.sublet(&["stop", "--signal", "INT", "web"]).ok();
    running.wait().exits(4);
}

/// In a command, in a label, in a root: everywhere that it is shown to people.
#[test]
fn nothing_typed_reaches_the_terminal() {
    requires!();
    let at = At::new();
    let label = format!("x={HOSTILE}");
    at.run(&["--name", "web", "--label", &label]).args(["echo", HOSTILE]).ok();
    harmless(&at.sublet(&["ps", "-a", "--no-trunc"]).ok());
    let fields = ["ps", "-a", "--format", "table {{.Command}}\\t{{.Labels}}"];
    harmless(&at.sublet(&fields).ok());
    harmless(&at.sublet(&["inspect", "web"]).ok());
    harmless(&at.sublet(&["stats", "--all", "--no-stream"]).ok());
}
