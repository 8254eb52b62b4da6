//! What is done to containers that run: stop, kill, wait, pause, unpause.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::*;

const SLEEP: &str = "echo ready; exec sleep 600";
const STAYS: &str = "trap '' TERM; echo ready; while :; do sleep 0.1; done";

#[test]
fn what_is_asked_to_end_ends_or_is_killed() {
    requires!();
    let at = At::new();
    let polite = at.start("polite", &[], SLEEP);
    assert_eq!(at.sublet(&["stop", "polite"]).ok(), "polite");
    polite.wait().exits(143);
    assert_eq!(at.inspect("polite")["State"]["ExitCode"], 143);

    let traps = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    let mut tidy = at.start("tidy", &["--rm"], traps);
    let stubborn = at.start("stubborn", &[], STAYS);
    let time = patience(2.0).as_secs().to_string();
    assert_eq!(at.sublet(&["stop", "-t", &time, "tidy", "stubborn"]).ok(), "tidy\nstubborn");
    assert_eq!(tidy.line(), "bye");
    tidy.wait().exits(3);
    stubborn.wait().exits(137);
    // It is stopped, which is what was wanted.
    assert_eq!(at.sublet(&["stop", "stubborn"]).ok(), "stubborn");
    at.sublet(&["stop", "tidy"]).run().exits(1).explained(&["no container tidy"]);
    at.sublet(&["stop"]).refused(&["CONTAINER is missing", "sublet ps"]);
}

/// Nothing would be left of it to be started again: it is not even stopped.
#[test]
fn one_that_goes_with_its_end_is_not_restarted() {
    requires!();
    let at = At::new();
    let running = at.start("web", &["--rm"], SLEEP);
    let refused = at.sublet(&["restart", "-t", "0", "web"]).run();
    refused.exits(1).explained(&["removed as soon as it ends", "sublet stop web"]);
    assert_eq!(at.inspect("web")["State"]["Status"], "running");
    at.sublet(&["stop", "web"]).ok();
    running.wait().exits(143);
}

/// Whoever comes first: what is not there is told by the code for that.
#[test]
fn one_that_is_removed_while_it_is_started_is_not_there() {
    requires!();
    let at = At::new();
    let sleeps = ["sh", "-c", SLEEP];
    for _ in 0..races().min(20) {
        at.sublet(&["create", "--name", "web", at.root.text()]).args(sleeps).ok();
        let starts = at.sublet(&["start", "web"]).spawn();
        at.sublet(&["rm", "-f", "web"]).run();
        let started = starts.wait();
        if started.stderr.contains("there is no container") {
            started.exits(1);
        }
        at.sublet(&["rm", "-f", "-i", "web"]).run();
    }
}

/// Nobody is there to hear what it is asked.
#[test]
fn a_stopped_launcher_keeps_nothing_alive() {
    requires!();
    let at = At::new();
    let running = at.start("web", &[], SLEEP);
    running.signal(libc::SIGSTOP);
    assert_eq!(at.sublet(&["stop", "-t", "0", "web"]).within(120.0).ok(), "web");
    assert_eq!(running.wait().status.code(), None, "it was killed too");
    assert_eq!(at.inspect("web")["State"]["Status"], "supervisor-lost");
}

/// What it is asked it hears when it goes on, which it does not.
#[test]
fn a_payload_that_a_signal_has_stopped_is_ended() {
    requires!();
    let at = At::new();
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done";
    let running = at.start("web", &[], script);
    at.sublet(&["kill", "-s", "STOP", "web"]).ok();
    let stat = format!("/proc/{}/stat", at.payload("web"));
    let stands = || fs::read_to_string(&stat).ok()?.contains(") T ").then_some(());
    eventually(10.0, stands).expect("it stands still");
    assert_eq!(at.sublet(&["stop", "-t", "1", "web"]).ok(), "web");
    running.wait().exits(137);
    assert_eq!(at.inspect("web")["State"]["Status"], "exited");
}

