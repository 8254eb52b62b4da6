//! What remains of a run: its record, and the verbs that show and remove it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::common::*;

const SLEEP: &str = "echo ready; exec sleep 600";

#[test]
fn a_run_leaves_a_record_of_how_it_ended() {
    requires!();
    let at = At::new();
    at.run(&["--name", "web", "--label", "tier=front"]).args(["sh", "-c", "exit 7"]).run().exits(7);
    let told = at.inspect("web");
    let state = &told["State"];
    assert_eq!(told["Id"], json!(at.scratch.container("web")));
    assert_eq!((&told["Name"], &told["Root"]), (&json!("web"), &json!(at.root.text())));
    assert_eq!((&told["Path"], &told["Args"]), (&json!("sh"), &json!(["-c", "exit 7"])));
    assert_eq!(told["Config"]["Labels"], json!({"tier": "front"}));
    assert_eq!((&state["Status"], &state["Running"]), (&json!("exited"), &json!(false)));
    assert_eq!((&state["ExitCode"], &state["OOMKilled"]), (&json!(7), &json!(false)));
    let time = |key: &str| state[key].as_str().expect("a time").to_owned();
    assert!(
        time("StartedAt") <= time("FinishedAt") && time("StartedAt").starts_with("20"),
        "{told}"
    );
    assert!(told["Created"].as_str().expect("a time") <= time("StartedAt").as_str(), "{told}");

    // By a signal, which is counted from 128.
    let running = at.start("db", &[], SLEEP);
    assert_eq!(at.inspect("db")["State"]["Status"], "running");
    let pid = at.inspect("db")["State"]["Pid"].as_u64().expect("a pid");
    assert!(fs::read_to_string(format!("/proc/{pid}/comm")).is_ok(), "{pid}");
    running.signal(libc::SIGTERM);
    running.wait().exits(143);
    assert_eq!(at.inspect("db")["State"]["ExitCode"], 143);
    assert_eq!(at.names(&["-a"]), ["db", "web"]);
    assert!(at.names(&[]).is_empty());
}

#[test]
fn whoever_asks_for_it_leaves_none() {
    requires!();
    let at = At::new();
    at.run(&["--name", "web", "--rm"]).args(["sh", "-c", "exit 7"]).run().exits(7);
    assert!(at.left().is_empty(), "{:?}", at.left());
    at.run(&["--rm"]).arg("true").ok();
    // Nor does who was never started, and has nothing to be called by.
    at.run(&["--name", "web", "--rm"]).arg("/no/such/program").run().exits(127);
    at.run(&["--label", "x"]).arg("/no/such/program").run().exits(127);
    assert!(at.left().is_empty(), "{:?}", at.left());
    assert_eq!(at.sublet(&["ps", "-a", "--format", "json"]).json(), json!([]));
}

#[test]
fn who_has_no_name_is_known_by_its_id() {
    requires!();
    let at = At::new();
    at.run(&[]).args(["sh", "-c", "exit 7"]).run().exits(7);
    let id = at.sublet(&["ps", "-aq", "--no-trunc"]).ok();
    let told = at.inspect(&id);
    assert_eq!((&told["Name"], &told["State"]["ExitCode"]), (&json!(""), &json!(7)));
    let spec = at.scratch.join("run/sublet").join(&id).join("spec.json");
    let mode = fs::metadata(spec).expect("what was asked for").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // One that can't be written down runs all the same.
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(at.scratch.join("run/sublet"), open).expect("let others in");
    let done = at.run(&[]).args(["sh", "-c", "exit 7"]).run();
    done.exits(7);
    assert!(done.stderr.contains("won't know this container"), "{}", done.stderr);
    at.run(&["--name", "web"]).arg("true").refused(&["can be written by others"]);
}

