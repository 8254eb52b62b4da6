//! `sublet diff`.

use serde_json::json;

use super::{HOSTILE, SLEEP};
use crate::common::*;

#[test]
fn what_was_added_changed_and_deleted() {
    requires!(overlay);
    let at = At::new();
    let files = ["etc/kept", "etc/changed", "etc/touched", "home/gone", "usr/bin/turned"];
    for file in files {
        std::fs::write(at.root.join(file), "before").expect("a file");
    }
    std::fs::create_dir(at.root.join("var/gone")).expect("a directory");
    std::fs::write(at.root.join("var/gone/x"), "").expect("a file");
    let script = "echo more >> /etc/changed; chmod 600 /etc/touched; rm /home/gone; rm -r /var/gone
        mkdir -p /opt/new/deep; echo > /opt/new/deep/file; ln -s x /etc/link; echo > /tmp/volume/x
        rm /usr/bin/turned; mkdir /usr/bin/turned; echo > /usr/bin/turned/in; cat /etc/kept
        echo; echo ready; exec sleep 600";
    let volume = format!("{}:/tmp/volume", at.scratch.dir("volume"));
    let root = format!("{}:O", at.root.text());
    let run = Program::run_in(&at.scratch).args(["--name", "web", "-v", &volume, &root]);
    let mut running = run.args(["sh", "-c", script]).within(120.0).spawn();
    assert_eq!((running.line(), running.line()), ("before".to_owned(), "ready".to_owned()));
    eventually(10.0, || (at.names(&[]) == ["web"]).then_some(())).expect("it runs");
    let told = at.sublet(&["diff", "web"]).ok();
    let expected = [
        "C /etc",
        "C /etc/changed",
        "A /etc/link",
        "C /etc/touched",
        "C /home",
        "D /home/gone",
        "A /opt",
        "A /opt/new",
        "A /opt/new/deep",
        "A /opt/new/deep/file",
        "C /usr",
        "C /usr/bin",
        "C /usr/bin/turned",
        "A /usr/bin/turned/in",
        "C /var",
        "D /var/gone",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected, "{told}");
    let json = at.sublet(&["diff", "--format", "json", "web"]).json();
    assert_eq!(json["deleted"], json!(["/home/gone", "/var/gone"]));
    assert!(json["added"].as_array().is_some_and(|added| added.len() == 6), "{json}");
    running.signal(libc::SIGTERM);
    running.wait();
    let ended = at.sublet(&["diff", "web"]).run();
    ended.exits(1).explained(&["does not run", "in memory"]);
}

/// Owners that are not the caller, directories that only they may enter, and
/// names that are none for a terminal.
#[test]
fn what_belongs_to_others_is_seen_too() {
    requires!(overlay, subuid);
    let at = At::new();
    let script = "mkdir -m 700 /shut; echo > /shut/file; chown 1000:1000 /shut/file /shut
        echo > \"/tmp/$1\"; echo ready; exec sleep 600";
    let root = format!("{}:O", at.root.text());
    let run = Program::run_in(&at.scratch).args(["--name", "web", &root]);
    let name = HOSTILE.replace('/', "");
    let mut running = run.args(["sh", "-c", script, "sh", &name]).within(120.0).spawn();
    assert_eq!(running.line(), "ready");
    eventually(10.0, || (at.names(&[]) == ["web"]).then_some(())).expect("it runs");
    let told = at.sublet(&["diff", "web"]).ok();
    super::harmless(&told);
    assert!(told.contains("A /shut\nA /shut/file\nC /tmp\nA /tmp/\\u{1b}]0;x"), "{told}");
    running.signal(libc::SIGTERM);
    running.wait();
}

#[test]
fn a_root_that_is_written_itself_can_not_tell() {
    requires!();
    let at = At::new();
    let running = at.start("web", &[], SLEEP);
    let told = at.sublet(&["diff", "web"]).run();
    told.exits(1).explained(&["a directory as it is", ":O"]);
    at.sublet(&["diff", "none"]).run().exits(1).explained(&["no container none"]);
    at.sublet(&["diff"]).refused(&["CONTAINER is missing"]);
    running.signal(libc::SIGTERM);
    running.wait();
}