#[test]
fn signals_reach_the_payload() {
    requires!();
    let at = At::new();
    let script = "trap 'echo usr1' USR1; trap 'echo rt' RTMIN+1; echo ready; \
                  while :; do sleep 0.1; done";
    let mut running = at.start("web", &[], script);
    assert_eq!(at.sublet(&["kill", "-s", "SIGUSR1", "web"]).ok(), "web");
    assert_eq!(running.line(), "usr1");
    // Stopped, it hears nothing until it goes on.
    at.sublet(&["kill", "-s", "STOP", "web"]).ok();
    at.sublet(&["kill", "-s", "10", "web"]).ok();
    at.sublet(&["kill", "-s", "CONT", "web"]).ok();
    assert_eq!(running.line(), "usr1");
    let id = at.scratch.container("web");
    assert_eq!(at.sublet(&["kill", &id[..12]]).ok(), id[..12]);
    running.wait().exits(137);
    at.sublet(&["kill", "web"]).run().exits(1).explained(&["container web is not running"]);
    at.sublet(&["kill", "-s", "FROB", "web"]).refused(&["--signal \"FROB\"", "no signal"]);
}

#[test]
fn an_end_is_waited_for() {
    requires!();
    let at = At::new();
    let web = at.start("web", &[], "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done");
    let gone = at.start("gone", &["--rm"], SLEEP);
    let lost = at.start("lost", &[], SLEEP);
    let waits = at.sublet(&["wait", "web", "lost"]).spawn();
    let waits_in_vain = at.sublet(&["wait", "gone"]).spawn();
    web.signal(libc::SIGTERM);
    lost.signal(libc::SIGKILL);
    web.wait().exits(7);
    let told = waits.wait();
    assert_eq!(told.exits(0).stdout().trim_end(), "7\n-1");
    at.sublet(&["stop", "gone"]).ok();
    gone.wait().exits(143);
    let told = waits_in_vain.wait();
    // It may have been looked for after its end.
    assert_eq!(told.code(), 1, "{}", told.stderr);
    lost.wait();
}

#[test]
fn a_paused_container_stands_still_and_can_be_stopped() {
    requires!(user_manager);
    let at = At::new();
    let count = at.scratch.join("count");
    fs::create_dir(&count).unwrap();
    let script = "echo ready; i=0; while :; do i=$((i+1)); echo $i > /count/now; done";
    let volume = format!("{}:/count", count.display());
    let options = ["--pids-limit", "50", "-v", &volume];
    let running = at.start("web", &options, script);
    let now = || fs::read_to_string(count.join("now")).unwrap_or_default();
    let goes_on = || {
        let before = now();
        eventually(10.0, || (now() != before).then_some(())).is_some()
    };
    assert!(goes_on());

    assert_eq!(at.sublet(&["pause", "web"]).ok(), "web");
    let before = now();
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        assert_eq!(now(), before, "it goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(at.inspect("web")["State"]["Status"], "paused");
    assert_eq!(at.inspect("web")["State"]["Paused"], json!(true));
    assert_eq!(at.names(&["--filter", "status=paused"]), ["web"]);
    let listed = at.sublet(&["ps"]).ok();
    assert!(listed.contains("(Paused)"), "{listed}");
    at.sublet(&["pause", "web"]).run().exits(1).explained(&["is paused already"]);

    assert_eq!(at.sublet(&["unpause", "web"]).ok(), "web");
    assert!(goes_on());
    at.sublet(&["unpause", "web"]).run().exits(1).explained(&["is not paused"]);

    at.sublet(&["pause", "web"]).ok();
    assert_eq!(at.sublet(&["stop", "web"]).ok(), "web");
    running.wait().exits(143);

    let bare = at.start("bare", &["--cgroups", "disabled"], SLEEP);
    let told = at.sublet(&["pause", "bare"]).run();
    told.exits(1).explained(&["no control group of its own", "--cgroups require"]);
    drop(bare);
}