#[test]
fn a_name_is_taken_until_its_record_is_removed() {
    requires!();
    let at = At::new();
    let run = |options: &[&str]| at.run(&[options, &["--name", "web"]].concat()).arg("true").run();
    run(&[]).exits(0);
    run(&[]).refused(&["the name web is in use", "sublet rm web", "--replace"]);
    assert_eq!(at.sublet(&["rm", "web"]).ok(), "web");
    run(&[]).exits(0);
    run(&["--replace"]).exits(0);
    assert_eq!(at.left().len(), 1);

    // One that runs is spared by rm, and ended by --replace.
    let first = at.start("web", &["--replace"], SLEEP);
    run(&[]).refused(&["the name web is in use", "is running", "sublet rm -f web"]);
    let spared = at.sublet(&["rm", "web"]).run();
    spared.exits(1).explained(&["container web is running", "sublet rm -f web"]);
    run(&["--replace"]).exits(0);
    first.wait().exits(137);
    assert_eq!(at.inspect("web")["State"]["ExitCode"], 0);
    at.run(&["--replace"]).arg("true").refused(&["--replace without --name"]);
}

#[test]
fn what_runs_is_removed_by_force() {
    requires!();
    let at = At::new();
    let kept = at.start("kept", &[], SLEEP);
    let ignores = "trap '' TERM INT HUP; echo ready; while :; do sleep 1; done";
    let gone = at.start("gone", &["--rm"], ignores);
    // A launcher that is stopped notices nothing.
    let stopped = at.start("stopped", &[], SLEEP);
    let id = at.scratch.container("kept");
    at.sublet(&["rm", "-f", &id[..10], "gone"]).ok();
    kept.wait().exits(137);
    gone.wait().exits(137);
    stopped.signal(libc::SIGSTOP);
    assert_eq!(at.sublet(&["rm", "-f", "stopped"]).within(120.0).ok(), "stopped");
    assert_eq!(stopped.wait().status.code(), None, "it was killed too");
    assert!(at.left().is_empty(), "{:?}", at.left());

    let none = at.sublet(&["rm", "-f", "none"]).run();
    none.exits(0);
    assert!(none.stderr.contains("warning: there is no container none"), "{}", none.stderr);
    at.sublet(&["rm", "none"]).run().exits(1).explained(&["no container none"]);
    at.sublet(&["rm"]).refused(&["CONTAINER is missing"]);
}

/// Never running, and never with a code that is not its own.
#[test]
fn a_killed_launcher_is_told_from_an_end() {
    requires!();
    let at = At::new();
    let running = at.start("web", &[], SLEEP);
    running.signal(libc::SIGKILL);
    running.wait();
    let state = &at.inspect("web")["State"];
    assert_eq!((&state["Status"], &state["Running"]), (&json!("supervisor-lost"), &json!(false)));
    assert_eq!((&state["ExitCode"], &state["Pid"]), (&Value::Null, &json!(0)));
    let listed = at.sublet(&["ps", "-a"]).ok();
    assert!(listed.contains("Lost (launcher killed)"), "{listed}");
    assert_eq!(at.names(&["--filter", "status=supervisor-lost"]), ["web"]);
    assert!(at.names(&["--filter", "exited=0"]).is_empty());
    at.run(&["--name", "web"]).arg("true").refused(&["that has ended", "sublet rm web"]);
    at.sublet(&["rm", "web"]).ok();
    assert!(at.left().is_empty(), "{:?}", at.left());
}

#[test]
fn one_of_many_that_start_at_once_has_the_name() {
    requires!();
    let at = At::new();
    let runs: Vec<_> = (0..16)
        .map(|number| {
            at.run(&["--name", "web"]).args(["sh", "-c", &format!("exit {number}")]).spawn()
        })
        .collect();
    let ended: Vec<_> = runs.into_iter().map(Running::wait).collect();
    let winners: Vec<_> =
        (0..).zip(&ended).filter(|(number, done)| done.code() == *number).collect();
    let [(winner, _)] = winners[..] else { panic!("{} winners", winners.len()) };
    for (number, done) in (0..).zip(&ended).filter(|(number, _)| *number != winner) {
        done.refused(&["the name web is in use"]);
        assert_ne!(number, winner);
    }
    assert_eq!(at.inspect("web")["State"]["ExitCode"], winner);
    assert_eq!(at.left().len(), 1);
}

