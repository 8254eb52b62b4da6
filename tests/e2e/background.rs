//! Containers that go on when the command has ended.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::common::processes::parent;
use crate::common::*;

/// `run -d` with these options and a script: its id.
fn start(at: &At, options: &[&str], script: &str) -> String {
    let id = at.run(&[&["-d"], options].concat()).args(["sh", "-c", script]).ok();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    id
}

/// Waits until the container is in this state.
#[track_caller]
fn becomes(at: &At, name: &str, status: &str) {
    let is = || (at.inspect(name)["State"]["Status"] == status).then_some(());
    eventually(30.0, is).unwrap_or_else(|| panic!("{name} becomes {status}"));
}

/// Waits until its log has these lines.
#[track_caller]
fn says(at: &At, name: &str, text: &str) {
    let mut said = String::new();
    let same = || {
        let done = at.sublet(&["logs", name]).run();
        said = format!("{}{}", String::from_utf8_lossy(&done.bytes), done.stderr);
        (said.trim() == text).then_some(())
    };
    assert!(eventually(30.0, same).is_some(), "{name} has said {said:?}");
}

fn logs(at: &At) -> Vec<String> {
    let entries = fs::read_dir(at.scratch.join("state/sublet/logs"));
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a plain name");
    let mut names: Vec<_> = entries.into_iter().flatten().flatten().map(name).collect();
    names.sort();
    names
}

const SLEEP: &str = "echo ready; exec sleep 600";

#[test]
fn it_runs_on_and_is_stopped() {
    requires!();
    let at = At::new();
    let id = start(&at, &["--name", "web"], SLEEP);
    assert_eq!(at.inspect("web")["Id"], json!(id));
    becomes(&at, "web", "running");
    says(&at, "web", "ready");
    // Nothing of the caller's hangs on it: neither streams nor directory.
    let pid = at.inspect("web")["State"]["Pid"].as_u64().expect("a pid");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("its process");
    let parent =
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).expect("a parent");
    let supervisor = Path::new("/proc").join(parent);
    assert_eq!(fs::read_link(supervisor.join("cwd")).expect("its directory"), Path::new("/"));
    for stream in ["fd/0", "fd/1", "fd/2"] {
        let stream = fs::read_link(supervisor.join(stream)).expect("its stream");
        assert_eq!(stream, Path::new("/dev/null"));
    }
    assert_eq!(at.sublet(&["stop", "web"]).ok(), "web");
    assert_eq!(at.inspect("web")["State"]["ExitCode"], 143);
    assert!(!supervisor.exists() || !supervisor.join("exe").exists(), "it has ended too");
    assert_eq!(at.sublet(&["logs", "web"]).ok(), "ready", "the log stays");
    at.sublet(&["rm", "web"]).ok();
    assert!(logs(&at).is_empty() && at.left().is_empty(), "{:?}", logs(&at));
    Leaks::of(&at.scratch).none();
}

#[test]
fn a_start_that_fails_is_told_as_in_the_foreground() {
    requires!();
    let at = At::new();
    let both = |words: &[&str]| {
        let foreground = at.run(&[]).args(words).run();
        let background = at.run(&["-d"]).args(words).run();
        assert_eq!(background.code(), foreground.code(), "{words:?}");
        assert_eq!(background.stderr, foreground.stderr, "{words:?}");
        assert_eq!(background.stdout(), "", "{words:?}");
        foreground.code()
    };
    assert_eq!(both(&["/no/such/program"]), 127);
    assert_eq!(both(&["/bin"]), 126);
    at.run(&["-d", "-w", "/no/such/place"]).arg("true").refused(&["no such directory"]);
    assert!(at.left().is_empty() && logs(&at).is_empty(), "{:?} {:?}", at.left(), logs(&at));
    at.run(&["-d", "--restart", "always", "--rm"]).arg("true").refused(&["--restart with --rm"]);
    at.run(&["--restart", "always"]).arg("true").refused(&["sublet run -d --restart"]);
    Leaks::of(&at.scratch).none();
}

