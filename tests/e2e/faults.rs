//! What may befall a container in the background, and its record and log.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::common::processes::{children, end, is_gone, parent};
use crate::common::program::Done;
use crate::common::*;

/// A container called `web` in the background, that has said `ready`.
fn start(at: &At, options: &[&str], script: &str) {
    at.run(&[&["-d", "--name", "web"], options].concat()).args(["sh", "-c", script]).ok();
    let ready = || at.sublet(&["logs", "web"]).ok().contains("ready").then_some(());
    eventually(30.0, ready).expect("it is ready");
}

fn status(at: &At) -> String {
    let listed = ["ps", "-a", "--format", "{{.State}}", "-f", "name=^web$"];
    at.sublet(&listed).ok()
}

#[track_caller]
fn becomes(at: &At, status: &str) {
    let is = || (self::status(at) == status).then_some(());
    eventually(30.0, is).unwrap_or_else(|| panic!("it is {}, not {status}", self::status(at)));
}

fn file(at: &At, name: &str) -> PathBuf {
    at.scratch.join("run/sublet").join(at.scratch.container("web")).join(name)
}

/// How often what takes long is tried.
fn some() -> usize {
    races().div_ceil(30)
}

/// The watcher is replaced, and the next one does the same.
#[test]
fn a_killed_watcher_is_replaced() {
    requires!();
    let at = At::new();
    let script = format!("trap '' TERM; echo ready; sleep 600; : {}", at.scratch.mark());
    start(&at, &[], &script);
    let payload = at.payload("web");
    let supervisor = parent(payload);
    for _ in 0..3 {
        let others = || -> Option<u32> {
            let others = children(supervisor).into_iter().filter(|child| *child != payload);
            let [other] = others.collect::<Vec<_>>()[..] else { return None };
            Some(other)
        };
        let watcher = eventually(10.0, others).expect("one watcher beside the payload");
        end(watcher);
        let another = || others().filter(|other| *other != watcher);
        eventually(10.0, another).expect("another watcher");
    }
    assert_eq!(status(&at), "running");
    end(supervisor);
    eventually(10.0, || is_gone(payload).then_some(())).expect("the payload is killed");
    becomes(&at, "supervisor-lost");
    at.sublet(&["rm", "web"]).ok();
    Leaks::of(&at.scratch).none();
}

/// Has all of them at once, another one first at each attempt: what became of
/// each.
fn race<'a>(at: &At, verbs: &'a [&'a [&'a str]], attempt: usize) -> Vec<(&'a [&'a str], Done)> {
    let mut verbs = verbs.to_vec();
    let length = verbs.len();
    verbs.rotate_left(attempt % length);
    let racing: Vec<_> = verbs.iter().map(|verb| at.sublet(verb).spawn()).collect();
    verbs.into_iter().zip(racing).map(|(verb, racing)| (verb, racing.wait())).collect()
}

/// Who starts, stops and removes the same one at once gets his way or is told
/// why not, and it is whole afterwards.
#[test]
fn verbs_race_for_one() {
    requires!();
    let at = At::new();
    let script = format!("echo ready; sleep 600; : {}", at.scratch.mark());
    for attempt in 0..some() {
        start(&at, &["--restart", "on-failure"], &script);
        let verbs: &[&[&str]] = &[
            &["stop", "-t", "0", "web"],
            &["start", "web"],
            &["restart", "-t", "0", "web"],
            &["kill", "web"],
            &["start", "web"],
        ];
        for (verb, done) in race(&at, verbs, attempt) {
            if done.code() != 0 {
                done.explained(&["container"]);
            }
            assert!([0, 1, 125].contains(&done.code()), "{verb:?}: {}", done.stderr);
        }
        let state = status(&at);
        assert!(["running", "exited", "restarting"].contains(&state.as_str()), "{state}");
        let removers = [(); 3].map(|()| at.sublet(&["rm", "-f", "web"]).spawn());
        for remover in removers {
            remover.wait().exits(0);
        }
        assert!(at.left().is_empty(), "{:?}", at.left());
        Leaks::of(&at.scratch).none();
    }
}

/// Who removes it by force has it gone, whoever starts it beside him.
#[test]
fn one_is_removed_whoever_starts_it() {
    requires!();
    let at = At::new();
    let script = format!("sleep 600; : {}", at.scratch.mark());
    for attempt in 0..some() {
        let create = at.sublet(&["create", "--name", "web"]).arg(at.root.path());
        create.args(["sh", "-c", &script]).ok();
        let verbs: &[&[&str]] = &[
            &["start", "web"],
            &["rm", "-f", "web"],
            &["stop", "-t", "0", "web"],
            &["start", "web"],
        ];
        for (verb, done) in race(&at, verbs, attempt) {
            match verb[0] {
                "rm" => _ = done.exits(0),
                _ => assert!([0, 1, 125].contains(&done.code()), "{verb:?}: {}", done.stderr),
            }
        }
        assert!(at.left().is_empty(), "{:?}", at.left());
        Leaks::of(&at.scratch).none();
    }
}