#[test]
fn lists_are_filtered_and_in_many_forms() {
    requires!();
    let at = At::new();
    at.run(&["--name", "one", "-l", "tier=back"]).args(["sh", "-c", "exit 3"]).run().exits(3);
    at.run(&["--name", "two", "--label", "x"]).args(["echo", "a\u{1b}[2Jb"]).ok();
    let running = at.start("three", &[], SLEEP);
    for (words, names) in [
        (&[][..], &["three"][..]),
        (&["-a"], &["three", "two", "one"]),
        (&["-n", "2"], &["three", "two"]),
        (&["-l"], &["three"]),
        (&["-a", "-f", "name=^t"], &["three", "two"]),
        (&["--filter", "exited=3"], &["one"]),
        (&["-f", "status=exited"], &["two", "one"]),
        (&["-a", "--filter", "label=tier=back"], &["one"]),
        (&["-a", "--filter", "label!=tier", "--filter", "status=exited"], &["two"]),
        (&["-f", "label=tier"], &[]),
    ] {
        assert_eq!(at.names(words), names, "{words:?}");
    }
    let id = at.scratch.container("three");
    assert_eq!(at.sublet(&["ps", "-q"]).ok(), id[..12]);
    assert_eq!(at.sublet(&["ps", "-q", "--no-trunc"]).ok(), id);
    assert_eq!(at.sublet(&["ps", "-aq", "-f", &format!("id={}", &id[..6])]).ok(), id[..12]);

    let table = at.sublet(&["ps", "-a"]).ok();
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("CONTAINER ID  ROOT") && lines.len() == 4, "{table}");
    assert!(lines[1].contains("Up ") && lines[1].ends_with("three"), "{table}");
    assert!(lines[2].contains("echo a\\u{1b}[2Jb") && lines[3].contains("Exited (3)"), "{table}");
    let all = at.sublet(&["ps", "-a", "--format", "json"]).json();
    let one = &all[2];
    assert_eq!((&one["State"], &one["ExitCode"]), (&json!("exited"), &json!(3)));
    assert_eq!(
        (&one["Labels"], &one["Command"]),
        (&json!({"tier": "back"}), &json!("sh -c exit 3"))
    );
    let lines = at.sublet(&["ps", "-a", "--format", "jsonl"]).ok();
    let second: Value = serde_json::from_str(lines.lines().nth(1).expect("a line")).expect("JSON");
    assert_eq!(second["Names"], "two");
    let fields = at.sublet(&["ps", "-a", "--format", "table {{.Names}}\\t{{.State}}"]).ok();
    assert_eq!(fields, "NAMES  STATE\nthree  running\ntwo    exited\none    exited");

    at.sublet(&["ps", "--format", "{{range .X}}"]).refused(&["range is not in sublet yet"]);
    at.sublet(&["ps", "--format", "yaml"]).refused(&["yaml"]);
    at.sublet(&["ps", "-f", "ancestor=x"]).refused(&["ancestor", "status, health, label"]);
    running.signal(libc::SIGTERM);
    running.wait();
}

#[test]
fn inspect_finds_what_is_there_and_names_what_is_near() {
    requires!();
    let at = At::new();
    for name in ["one", "two"] {
        at.run(&["--name", name]).arg("true").ok();
    }
    let id = at.scratch.container("one");
    for word in ["one", &id, &id[..8]] {
        assert_eq!(at.inspect(word)["Id"], json!(id), "{word}");
    }
    let fields = ["inspect", "-f", "{{.Name}} {{.State.ExitCode}}", "one", "two"];
    assert_eq!(at.sublet(&fields).ok(), "one 0\ntwo 0");
    let part = at.sublet(&["inspect", "one", "onne"]).run();
    part.exits(1).explained(&["no container onne", "there is one"]);
    let found: Value = serde_json::from_slice(&part.bytes).expect("those that are there");
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    at.sublet(&["inspect"]).refused(&["CONTAINER is missing"]);
    at.sublet(&["inspect", "-f", "{{.Foo}}", "one"]).refused(&["no field .Foo", "State"]);
}

#[test]
fn prune_asks_and_spares_what_runs() {
    requires!();
    let at = At::new();
    for name in ["one", "two", "three"] {
        at.run(&["--name", name]).arg("true").ok();
    }
    let running = at.start("web", &[], SLEEP);
    let prune = |answer: &str| at.sublet(&["prune"]).input(answer).run();
    prune("").refused(&["nobody has answered", "prune -f"]);
    let no = prune("n\n");
    assert_eq!(no.ok(), "");
    assert!(no.stderr.contains("three, two, one. Go on?"), "{}", no.stderr);
    let id = at.scratch.container("one");
    assert_eq!(at.sublet(&["prune", "-f", "--filter", "name=one"]).ok(), id);
    assert_eq!(prune("y\n").ok().lines().count(), 2);
    assert_eq!(at.names(&["-a"]), ["web"]);
    assert_eq!(at.sublet(&["prune"]).ok(), "", "there is nothing to ask for");
    running.signal(libc::SIGTERM);
    running.wait();
    at.sublet(&["prune", "-f"]).ok();
    assert!(at.left().is_empty(), "{:?}", at.left());
}