#[test]
fn its_output_is_kept() {
    requires!();
    let at = At::new();
    let script =
        "echo one; echo two >&2; printf 'th'; sleep 0.1; printf 'ree\\n'; printf '\\033[2J'";
    start(&at, &["--name", "web"], script);
    becomes(&at, "web", "exited");
    let done = at.sublet(&["logs", "web"]).run();
    assert_eq!(done.bytes, b"one\nthree\n\x1b[2J");
    assert_eq!(done.stderr.trim(), "two");
    assert_eq!(at.sublet(&["logs", "-n", "1", "web"]).ok(), "\u{1b}[2J");
    let stamped = at.sublet(&["logs", "-t", "web"]).ok();
    let lines: Vec<_> = stamped.lines().collect();
    assert!(lines[1].ends_with("Z three") && lines[1].starts_with("20"), "{stamped}");
    assert_eq!(at.sublet(&["logs", "--since", "2199-01-01", "web"]).ok(), "");
    assert_eq!(at.sublet(&["logs", "--until", "2001-01-01", "web"]).ok(), "");
    assert!(at.sublet(&["logs", "--since", "1h", "web"]).ok().starts_with("one\nthree"));
    at.sublet(&["logs", "--since", "never", "web"]).refused(&["--since", "is not a moment"]);

    // A terminal is shown what can do it no harm.
    let mut terminal = at.sublet(&["logs", "web"]).on_terminal();
    terminal.expect("\\u{1b}[2J");
    assert!(terminal.wait().success());

    at.run(&["--name", "front"]).arg("true").ok();
    let none = at.sublet(&["logs", "front"]).run();
    none.explained(&["has no log", "sublet run -d"]);
    start(&at, &["--name", "quiet", "--log-driver", "none"], "echo x");
    becomes(&at, "quiet", "exited");
    at.sublet(&["logs", "quiet"]).run().explained(&["--log-driver none"]);
}

#[test]
fn a_log_is_followed_to_the_end() {
    requires!();
    let at = At::new();
    let script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    start(&at, &["--name", "web"], script);
    let mut follower = at.sublet(&["logs", "-f", "web"]).spawn();
    assert_eq!(follower.line(), "ready");
    at.sublet(&["stop", "web"]).ok();
    assert_eq!(follower.line(), "bye");
    follower.wait().exits(0);
    assert_eq!(at.inspect("web")["State"]["ExitCode"], 3);
}

/// Much more than the log may hold, with somebody who follows it and does not
/// read.
#[test]
fn a_flood_is_cut_and_waits_for_nobody() {
    requires!();
    let at = At::new();
    let options = ["--name", "web", "--log-opt", "max-size=64k", "--log-opt", "max-file=2"];
    let script = "echo ready; until [ -e /tmp/go ]; do sleep 0.1; done; \
                  head -c 20000000 /dev/zero; echo; echo over";
    start(&at, &options, script);
    let mut stalled = at.sublet(&["logs", "-f", "web"]).spawn();
    assert_eq!(stalled.line(), "ready");
    stalled.signal(libc::SIGSTOP);
    fs::write(at.root.join("tmp/go"), "").expect("let it go on");
    let ended = || (at.inspect("web")["State"]["Status"] == "exited").then_some(());
    eventually(60.0, ended).expect("it waits for nobody");
    stalled.signal(libc::SIGKILL);
    stalled.wait();
    let id = at.scratch.container("web");
    assert_eq!(logs(&at), [format!("{id}.log"), format!("{id}.log.1")]);
    for file in logs(&at) {
        let file = at.scratch.join("state/sublet/logs").join(file);
        assert!(fs::metadata(file).expect("a file").len() <= 64 << 10);
    }
    assert!(at.sublet(&["logs", "web"]).ok().ends_with("\nover"));
}

