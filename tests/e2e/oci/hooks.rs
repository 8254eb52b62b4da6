//! Programs that the configuration has run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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
    let fields = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let bundle = hooked(&fields, SAY, 60);
    let said = || fs::read_to_string(bundle.scratch.join("said")).unwrap_or_default();
    bundle.create("web").exits(0);
    assert_eq!(said(), "prestart creating\ncreateRuntime creating\ncreateContainer creating\n");
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

/// The end of the way to it is no start.
#[test]
fn one_that_is_killed_while_it_is_made_is_not_made() {
    requires!();
    let bundle = hooked(&["createContainer"], "kill -KILL $PPID; exec sleep 600", 60);
    let bundle = bundle.set("/linux/namespaces", json!([{"type": "user"}, {"type": "mount"}]));
    bundle.create("web").exits(1).explained(&["killed while it was started"]);
    assert_eq!(bundle.left(), 0);
}

/// Where the container's root is the host's, nothing can be mounted at it for
/// them: the container would not get out of that.
#[test]
fn hooks_do_not_keep_the_hosts_root_from_being_the_containers() {
    requires!();
    let bundle = hooked(&["createRuntime", "createContainer"], SAY, 60);
    let bundle = bundle.set("/root", json!({"path": "/", "readonly": true}));
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
    let said = fs::read_to_string(bundle.scratch.join("said")).expect("what they said");
    assert_eq!(said, "createRuntime creating\ncreateContainer creating\n");
}

/// Runs these as the caller, in the root's own busybox.
fn shell(script: &str) -> Value {
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"], "timeout": 60}])
}

/// What the process that says it may, and where it is.
const RIGHTS: &str = "grep -E '^(Cap|NoNewPrivs:|Seccomp:|Uid:|Gid:|Groups:)' /proc/self/status; \
                      for kind in user mnt pid net ipc uts; do readlink /proc/self/ns/$kind; done; \
                      umask; pwd; ls /bin/sh; mkdir /no 2>&1";