#[test]
fn the_id_is_in_the_file_that_is_for_it() {
    requires!();
    let at = At::new();
    let file = at.scratch.text("id");
    at.run(&["--cidfile", &file]).arg("true").ok();
    let id = fs::read_to_string(&file).expect("the file");
    assert_eq!(id.len(), 64);
    assert_eq!(at.inspect(&id)["State"]["ExitCode"], 0);
    at.run(&["--cidfile", &file]).arg("true").refused(&["--cidfile", "File exists"]);
    let other = at.scratch.text("other");
    at.run(&["--cidfile", &other]).arg("/no/such/program").run().exits(127);
    assert!(!fs::exists(&other).expect("look"), "there is no container");
    assert_eq!(at.left(), [id]);
}

/// What has ended is shown once, and follows nobody.
#[test]
fn statistics_end_with_what_they_are_of() {
    requires!();
    let at = At::new();
    let running = at.start("web", &[], SLEEP);
    let mut stats = at.sublet(&["stats", "-i", "50ms", "--format", "jsonl", "web"]).spawn();
    assert!(stats.line().contains("\"status\":\"running\""));
    running.signal(libc::SIGTERM);
    running.wait();
    let told = stats.wait();
    assert!(told.ok().ends_with('}') && told.stdout().contains("\"status\":\"exited\""));
    assert_eq!(at.sublet(&["stats", "web"]).ok().lines().count(), 2);
}

/// A shell is what runs where nothing is said, and its reaper is not it.
#[test]
fn the_command_is_what_was_executed() {
    requires!();
    let at = At::new();
    for (options, words, command) in [
        (&[][..], &[][..], &["/bin/sh"][..]),
        (&["--init"], &["echo", "a b"], &["echo", "a b"]),
        (&["--entrypoint", "echo"], &["c"], &["echo", "c"]),
    ] {
        at.run(&[&["--name", "web", "--replace"], options].concat()).args(words).ok();
        assert_eq!(at.inspect("web")["Config"]["Cmd"], json!(command), "{options:?}");
    }
}

/// The command's exit code comes through, and a warning.
#[test]
fn no_room_for_a_record_is_no_end_of_a_command() {
    requires!(unshare);
    let at = At::new();
    let runtime = at.scratch.text("run");
    // A page is full of what is said while it runs, as near as a second start
    // can tell from a first; what is said in the end is longer, and needs
    // another, which there isn't by then.
    let script = "mount -t tmpfs -o mode=700,size=64k none \"$XDG_RUNTIME_DIR\"
        sublet=$1 root=$2; mkfifo go; mkfifo ready
        start() {
            \"$sublet\" run --userns single --network none --name web -v \"$PWD:/mnt\" \"$root\" \\
                sh -c 'echo > /mnt/ready; read -r _ < /mnt/go; exit 7' \"$(printf \"%0$1d\" 0)\" &
            read -r _ < ready
            until \"$sublet\" ps -q | grep -q .; do sleep 0.1; done
            size=$(stat -c %s \"$XDG_RUNTIME_DIR\"/sublet/[0-9a-f]*/record.json)
        }
        end() { echo > go; wait $! && code=0 || code=$?; }
        start 3000; end; \"$sublet\" rm web
        start $((3000 + 4080 - size))
        cat /dev/zero > \"$XDG_RUNTIME_DIR/fill\" 2>/dev/null || true
        end
        \"$sublet\" inspect -f '{{.State.Status}} {{.State.ExitCode}}' web
        echo \"$code\"; echo \"$size\"";
    let directory = at.scratch.dir("work");
    let program = Program::new(launcher()).at_home(&at.scratch).arg(at.root.path());
    let program = program.inside_namespaces(script).env("XDG_RUNTIME_DIR", &runtime);
    let done = program.directory(&directory).within(120.0).run();
    let said = done.ok();
    let lines: Vec<_> = said.lines().collect();
    let size: u32 = lines[3].parse().expect("a size");
    assert!((4060..=4096).contains(&size), "{size}: not what is to be tested");
    assert_eq!(lines[..3], ["web", "supervisor-lost <nil>", "7"], "{}", done.stderr);
    let warning = "warning: the container's record doesn't say how it ended: ";
    assert!(done.stderr.contains(warning), "{}", done.stderr);
    assert!(done.stderr.contains("No space left on device"), "{}", done.stderr);
}

/// One that can't be written to any more.
#[test]
fn a_record_that_is_shut_is_told() {
    requires!(ordinary_user);
    let at = At::new();
    let volume = format!("{}:/mnt", at.scratch.dir("work"));
    let script = "echo ready; until [ -e /mnt/go ]; do sleep 0.1; done; exit 7";
    let running = at.start("web", &["-v", &volume], script);
    let directory = at.scratch.join("run/sublet").join(at.scratch.container("web"));
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o500)).expect("shut it");
    at.scratch.file("work/go", "");
    let done = running.wait();
    done.exits(7);
    assert!(done.stderr.contains("doesn't say how it ended"), "{}", done.stderr);
}