/// The supervisor goes, and with it the container, whose record says so.
#[test]
fn a_killed_supervisor_takes_it_along() {
    requires!();
    let at = At::new();
    let script = format!("trap '' TERM; echo ready; sleep 600; : {}", at.scratch.mark());
    start(&at, &["--name", "web", "--restart", "always"], &script);
    says(&at, "web", "ready");
    let pid = at.inspect("web")["State"]["Pid"].as_u64().expect("a pid");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("its process");
    let parent =
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).expect("a parent");
    let parent = nix::unistd::Pid::from_raw(parent.parse().expect("a number"));
    nix::sys::signal::kill(parent, nix::sys::signal::Signal::SIGKILL).expect("kill it");
    let gone = || (!Path::new("/proc").join(pid.to_string()).exists()).then_some(());
    eventually(5.0, gone).expect("the payload has ended");
    becomes(&at, "web", "supervisor-lost");
    assert_eq!(at.inspect("web")["State"]["ExitCode"], json!(null));
    // It can be started again, and its log goes on.
    assert_eq!(at.sublet(&["start", "web"]).ok(), "web");
    says(&at, "web", "ready\nready");
    at.sublet(&["rm", "-f", "web"]).ok();
    assert!(logs(&at).is_empty());
    Leaks::of(&at.scratch).none();
}

#[test]
fn what_fails_is_started_again() {
    requires!();
    let at = At::new();
    start(&at, &["--name", "web", "--restart", "on-failure:2"], "echo try; exit 7");
    becomes(&at, "web", "exited");
    let told = at.inspect("web");
    assert_eq!((&told["RestartCount"], &told["State"]["ExitCode"]), (&json!(2), &json!(7)));
    assert_eq!(
        told["HostConfig"]["RestartPolicy"],
        json!({"Name": "on-failure", "MaximumRetryCount": 2})
    );
    says(&at, "web", "try\ntry\ntry");
    start(&at, &["--name", "fine", "--restart", "on-failure"], "true");
    becomes(&at, "fine", "exited");
    assert_eq!(at.inspect("fine")["RestartCount"], 0);

    // Whoever stops it means it, whether it runs or waits for its next turn.
    for (name, script) in [("runs", SLEEP), ("waits", "exit 1")] {
        start(&at, &["--name", name, "--restart", "always"], script);
        let due = || (name == "runs" || at.inspect(name)["RestartCount"] != 0).then_some(());
        eventually(30.0, due).expect("it is started again");
        at.sublet(&["stop", name]).ok();
        becomes(&at, name, "exited");
    }
    let killed = start(&at, &["--restart", "always"], SLEEP);
    at.sublet(&["kill", &killed]).ok();
    becomes(&at, &killed, "exited");
    assert_eq!(at.inspect(&killed)["State"]["ExitCode"], 137);
}

#[test]
fn it_is_made_now_and_started_later() {
    requires!();
    let at = At::new();
    let directory = at.scratch.dir("work");
    fs::create_dir(Path::new(&directory).join("sub")).expect("a directory");
    at.scratch.file("work/sub/file", "content\n");
    let options = ["--name", "web", "-e", "COLOUR", "-v", "./sub:/mnt"];
    let made = at.sublet(&["create"]).args(options).arg(at.root.path());
    let script = "echo $COLOUR; cat /mnt/file; exit 4";
    let id = made.args(["sh", "-c", script]).env("COLOUR", "red").directory(&directory).ok();
    assert_eq!(at.inspect("web")["State"]["Status"], "created");
    assert_eq!(at.inspect("web")["Id"], json!(id));
    // From elsewhere, with another environment, twice.
    for times in 1..=2 {
        at.sublet(&["start", "web"]).env("COLOUR", "blue").directory("/").ok();
        assert_eq!(at.sublet(&["wait", "web"]).ok(), "4");
        says(&at, "web", "red\ncontent\n".repeat(times).trim());
    }
    at.sublet(&["start", "none"]).run().exits(1).explained(&["no container none"]);

    start(&at, &["--name", "db"], SLEEP);
    assert_eq!(at.sublet(&["start", "db"]).ok(), "db", "it runs already");
    let before = at.inspect("db")["State"]["Pid"].clone();
    assert_eq!(at.sublet(&["restart", "-t", "5", "db"]).ok(), "db");
    assert_ne!(at.inspect("db")["State"]["Pid"], before);
    becomes(&at, "db", "running");
    at.sublet(&["stop", "db"]).ok();

    // What was ended in the foreground, too.
    at.run(&["--name", "front"]).args(["sh", "-c", "echo again"]).ok();
    at.sublet(&["start", "front"]).ok();
    becomes(&at, "front", "exited");
    says(&at, "front", "again");
}

