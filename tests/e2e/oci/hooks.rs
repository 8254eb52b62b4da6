//! Programs that the configuration has run.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::bundle::Bundle;
use crate::common::*;

/// A bundle whose hooks append what they are and what they hear to a file.
fn hooked(fields: &[&str], script: &str, timeout: u32) -> Bundle {
    let bundle = Bundle::new(&["sleep", "600"]);
    let hook = bundle.scratch.file("hook", format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("set its mode");
    let one = |field: &str| {
        json!([{
            "path": hook,
            "args": ["hook", field, bundle.scratch.text("said")],
            "env": ["A=b"],
            "timeout": timeout,
        }])
    };
    let hooks: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), one(field))).collect();
    bundle.set("/hooks", hooks.into())
}

/// Its name, the status that it heard and its environment.
const SAY: &str = "status=$(grep -o '\"status\": *\"[a-z]*' | grep -o '[a-z]*$'); \
                   env | grep -v ^PWD= | grep -v ^_= | grep -v ^SHLVL= | grep -v ^OLDPWD= >$2.env; echo $1 $status >>$2";

#[test]
fn hooks_run_at_their_moments_and_hear_the_state() {
    requires!();
    let fields = ["prestart", "createRuntime", "poststart", "poststop"];
    let bundle = hooked(&fields, SAY, 60);
    let said = || fs::read_to_string(bundle.scratch.join("said")).unwrap_or_default();
    bundle.create("web").exits(0);
    assert_eq!(said(), "prestart creating\ncreateRuntime creating\n");
    bundle.oci(&["start", "web"]).ok();
    assert!(said().ends_with("poststart running\n"), "{}", said());
    bundle.oci(&["kill", "web", "KILL"]).ok();
    bundle.stopped("web");
    bundle.oci(&["delete", "web"]).ok();
    assert!(said().ends_with("poststop stopped\n"), "{}", said());
    // Neither the caller's environment nor the container's.
    let env = fs::read_to_string(bundle.scratch.join("said.env")).expect("its environment");
    assert_eq!(env, "A=b\n");
}

#[test]
fn a_hook_that_fails_ends_the_container() {
    requires!();
    let bundle = hooked(&["createRuntime"], "echo no such network >&2; exit 3", 60);
    let done = bundle.create("web");
    done.exits(1).explained(&["hooks.createRuntime", "exit status: 3", "no such network"]);
    assert_eq!(bundle.left(), 0);
    // What they have set up is taken down where something else fails later.
    let bundle = hooked(&["createRuntime", "poststop"], SAY, 60);
    let bundle = bundle.set("/process/args", json!(["no-such-program"]));
    bundle.create("web").exits(1).explained(&["no-such-program"]);
    let said = fs::read_to_string(bundle.scratch.join("said")).expect("what they said");
    assert_eq!(said, "createRuntime creating\npoststop stopped\n");
    // Afterwards it is only said.
    let bundle = hooked(&["poststop"], "exit 3", 60);
    bundle.create("web").exits(0);
    let done = bundle.oci(&["delete", "--force", "web"]);
    assert!(done.code() == 0 && done.stderr.contains("hooks.poststop"), "{}", done.stderr);
    assert_eq!(bundle.left(), 0);
}

#[test]
fn a_hook_takes_no_longer_than_it_may() {
    requires!();
    let bundle = hooked(&["createRuntime"], "exec sleep 600", 1);
    bundle.create("web").exits(1).explained(&["hooks.createRuntime", "timeout"]);
    assert_eq!(bundle.left(), 0);
}

/// A create that is killed takes along what it has made, and leaves the id.
#[test]
fn a_killed_create_leaves_no_process_and_its_id() {
    requires!();
    let bundle = hooked(&["prestart"], "echo here >$2; exec sleep 600", 600);
    let create = bundle.command(&["create", "--bundle", &bundle.path(), "web"]).spawn();
    let here = || bundle.scratch.join("said").exists().then_some(());
    eventually(20.0, here).expect("the hook runs");
    create.signal(libc::SIGKILL);
    create.wait();
    // Output that the child of a killed create held open would not end.
    assert_eq!(bundle.oci(&["list", "-q"]).ok(), "");
    let bundle = bundle.set("/hooks", json!({}));
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
}