/// Takes 200 MiB, and touches all of them.
const GREEDY: [&str; 5] = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];

#[test]
fn out_of_memory_is_in_the_record() {
    requires!(user_manager);
    let at = At::new();
    let done = at.run(&["-m", "64m", "--name", "greedy"]).args(GREEDY).run();
    done.exits(137);
    assert!(done.stderr.ends_with("1 process killed (dd)\n"), "{}", done.stderr);
    let told = at.inspect("greedy");
    let state = &told["State"];
    assert_eq!((&state["ExitCode"], &state["OOMKilled"]), (&json!(137), &json!(true)));
    assert_eq!(
        (&state["Status"], &told["HostConfig"]["Memory"]),
        (&json!("exited"), &json!(64 << 20))
    );
    let usage = &told["Usage"];
    let number = |key: &str| usage[key].as_u64().unwrap_or_else(|| panic!("{key}: {told}"));
    // Some pages are charged above the limit, to who is being killed.
    assert!((60 << 20..=65 << 20).contains(&number("MemoryPeakBytes")), "{told}");
    assert_eq!((number("MemoryLimitBytes"), number("OOMKills")), (64 << 20, 1));
    assert_eq!(usage["OOMProcess"], "dd");
    assert!(number("CPUMicroseconds") > 0 && number("CPUSystemMicroseconds") > 0, "{told}");
    let listed = at.sublet(&["ps", "-a"]).ok();
    assert!(listed.contains("Exited (137)") && listed.contains("out of memory"), "{listed}");
    // The same name, at once and again.
    for _ in 0..10 {
        at.run(&["-m", "64m", "--name", "greedy", "--replace"]).args(GREEDY).run().exits(137);
    }
    assert_eq!(at.left().len(), 1);
}

#[test]
fn what_was_used_is_in_the_record() {
    requires!(user_manager);
    let at = At::new();
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 3";
    // Without a name, by a control group of its own.
    let done = at.run(&["--cpus", "0.1", "-m", "64m"]).args(["sh", "-c", script]).within(120.0);
    done.run().exits(3);
    let [id] = &at.left()[..] else { panic!("{:?}", at.left()) };
    let told = at.inspect(id);
    let usage = &told["Usage"];
    let number = |key: &str| usage[key].as_u64().unwrap_or_else(|| panic!("{key}: {told}"));
    assert!(number("ThrottledMicroseconds") > 0 && number("CPUUserMicroseconds") > 0, "{told}");
    assert!((1..64 << 20).contains(&number("MemoryPeakBytes")), "{told}");
    assert_eq!((number("OOMKills"), &usage["OOMProcess"]), (0, &Value::Null));
    assert_eq!(
        (&told["State"]["ExitCode"], &told["State"]["OOMKilled"]),
        (&json!(3), &json!(false))
    );
    assert!(told["Unit"].as_str().is_some_and(|unit| unit.ends_with(".scope")), "{told}");
}