/// What was sent to a run that is over is not for us who start the next.
#[test]
fn a_signal_between_two_runs_ends_nothing() {
    requires!();
    let at = At::new();
    let script = "until [ -e /go ]; do sleep 0.1; done; exit 1";
    start(&at, &["--name", "web", "--restart", "always"], script);
    let supervisor = nix::unistd::Pid::from_raw(parent(at.payload("web")) as i32);
    fs::write(at.root.path().join("go"), "").unwrap();
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        becomes(&at, "web", "restarting");
        let before = at.inspect("web")["RestartCount"].as_i64().expect("a number");
        nix::sys::signal::kill(supervisor, signal).expect("it is there");
        let more = || (at.inspect("web")["RestartCount"].as_i64() > Some(before)).then_some(());
        eventually(60.0, more).unwrap_or_else(|| panic!("{signal}: {}", at.inspect("web")));
    }
    at.sublet(&["stop", "-t", "0", "web"]).ok();
    becomes(&at, "web", "exited");
}

/// C06: what a container has put in the place of its own volume, or of its root,
/// is not what it is given when it is started again.
#[test]
fn a_link_in_place_of_a_volume_is_not_followed() {
    requires!();
    let at = At::new();
    let canary = Canary::new(&at.scratch);
    let outside = canary.path().display().to_string();
    let (work, sub) = (at.scratch.dir("work"), at.scratch.dir("work/sub"));
    let volumes = ["-v", &format!("{work}:/mnt"), "-v", &format!("{sub}:/srv")];
    let script = |name: &str, to: &str| {
        format!(
            "[ -e /mnt/old ] && echo again && exit; \
             mv /mnt/{name} /mnt/old; ln -s {to} /mnt/{name}; echo ready; exec sleep 600"
        )
    };
    let refused = |name: &str| {
        says(&at, name, "ready");
        let told = format!("is a link, and container {name} can write to its directory");
        at.sublet(&["restart", "-t", "0", name]).refused(&[&told, "it leads to"]);
        at.sublet(&["start", name]).refused(&[&told]);
        canary.untouched();
    };
    start(&at, &[&["--name", "web"], &volumes[..]].concat(), &script("sub", &outside));
    refused("web");
    // Nor is it where files are made for the caller.
    let options = [["--cidfile", "id"], ["--pidfile", "pid"]];
    for [option, name] in options {
        let file = format!("{sub}/{name}");
        let done = at.run(&["--rm", option, &file]).args(["true"]).run();
        done.refused(&["--", "is a link, and container web can write to its directory"]);
    }
    at.sublet(&["ns", "--svg", &format!("{sub}/svg")]).run().explained(&["is a link"]);
    canary.untouched();
    says(&at, "web", "ready");
    // What the caller puts there instead is as good as any.
    fs::remove_file(&sub).unwrap();
    fs::create_dir(&sub).unwrap();
    assert_eq!(at.sublet(&["start", "web"]).ok(), "web");
    says(&at, "web", "ready\nagain");

    let place = at.scratch.dir("place");
    let root = format!("{place}/root");
    Program::new("cp").args(["-a", at.root.text(), &root]).ok();
    let inside = at.sublet(&["run", "-d", "--name", "db", "-v", &format!("{place}:/mnt"), &root]);
    inside.args(["sh", "-c", &script("root", &outside)]).ok();
    refused("db");
    // Nor is it where files are copied to and from.
    let file = at.scratch.file("some", "overwritten\n");
    for words in [[&file, "db:/file"], ["db:/file", &at.scratch.text("stolen")]] {
        at.sublet(&[&["cp"], &words[..]].concat()).refused(&["container db can write"]);
    }
    canary.untouched();
    assert!(!at.scratch.join("stolen").exists());

    // By itself, as long as it fails.
    let place = at.scratch.dir("other");
    fs::create_dir(format!("{place}/sub")).unwrap();
    let volumes = ["-v", &format!("{place}:/mnt"), "-v", &format!("{place}/sub:/srv")];
    let options = [&["--name", "job", "--restart", "on-failure"], &volumes[..]].concat();
    start(&at, &options, &script("sub", &outside).replace("exec sleep 600", "exit 1"));
    becomes(&at, "job", "exited");
    let said = at.sublet(&["logs", "job"]).run();
    assert!(!said.stdout().contains("again"), "{}", said.stdout());
    canary.untouched();
}