/// What runs inside before the payload may no more than that, and has nothing of
/// the host's.
#[test]
fn a_hook_at_the_start_is_confined_as_the_program_is() {
    requires!();
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    });
    let sets =
        json!({"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]});
    for no_new in [true, false] {
        let own = format!("({RIGHTS}) >/own; echo $$ >/pid; exec sleep 600");
        let hook = format!("({RIGHTS}) >/hook; cat >/state; ls -l /proc/self/fd >/open; env >/env");
        let bundle = Bundle::new(&["sh", "-c", &own])
            .set("/linux/seccomp", filter.clone())
            .set("/process/noNewPrivileges", json!(no_new))
            .set("/process/capabilities", sets.clone())
            .set("/process/cwd", json!("/etc"))
            .set("/process/user", json!({"uid": 0, "gid": 0, "umask": 0o27}))
            .set("/hooks", json!({"startContainer": shell(&hook)}));
        bundle.create("web").exits(0);
        assert!(!bundle.root.join("hook").exists(), "it has not started");
        bundle.oci(&["start", "web"]).ok();
        let read = |name: &str| fs::read_to_string(bundle.root.join(name)).ok();
        eventually(20.0, || read("pid").filter(|pid| !pid.is_empty())).expect("the program runs");
        let hook = read("hook").expect("what the hook may");
        assert_eq!(Some(&hook), read("own").as_ref(), "no new privileges: {no_new}");
        assert!(hook.contains("Seccomp:\t2") && hook.contains("not supported"), "{hook}");
        // The state is what the specification says, with the pid of inside.
        let state: Value = serde_json::from_str(&read("state").expect("a state")).expect("JSON");
        assert_eq!((&state["status"], &state["pid"]), (&json!("created"), &json!(1)));
        assert_eq!((&state["id"], &state["bundle"]), (&json!("web"), &json!(bundle.path())));
        // Standard streams, none of them the caller's.
        let open = read("open").expect("what is open");
        let open: Vec<_> = open.lines().filter_map(|line| line.split(" -> ").nth(1)).collect();
        assert_eq!(open.len(), 3, "{open:?}");
        assert!(open[0].contains("memfd:state") && open[2].contains("memfd:words"), "{open:?}");
        let env = read("env").expect("its environment");
        let shells = ["PATH=/bin", "PWD=/etc", "SHLVL=1", "_=/bin/env", "OLDPWD=/etc"];
        assert!(env.lines().all(|line| shells.contains(&line)), "{env}");
    }
}

/// The state is for all hooks: none of them changes what the next one hears.
#[test]
fn hooks_at_the_start_hear_the_same() {
    requires!();
    let one = |number: u32| {
        let script = format!("echo x >&0; cat >/state{number}; echo words{number} >&2");
        shell(&script)[0].clone()
    };
    let failing = shell("exit 4")[0].clone();
    let bundle = Bundle::new(&["touch", "/ran"]);
    let bundle = bundle.set("/hooks", json!({"startContainer": [one(1), one(2), failing]}));
    bundle.create("web").exits(0);
    let done = bundle.oci(&["start", "web"]);
    done.exits(1).explained(&["hooks.startContainer", "exit status: 4"]);
    assert!(!done.stderr.contains("words"), "others' words: {}", done.stderr);
    let read = |name: &str| fs::read_to_string(bundle.root.join(name)).expect(name);
    assert!(read("state1").starts_with('{') && read("state1") == read("state2"));
}

#[test]
fn a_hook_that_fails_at_the_start_keeps_the_program_from_running() {
    requires!();
    let here = |script: &str| json!({"startContainer": shell(script)});
    let slow = json!({"startContainer": [
        {"path": "/bin/sleep", "args": ["sleep", "600"], "timeout": 1},
    ]});
    for (hooks, words) in [
        (here("echo no such network >&2; exit 3"), &["exit status: 3", "no such network"][..]),
        (here("kill -9 $$"), &["signal 9"]),
        (slow, &["/bin/sleep", "timeout"]),
        (json!({"startContainer": [{"path": "/none"}]}), &["/none", "No such file"]),
    ] {
        let bundle = Bundle::new(&["touch", "/ran"]).set("/hooks", hooks);
        bundle.create("web").exits(0);
        let done = bundle.oci(&["start", "web"]);
        done.exits(1).explained(&["hooks.startContainer"]).explained(words);
        // Who hears of it may delete it at once.
        assert_eq!(bundle.state("web")["status"], "stopped");
        assert!(!bundle.root.join("ran").exists());
        bundle.oci(&["delete", "web"]).ok();
        assert_eq!(bundle.left(), 0);
        let done = bundle.oci(&["run", "--bundle", &bundle.path(), "web"]);
        done.exits(1).explained(words);
        assert_eq!(bundle.left(), 0);
    }
}

/// Who waits for it has a copy of the launcher's memory, and with it the
/// caller's environment: no right inside lets the container's hook look there.
#[test]
fn a_hook_at_the_start_can_not_look_into_who_has_started_it() {
    requires!();
    let script = "for file in environ maps; do cat /proc/1/$file; done >/seen 2>/dev/null; \
                  ls /proc/1/fd >>/seen 2>/dev/null; ls /proc/1/root/ >>/seen 2>/dev/null; \
                  readlink /proc/1/exe >>/seen; grep ^Name: /proc/1/status >/there";
    let names = ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"];
    let sets = json!({"bounding": names, "effective": names, "permitted": names});
    let bundle = Bundle::new(&["sleep", "600"])
        .set("/process/capabilities", sets)
        .set("/hooks", json!({"startContainer": shell(script)}));
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
    let read = |name: &str| fs::read_to_string(bundle.root.join(name)).expect(name);
    assert!(read("there").starts_with("Name:"), "it is process 1");
    assert_eq!(read("seen"), "");
}

/// Whoever has begun it is to hear how it went; nobody else would.
#[test]
fn a_start_that_is_killed_during_its_hooks_ends_the_container() {
    requires!();
    let bundle = Bundle::new(&["touch", "/ran"])
        .set("/hooks", json!({"startContainer": shell("touch /here; exec sleep 600")}));
    bundle.create("web").exits(0);
    let start = bundle.command(&["start", "web"]).spawn();
    eventually(20.0, || bundle.root.join("here").exists().then_some(())).expect("the hook runs");
    start.signal(libc::SIGKILL);
    start.wait();
    bundle.stopped("web");
    assert!(!bundle.root.join("ran").exists());
    bundle.oci(&["delete", "web"]).ok();
}

/// A program of the host's, in the container's namespaces, before it has its
/// root: where that is from, it finds it with all that is mounted.
#[test]
fn a_hook_before_the_root_sees_the_container_and_the_host() {
    requires!();
    let script = "cat >$2.state; umask >$2.umask; readlink /proc/self/ns/net >$2.net; \
                  ls -l /proc/self/fd >$2.open; \
                  cd $3 || exit 5; ls proc/self/status dev/pts/ptmx >$2.mounts || exit 6; \
                  ./bin/busybox mount -t tmpfs tmpfs mnt && echo made >mnt/made";
    let bundle = hooked(&["createContainer"], script, 60);
    let bundle = bundle
        .set("/process/args", json!(["sh", "-c", "cat /mnt/made; readlink /proc/self/ns/net"]));
    bundle.scratch.dir(&format!("{}/mnt", bundle.root.text()));
    // The third word is the root.
    let root = json!(bundle.root.text());
    let bundle = bundle.push("/hooks/createContainer/0/args", root);
    let told = bundle.oci(&["run", "--keep", "--bundle", &bundle.path(), "web"]).ok();
    let read = |name: &str| fs::read_to_string(bundle.scratch.join(name)).expect(name);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines, ["made", read("said.net").trim()]);
    assert!(!bundle.root.join("mnt/made").exists(), "the host has seen it");
    assert_eq!(read("said.umask").trim(), "0022");
    let state: Value = serde_json::from_str(&read("said.state")).expect("JSON");
    assert_eq!((&state["status"], &state["pid"]), (&json!("creating"), &json!(1)));
    let open = read("said.open");
    let open: Vec<_> = open.lines().filter_map(|line| line.split(" -> ").nth(1)).collect();
    assert!(open.len() == 4 && open[0].contains("memfd:state"), "{open:?}");
}

