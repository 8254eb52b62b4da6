//! `run -it` left by its keys, and whose end the end of its terminal is.

use std::time::Duration;

use crate::common::*;
use crate::tty::Tmux;

/// ctrl-p ctrl-q.
const KEYS: &str = "\u{10}\u{11}";

/// A shell in the foreground of a terminal, that is ready.
fn shell(at: &At, options: &[&str]) -> Terminal {
    let program = at.run(&[&["-it", "--name", "web", "-e", "PS1=$ "], options].concat());
    let mut terminal = program.arg("sh").on_terminal();
    terminal.send("echo rea''dy\r");
    terminal.expect("ready");
    terminal
}

fn status(at: &At) -> String {
    at.inspect("web")["State"]["Status"].as_str().expect("a status").to_owned()
}

fn has_ended(at: &At) {
    eventually(30.0, || (status(at) == "exited").then_some(())).expect("it has ended");
}

#[test]
fn keys_leave_the_first_shell_and_attach_comes_back_to_it() {
    requires!();
    let at = At::new();
    let program = at.run(&["-it", "--name", "web", "-e", "PS1=$ "]).arg("sh");
    // The wait is for the settings to be read.
    let mut terminal = program.inside(r#"set +e; read go; "$@"; echo code $?"#).on_terminal();
    let before = format!("{:?}", terminal.settings());
    terminal.send("\n");
    terminal.send("x=7; echo \"$(tty) as $$\"\r");
    terminal.expect("/dev/pts/0 as 1");
    terminal.send(KEYS);
    let told = terminal.expect("code 0");
    assert!(told.contains("sublet: web runs on in the background"), "{told}");
    assert_eq!(format!("{:?}", terminal.settings()), before);
    assert_eq!((status(&at).as_str(), at.names(&[])), ("running", vec!["web".to_owned()]));
    assert!(at.sublet(&["logs", "web"]).ok().contains("/dev/pts/0 as 1"));
    let mut other = at.sublet(&["attach", "web"]).on_terminal();
    other.resize(30, 100);
    other.send("echo \"$x on $(tty) of $(stty size)\"\r");
    other.expect("7 on /dev/pts/0 of 30 100");
    other.send("exit 5\r");
    assert_eq!(other.wait().code(), Some(5));
    assert_eq!(at.inspect("web")["State"]["ExitCode"], 5);
    at.sublet(&["rm", "web"]).ok();
    Leaks::of(&at.scratch).none();
}

/// Whoever asks first knows it, as he does where the launcher has the terminal.
#[test]
fn the_window_is_known_from_the_start() {
    requires!(subuid);
    let at = At::new();
    let program = at.run(&["-it"]).args(["stty", "size"]);
    let mut terminal = program.inside(r#"read go; exec "$@""#).on_terminal();
    terminal.resize(31, 99);
    terminal.send("\n");
    terminal.expect("31 99");
    assert!(terminal.wait().success());
}

#[test]
fn left_and_found_again_in_a_terminal_that_people_use() {
    requires!(tmux);
    let at = At::new();
    let variables = at.scratch.environment();
    let variables: String =
        variables.iter().map(|(name, path)| format!("{name}={} ", path.display())).collect();
    let sublet = launcher();
    let sublet = sublet.display();
    let tmux = Tmux::start(&at.scratch, &format!("env -u TMUX {variables} PS1='outside ' sh"));
    let root = at.root.text();
    let run = format!("{sublet} run --network none -it --name web -e PS1='inside ' {root} sh");
    tmux.keys(&[&run, "Enter"]);
    tmux.shows("inside");
    tmux.keys(&["sh -c 'while read line; do echo heard $line; done'", "Enter"]);
    tmux.keys(&["one", "Enter"]);
    tmux.shows("heard one");
    tmux.keys(&["C-p"]);
    tmux.keys(&["C-q"]);
    tmux.shows("outside");
    tmux.keys(&["stty -a | grep -c ' icanon'; echo back to $((40 + 2))", "Enter"]);
    tmux.shows("back to 42");
    tmux.keys(&[&format!("{sublet} attach web"), "Enter"]);
    tmux.keys(&["two", "Enter"]);
    tmux.shows("heard two");
    // The same job of the same shell, and keys that are not those are its.
    tmux.keys(&["C-z"]);
    tmux.keys(&["jobs | grep -c Stopped | sed s/^/stopped:/", "Enter"]);
    tmux.shows("stopped:1");
    tmux.keys(&["exit", "Enter"]);
    tmux.keys(&["exit", "Enter"]);
    has_ended(&at);
    tmux.shows("outside");
}

/// Until it is left, a container in the foreground is no more than its terminal.
#[test]
fn what_ends_the_terminal_or_its_process_ends_it() {
    requires!();
    let at = At::new();
    for (signal, code, happened) in [
        (libc::SIGKILL, 137, Some("the command that it ran in the foreground of was killed")),
        (libc::SIGHUP, 129, None),
        (libc::SIGTERM, 143, None),
    ] {
        // It does not handle signals, as pid 1 need not.
        let program =
            at.run(&["-it", "--name", "web"]).args(["sh", "-c", "echo up; exec sleep 99"]);
        let mut terminal = program.on_terminal();
        terminal.expect("up");
        spawn::kill(terminal.pid(), signal).expect("kill it");
        has_ended(&at);
        let status = terminal.wait();
        assert_eq!(status.code(), happened.is_none().then_some(code), "{status}");
        assert_eq!(at.inspect("web")["State"]["ExitCode"], code);
        let why = at.sublet(&["why", "web"]).run().stdout();
        assert!(happened.is_none_or(|told| why.contains(told)), "{why}");
        at.sublet(&["rm", "web"]).ok();
        Leaks::of(&at.scratch).none();
    }
    // One that was left is killed by none of that.
    let mut terminal = shell(&at, &[]);
    terminal.send(KEYS);
    assert!(terminal.wait().success());
    let mut other = at.sublet(&["attach", "web"]).on_terminal();
    other.send("echo th''ere\r");
    other.expect("there");
    spawn::kill(other.pid(), libc::SIGKILL).expect("kill it");
    other.wait();
    assert_eq!(status(&at), "running");
    assert_eq!(at.sublet(&["rm", "-f", "web"]).ok(), "web");
}

/// Its process, as its record has it.
fn supervisor(at: &At) -> u32 {
    let record = std::fs::read_to_string(
        at.scratch.join("run/sublet").join(at.scratch.container("web")).join("record.json"),
    );
    let record = record.expect("a record");
    let record: serde_json::Value =
        serde_json::from_str(record.lines().next().expect("a line")).expect("JSON");
    record["life"]["launcher"]["pid"].as_u64().expect("a pid") as u32
}

/// What we have said and the supervisor has not read at the end keeps nothing from
/// us: the kernel tells of it before all that is still to be heard.
#[test]
fn signals_that_nobody_has_read_hide_no_end() {
    requires!();
    let at = At::new();
    let script = "echo ready; trap '' USR1 USR2 HUP; while :; do sleep 0.1; done";
    at.run(&["-d", "--name", "web"]).args(["sh", "-c", script]).ok();
    at.sublet(&["stop", "-t", "0", "web"]).ok();
    let mut caller = at.sublet(&["start", "-a", "web"]).spawn();
    assert_eq!(caller.line(), "ready");
    let supervisor = supervisor(&at);
    let payload = at.payload("web");
    spawn::kill(supervisor, libc::SIGSTOP).expect("stop it");
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGHUP] {
        caller.signal(signal);
    }
    // By then all of them are said.
    std::thread::sleep(patience(0.3));
    spawn::kill(payload, libc::SIGKILL).expect("kill it");
    std::thread::sleep(patience(0.1));
    spawn::kill(supervisor, libc::SIGCONT).expect("let it go on");
    caller.wait().exits(137);
}

#[test]
fn a_supervisor_that_is_killed_ends_both() {
    requires!();
    let at = At::new();
    let mut terminal = shell(&at, &[]);
    let before = terminal.pid();
    let supervisor = supervisor(&at);
    assert_ne!(supervisor, before);
    spawn::kill(supervisor, libc::SIGKILL).expect("kill it");
    assert_eq!(terminal.wait().code(), Some(125), "{}", terminal.shown());
    let lost = || (status(&at) == "supervisor-lost").then_some(());
    eventually(10.0, lost).expect("the record says so");
}

#[test]
fn other_keys_and_none() {
    requires!();
    let at = At::new();
    let script = "echo ready; read line; echo \"heard $(echo \"$line\" | od -An -tx1)\"; read line";
    let words = ["sh", "-c", script];
    // A terminal's own ctrl-q is in the way, and ctrl-p is not.
    for (keys, typed, heard) in
        [("", "\u{10}a\r", " 10 61 0a"), ("a,ctrl-x", "\u{10}b\r", " 10 62 0a")]
    {
        let program = at.run(&["-it", "--rm", "--name", "web", "--detach-keys", keys]);
        let mut terminal = program.args(words).on_terminal();
        terminal.expect("ready");
        terminal.send(typed);
        terminal.expect(&format!("heard {heard}"));
        terminal.send(if keys.is_empty() { "\r" } else { "a\u{18}" });
        assert!(terminal.wait().success());
        assert_eq!(at.names(&[]).len(), usize::from(!keys.is_empty()));
    }
    assert_eq!(at.sublet(&["rm", "-f", "web"]).ok(), "web");
    at.run(&["-it", "--detach-keys", "ctrl-1"]).arg("true").refused(&["--detach-keys", "ctrl-1"]);
    // A default of the user's own.
    std::fs::create_dir_all(at.scratch.join("config/sublet")).expect("a directory");
    let config = at.scratch.join("config/sublet/config.toml");
    std::fs::write(config, "[run]\ndetach-keys = \"ctrl-x\"\n").expect("write");
    let mut terminal = at.run(&["-it", "--name", "web"]).args(words).on_terminal();
    terminal.expect("ready");
    terminal.send("\u{18}");
    assert!(terminal.wait().success());
    assert_eq!(status(&at), "running");
    assert_eq!(at.sublet(&["rm", "-f", "web"]).ok(), "web");
}

/// Who stops his terminal, as ctrl-s does, holds the program up, and loses
/// nothing; as it is without keys.
#[test]
fn a_terminal_that_is_not_read_loses_nothing() {
    requires!();
    let at = At::new();
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo the end";
    let program = at.run(&["-it", "--name", "web"]).args(["sh", "-c", script]).within(120.0);
    let mut terminal = program.on_terminal();
    terminal.expect("line 0");
    // Longer than others who are attached are waited for.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(status(&at), "running", "what is not read has no room");
    terminal.expect("line 19999\r\nthe end");
    assert!(terminal.wait().success());
    assert!(!terminal.shown().contains("left out"));
    assert_eq!(terminal.shown().matches("line ").count(), 20000);
    // Nor does it keep a signal from it, at its end or before.
    let script = "while :; do echo yes; done";
    let yes = at.run(&["-it", "--replace", "--name", "web"]).args(["sh", "-c", script]);
    let yes = yes.on_terminal();
    let known = || (at.names(&[]) == ["web"]).then_some(());
    eventually(10.0, known).expect("it runs");
    spawn::kill(yes.pid(), libc::SIGTERM).expect("kill it");
    spawn::kill(yes.pid(), libc::SIGKILL).expect("kill it");
    has_ended(&at);
}

/// What nobody has a word for goes by itself later; but not what was left.
#[test]
fn what_was_left_stays_known() {
    requires!();
    let at = At::new();
    let afterwards = || {
        let id = at.sublet(&["ps", "-aq", "--no-trunc", "-l"]).ok();
        let path = at.scratch.join("run/sublet").join(id).join("record.json");
        let text = std::fs::read_to_string(path).expect("a record");
        let text = text.lines().next().expect("a line").to_owned();
        let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        record["afterwards"].as_str().expect("a word").to_owned()
    };
    let mut terminal = at.run(&["-it"]).args(["sh", "-c", "echo up; read line"]).on_terminal();
    terminal.expect("up");
    assert_eq!(afterwards(), "fade");
    terminal.send(KEYS);
    assert!(terminal.wait().success());
    assert_eq!(afterwards(), "keep");
    let id = at.sublet(&["ps", "-q"]).ok();
    at.sublet(&["rm", "-f", &id]).ok();
    // One that is to leave nothing has a record for as long as it can be left.
    let program = at.run(&["-it", "--rm"]).args(["sh", "-c", "echo up; read line"]);
    let mut terminal = program.on_terminal();
    terminal.expect("up");
    assert_eq!(afterwards(), "remove");
    terminal.send("\r");
    assert!(terminal.wait().success());
    assert_eq!(at.sublet(&["ps", "-aq"]).ok(), "");
    let logs = at.scratch.join("state/sublet/logs");
    assert_eq!(std::fs::read_dir(logs).expect("logs").count(), 0);
}

/// `start -a` hears it from its first word on, and ends with its code.
#[test]
fn started_and_stayed_with() {
    requires!();
    let at = At::new();
    let script = "echo first; echo to err >&2; read line && echo heard $line; exit 7";
    at.sublet(&["create", "--network", "none", "--name", "one", "-i", at.root.text()])
        .args(["sh", "-c", script])
        .ok();
    let done = at.sublet(&["start", "-ai", "one"]).input("a line\n").run();
    done.exits(7);
    assert_eq!(done.stdout(), "first\nheard a line\n");
    assert_eq!(done.stderr.trim(), "to err");
    // Without -i nothing of the caller's goes there; it runs already for another.
    let mut first = at.sublet(&["start", "--attach", "one"]).input("no\n").spawn();
    assert_eq!(first.line(), "first");
    at.sublet(&["start", "-i", "one"]).input("late\n").run().exits(7);
    assert_eq!(first.line(), "heard late");
    first.wait().exits(7);
    assert!(at.sublet(&["logs", "one"]).ok().contains("heard late"));
    // What keeps it from running, and what is not there.
    at.sublet(&["create", "--network", "none", "--name", "none", at.root.text(), "/no"]).ok();
    at.sublet(&["start", "-a", "none"]).run().exits(127);
    at.sublet(&["start", "-a", "nobody"]).run().exits(1);
    at.sublet(&["start", "-a", "one", "none"]).refused(&["one container"]);
}

/// The payload does not wait for him for long; its code does, and nobody waits for
/// that: the record has it.
#[test]
fn who_reads_late_is_told_the_end() {
    requires!();
    let at = At::new();
    let script = "echo up; read line; head -c 5000000 /dev/zero; echo; echo over; exit 7";
    at.sublet(&["create", "--network", "none", "--name", "web", "-i", at.root.text()])
        .args(["sh", "-c", script])
        .ok();
    let mut late = at.sublet(&["start", "-a", "web"]).spawn();
    assert_eq!(late.line(), "up");
    late.signal(libc::SIGSTOP);
    let waiting = at.sublet(&["wait", "web"]).within(60.0).spawn();
    at.sublet(&["attach", "web"]).input("go\n").run().exits(7);
    let waited = waiting.wait();
    assert_eq!(waited.stdout().trim(), "7", "{}", waited.stderr);
    // Longer than anybody else is waited for.
    std::thread::sleep(std::time::Duration::from_secs(6));
    late.signal(libc::SIGCONT);
    let heard = late.wait();
    heard.exits(7);
    assert!(heard.stderr.contains("bytes are left out here"), "{}", heard.stderr);
}

#[test]
fn signals_to_who_stays_are_passed_on_and_his_end_is_his_own() {
    requires!();
    let at = At::new();
    let script = "trap 'echo term; exit 4' TERM; echo up; while :; do sleep 0.1; done";
    let create = ["create", "--network", "none", "--name", "web", at.root.text(), "sh", "-c"];
    at.sublet(&create).arg(script).ok();
    let mut staying = at.sublet(&["start", "-a", "web"]).spawn();
    assert_eq!(staying.line(), "up");
    staying.signal(libc::SIGTERM);
    assert_eq!(staying.line(), "term");
    staying.wait().exits(4);
    let mut staying = at.sublet(&["start", "-a", "--sig-proxy=false", "web"]).spawn();
    assert_eq!(staying.line(), "up");
    staying.signal(libc::SIGTERM);
    staying.wait().exits(143);
    assert_eq!(status(&at), "running");
    assert_eq!(at.sublet(&["rm", "-f", "web"]).ok(), "web");
    // Its terminal is left as that of run is, and SIGKILL is nothing to it.
    let script = "echo up; while read line; do echo heard $line; done; exit 6";
    let create = ["create", "--network", "none", "-it", "--name", "web", at.root.text(), "sh"];
    at.sublet(&create).args(["-c", script]).ok();
    let mut terminal = at.sublet(&["start", "-ai", "web"]).on_terminal();
    terminal.expect("up");
    terminal.send("one\r");
    terminal.expect("heard one");
    terminal.send(KEYS);
    terminal.expect("web runs on in the background");
    assert!(terminal.wait().success());
    let mut terminal = at.sublet(&["start", "-ai", "web"]).on_terminal();
    terminal.send("two\r");
    terminal.expect("heard two");
    spawn::kill(terminal.pid(), libc::SIGKILL).expect("kill it");
    terminal.wait();
    assert_eq!(status(&at), "running");
    at.sublet(&["stop", "-t", "0", "web"]).ok();
    let mut terminal = at.sublet(&["start", "-ai", "web"]).on_terminal();
    terminal.expect("up");
    spawn::kill(terminal.pid(), libc::SIGHUP).expect("hang up");
    assert_eq!(terminal.wait().code(), Some(129));
    assert_eq!(status(&at), "running");
    assert_eq!(at.sublet(&["rm", "-f", "web"]).ok(), "web");
    Leaks::of(&at.scratch).none();
}