/// What finds no room is told, once there is room, and the payload waits for
/// none of it.
#[test]
fn a_full_disk_takes_the_log_and_nothing_else() {
    requires!(unshare);
    let at = At::new();
    let script = "mount -t tmpfs -o mode=700,size=64k none \"$XDG_STATE_HOME\"
        sublet=$1 root=$2; mkfifo go told
        \"$sublet\" run -d --userns single --network none --name web -v \"$PWD:/mnt\" \"$root\" \\
            sh -c 'echo before; read -r _ < /mnt/go
                head -c 300000 /dev/zero | tr \"\\000\" x; echo; echo > /mnt/told
                read -r _ < /mnt/go; echo after; exit 7' > id
        until \"$sublet\" logs web | grep -q before; do sleep 0.1; done
        cat /dev/zero > \"$XDG_STATE_HOME/fill\" 2>/dev/null || true
        echo > go; read -r _ < told
        rm \"$XDG_STATE_HOME/fill\"; echo > go
        \"$sublet\" wait web; \"$sublet\" logs web 2>&1; \"$sublet\" rm web";
    let directory = at.scratch.dir("work");
    let program = Program::new(launcher()).at_home(&at.scratch).arg(at.root.path());
    let program = program.inside_namespaces(script).env("XDG_STATE_HOME", at.scratch.dir("state"));
    let said = program.directory(&directory).within(120.0).run().ok();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[..2], ["7", "before"], "{said}");
    // A line that says so may find room where the rest does not.
    let told = lines.iter().filter_map(|line| {
        line.split_once("[sublet: ")?.1.strip_suffix(" bytes of output found no room here]")
    });
    let lost: usize = told.map(|lost| lost.parse::<usize>().expect("a number")).sum();
    let kept = said.matches('x').count();
    assert!(lost > 200_000 && lost + kept >= 300_000, "{lost} lost and {kept} kept");
    assert_eq!(lines[lines.len() - 2..], ["after", "web"], "{said}");
    Leaks::of(&at.scratch).none();
}

/// Nothing is missing where one file ends and the next begins.
#[test]
fn a_log_of_many_files_is_whole() {
    requires!();
    let at = At::new();
    let options = ["--log-opt", "max-size=64k", "--log-opt", "max-file=100"];
    start(&at, &options, "echo ready; seq 1 40000");
    becomes(&at, "exited");
    let logs = fs::read_dir(at.scratch.join("state/sublet/logs")).expect("its logs").count();
    assert!(logs > 20, "{logs} files");
    let said = at.sublet(&["logs", "web"]).ok();
    let numbers = std::iter::once("ready".to_owned()).chain((1..=40_000).map(|it| it.to_string()));
    assert!(said.lines().eq(numbers), "{} lines", said.lines().count());
    let last = at.sublet(&["logs", "-n", "2", "web"]).ok();
    assert_eq!(last, "39999\n40000");
}

/// Half a record is none: there is the one before. Nobody is told to remove
/// anything by hand.
#[test]
fn records_are_cut_off() {
    requires!();
    let at = At::new();
    for (name, part) in [("record.json", 2), ("record.json", 0), ("spec.json", 2), ("spec.json", 0)]
    {
        start(&at, &[], "echo ready; exit 3");
        becomes(&at, "exited");
        let path = file(&at, name);
        let whole = fs::read(&path).expect("it");
        fs::write(&path, &whole[..whole.len().checked_div(part).unwrap_or(0)]).expect("cut it");
        // Of the end there is no word where the last record is gone.
        let known = at.inspect("web")["State"]["ExitCode"].clone();
        let lost = name == "record.json";
        assert_eq!(known, if lost { json!(null) } else { json!(3) }, "{name}");
        let again = at.sublet(&["start", "web"]).run();
        match lost {
            true => assert_eq!(again.ok(), "web"),
            false => _ = again.exits(125).explained(&["what was asked for", "web"]),
        }
        at.sublet(&["rm", "-f", "web"]).ok();
        assert!(at.left().is_empty(), "{:?}", at.left());
    }
    Leaks::of(&at.scratch).none();
}

/// One of another boot can't run, whatever has its numbers by now.
#[test]
fn a_record_of_another_boot_has_ended() {
    requires!(unshare);
    let at = At::new();
    let script = format!("echo ready; sleep 600; : {}", at.scratch.mark());
    start(&at, &["--restart", "always"], &script);
    let payload = at.payload("web");
    end(parent(payload));
    eventually(10.0, || is_gone(payload).then_some(())).expect("the payload is killed");
    let later = "cat /proc/sys/kernel/random/uuid > boot
        mount --bind boot /proc/sys/kernel/random/boot_id; \"$@\"";
    let told = at.sublet(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "web"]);
    let told = told.inside_namespaces(later).directory(at.scratch.dir("work")).ok();
    assert_eq!(told, "reboot <nil>");
    assert_eq!(status(&at), "reboot");
    at.sublet(&["start", "web"]).ok();
    becomes(&at, "running");
    at.sublet(&["rm", "-f", "web"]).ok();
    Leaks::of(&at.scratch).none();
}