#[test]
fn a_hook_that_fails_before_the_root_leaves_nothing() {
    requires!();
    let bundle = hooked(&["createContainer"], "echo no such device >&2; exit 3", 60);
    let done = bundle.create("web");
    done.exits(1).explained(&["hooks.createContainer", "exit status: 3", "no such device"]);
    assert_eq!(bundle.left(), 0);
    let bundle = hooked(&["createContainer"], "exec sleep 600", 1);
    bundle.create("web").exits(1).explained(&["hooks.createContainer", "timeout"]);
    assert_eq!(bundle.left(), 0);
    // What others have set up is taken down.
    let bundle = hooked(
        &["createRuntime", "createContainer", "poststop"],
        "echo $1 >>$2; test $1 != createContainer",
        60,
    );
    bundle.create("web").exits(1);
    let said = fs::read_to_string(bundle.scratch.join("said")).expect("what they said");
    assert_eq!(said, "createRuntime\ncreateContainer\npoststop\n");
}

/// A create that is killed takes along what it has made, and leaves the id.
#[test]
fn a_killed_create_leaves_no_process_and_its_id() {
    requires!();
    for field in ["prestart", "createContainer"] {
        killed_during(field);
    }
}

fn killed_during(field: &str) {
    let bundle = hooked(&[field], "echo here >$2; exec sleep 600", 600);
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

/// What is wrong is said last, whatever was said before.
#[test]
fn a_hook_that_says_much_is_heard_to_its_end() {
    requires!();
    let script = "yes much | head -5000; echo the reason >&2; exit 1";
    for field in ["createContainer", "startContainer"] {
        let bundle = Bundle::new(&["true"]).set("/hooks", json!({ field: shell(script) }));
        let done = bundle.oci(&["run", "--bundle", &bundle.path(), "web"]);
        done.exits(1).explained(&[field, "the reason"]);
        assert!(done.stderr.len() < 6000, "{}", done.stderr.len());
    }
}

/// A hook that hangs is no reason to be deaf.
#[test]
fn who_gives_up_is_heard_while_a_hook_runs() {
    requires!();
    for (field, verb, signal) in [
        ("prestart", "create", libc::SIGTERM),
        ("createContainer", "create", libc::SIGTERM),
        ("createRuntime", "run", libc::SIGINT),
        ("startContainer", "run", libc::SIGTERM),
        ("poststart", "run", libc::SIGHUP),
    ] {
        let bundle = Bundle::new(&["sleep", "600"]);
        let (inside, outside) = (bundle.root.join("started"), bundle.scratch.join("started"));
        let (started, path) = match field {
            "startContainer" => (inside, "/started".to_owned()),
            _ => (outside, bundle.scratch.text("started")),
        };
        let hook = shell(&format!("echo $$ >{path}; exec sleep 600"));
        let bundle = bundle.set("/hooks", json!({ field: hook }));
        let path = bundle.path();
        let running = bundle.command(&[verb, "--bundle", &path, "web"]).spawn();
        let begun = || fs::read_to_string(&started).ok().filter(|it| it.ends_with('\n'));
        let pid = eventually(20.0, begun).expect("the hook runs");
        running.signal(signal);
        let name = nix::sys::signal::Signal::try_from(signal).expect("a signal").as_str();
        running.wait().exits(1).explained(&["stopped by", name]);
        assert_eq!(bundle.left(), 0, "{field}");
        // The others' pids are those of inside.
        if ["prestart", "createRuntime", "poststart"].contains(&field) {
            assert!(!Path::new("/proc").join(pid.trim()).exists(), "{field}");
        }
    }
}