/// What was made to be started later has its log no longer than others.
#[test]
fn what_goes_by_itself_takes_its_log_along() {
    requires!();
    let at = At::new();
    at.sublet(&["create", "--rm", "--name", "web"]).arg(at.root.path()).arg("true").ok();
    at.sublet(&["wait", "web"]).run().explained(&["has not been started", "sublet start web"]);
    at.sublet(&["start", "-a", "web"]).ok();
    let gone = || (logs(&at).is_empty() && at.names(&["-a"]).is_empty()).then_some(());
    eventually(20.0, gone).unwrap_or_else(|| panic!("{:?}", logs(&at)));
}

#[test]
fn a_start_that_fails_later_leaves_it_as_it_was() {
    requires!();
    let at = At::new();
    let gone = at.scratch.dir("gone");
    at.run(&["--name", "web", "-v", &format!("{gone}:/mnt")]).args(["sh", "-c", "exit 3"]).run();
    fs::remove_dir(&gone).expect("remove it");
    let failed = at.sublet(&["start", "web"]).run();
    failed.exits(125).explained(&["gone", "mkdir -p"]);
    let state = &at.inspect("web")["State"];
    assert_eq!((&state["Status"], &state["ExitCode"]), (&json!("exited"), &json!(3)));
    let spec = at.scratch.join("run/sublet").join(at.scratch.container("web")).join("spec.json");
    fs::write(spec, "{").expect("damage it");
    at.sublet(&["start", "web"]).run().explained(&["what was asked for", "checksum"]);
    at.sublet(&["rm", "web"]).ok();
}

#[test]
fn it_is_stopped_in_its_own_way() {
    requires!();
    let at = At::new();
    let pidfile = at.scratch.text("pid");
    let script =
        "trap 'echo usr1; exit 5' USR1; trap '' TERM; echo ready; while :; do sleep 0.1; done";
    let options = ["--name", "web", "--stop-signal", "USR1", "--pidfile", &pidfile];
    start(&at, &options, script);
    says(&at, "web", "ready");
    let pid = fs::read_to_string(&pidfile).expect("the file");
    assert_eq!(at.inspect("web")["State"]["Pid"].to_string(), pid.trim());
    at.sublet(&["stop", "web"]).ok();
    assert_eq!(at.inspect("web")["State"]["ExitCode"], 5);
    let ignores = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    start(&at, &["--name", "db", "--stop-timeout", "0"], ignores);
    says(&at, "db", "ready");
    at.sublet(&["stop", "db"]).ok();
    assert_eq!(at.inspect("db")["State"]["ExitCode"], 137);
}

#[test]
fn its_terminal_and_its_input_are_there() {
    requires!();
    let at = At::new();
    start(&at, &["--name", "web", "-t"], "test -t 1 && stty size < /dev/tty; exec sleep 600");
    says(&at, "web", "24 80");
    // Its input does not end as long as it runs.
    start(&at, &["--name", "cat", "-i"], "echo ready; exec cat");
    says(&at, "cat", "ready");
    becomes(&at, "cat", "running");
    at.sublet(&["stop", "-t", "0", "web", "cat"]).ok();
}
