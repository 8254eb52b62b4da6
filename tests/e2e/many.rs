//! A thousand containers at once.

use std::fs;

use crate::common::*;

const MANY: usize = 1000;

/// How many keys and how many bytes of keys the caller has, of the quota that
/// each user has of them: line `UID:` of proc_key-users(5).
fn keys() -> String {
    let of_caller = format!("{}:", caller().0);
    let text = fs::read_to_string("/proc/key-users").expect("the users of keys");
    let line = text.lines().find(|line| line.trim_start().starts_with(&of_caller));
    let quotas = line.unwrap_or_default().split_whitespace().skip(3);
    quotas.collect::<Vec<_>>().join(" ")
}

/// They are all there, each can be entered, none is in the way of another, and
/// none of them leaves anything.
#[test]
fn they_start_are_listed_entered_and_stopped() {
    requires!(real_processors);
    let at = At::new();
    let script =
        format!("trap 'exit 7' TERM; while :; do sleep 600 & wait; done; : {}", at.scratch.mark());
    let before = keys();
    for number in 0..MANY {
        let name = format!("n{number}");
        let options = ["-d", "--name", &name, "--userns", "single", "--network", "none"];
        at.run(&options).args(["sh", "-c", &script]).ok();
    }
    assert_eq!(keys(), before, "they hold no keys of the caller's");
    let running = at.names(&[]);
    assert_eq!(running.len(), MANY);
    for number in (0..MANY).step_by(50) {
        let name = format!("n{number}");
        assert_eq!(at.sublet(&["exec", &name, "hostname"]).ok(), name);
    }
    let told = at.sublet(&["stop", "--all"]).within(300.0).ok();
    assert_eq!(told.lines().count(), MANY);
    let codes = at.sublet(&["ps", "-a", "--format", "{{.ExitCode}}"]).ok();
    assert!(codes.lines().all(|code| code == "7") && codes.lines().count() == MANY);
    at.sublet(&["prune", "--force"]).ok();
    assert!(at.left().is_empty());
    Leaks::of(&at.scratch).none();
}
