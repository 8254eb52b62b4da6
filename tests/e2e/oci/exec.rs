//! Further programs in a container that runs.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::time::Instant;

use serde_json::{Value, json};

use super::bundle::{self, Bundle, gone};
use crate::common::program::Done;
use crate::common::*;

/// A container that runs, called web.
fn running() -> Bundle {
    started(Bundle::new(&["sleep", "600"]))
}

fn started(bundle: Bundle) -> Bundle {
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
    bundle
}

fn exec(bundle: &Bundle, options: &[&str], command: &[&str]) -> Done {
    bundle.oci(&[&["exec"], options, &["web"], command].concat())
}

/// The file that an engine gives.
fn process(bundle: &Bundle, value: &Value) -> String {
    bundle.scratch.file("process.json", value.to_string())
}

#[test]
fn a_program_has_what_the_containers_own_has() {
    requires!();
    let bundle = Bundle::new(&["sleep", "600"])
        .set("/process/env", json!(["PATH=/bin", "A=own", "B=own"]))
        .set("/process/cwd", json!("/tmp"))
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}]))
        .set("/process/user/umask", json!(0o27))
        .set("/process/noNewPrivileges", json!(true));
    let bundle = started(bundle);
    let script = "echo $A $B; pwd; ulimit -n; umask; cat /proc/1/comm";
    let told = exec(&bundle, &["-e", "B=more"], &["sh", "-c", script]).ok();
    assert_eq!(told, "own more\n/tmp\n64\n0027\nsleep");
    assert_eq!(exec(&bundle, &["--cwd", "/proc"], &["pwd"]).ok(), "/proc");
    let flag = "grep -c '^NoNewPrivs:.1$' /proc/self/status";
    assert_eq!(exec(&bundle, &[], &["sh", "-c", flag]).ok(), "1");
    let input = bundle.command(&["exec", "web", "cat"]).input("typed\n").run();
    assert_eq!(input.stdout(), "typed\n");
}

#[test]
fn its_code_is_its_own_and_255_is_ours() {
    requires!();
    let bundle = running();
    exec(&bundle, &[], &["sh", "-c", "exit 7"]).exits(7);
    exec(&bundle, &[], &["sh", "-c", "kill -KILL $$"]).exits(137);
    let done = exec(&bundle, &[], &["no-such-program"]);
    done.exits(255).explained(&["executable file not found in $PATH"]);
    exec(&bundle, &[], &["/etc/passwd"]).exits(255).explained(&["permission denied"]);
    exec(&bundle, &[], &[]).exits(255).explained(&["no program is given"]);
    for (option, value, words) in [
        ("--cwd", "relative", "not absolute"),
        ("--cwd", "/none", "no such directory"),
        ("-u", "root", "numbers"),
        ("-u", "77:77", "not in the container's map"),
        ("--cap", "CAP_NONE", "no capability"),
        ("--apparmor", "strict", "apparmorProfile"),
        ("--process-label", "a:b:c", "selinuxLabel"),
        ("--preserve-fds", "7", "--preserve-fds"),
        ("--console-socket", "/none", "terminal"),
        ("--pid-file", "/no/such/directory/pid", "write the pid"),
        ("--process", "/no/such/file", "read the process"),
    ] {
        exec(
            &bundle,
            &[option, value],
            if option == "--process" { &[] } else { &["sleep", "600"] },
        )
        .exits(255)
        .explained(&[words]);
    }
    exec(&bundle, &["--apparmor", "unconfined", "--process-label", ""], &["true"]).exits(0);
    // What could not be said to be there is not left there.
    let none = || exec(&bundle, &[], &["sh", "-c", "pidof sleep"]).ok() == "1";
    eventually(10.0, || none().then_some(())).expect("one sleep is left, the container's own");
}

#[test]
fn a_program_is_given_as_a_file() {
    requires!();
    let bundle = running();
    let whole = json!({
        "user": {"uid": 0, "gid": 0, "umask": 0o77},
        "args": ["sh", "-c", "echo $X; pwd; umask; grep CapEff /proc/self/status"],
        "env": ["PATH=/bin", "X=y"],
        "cwd": "/bin",
        "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
        "apparmorProfile": "", "selinuxLabel": "",
    });
    let file = process(&bundle, &whole);
    let told = exec(&bundle, &["--process", &file], &[]).ok();
    assert_eq!(told, "y\n/bin\n0077\nCapEff:\t0000000000000020");
    exec(&bundle, &["--process", &file], &["sh"]).exits(255).explained(&["--process"]);
    for (field, value, words) in [
        ("surprise", json!(1), "process.surprise"),
        ("args", json!([]), "process.args"),
        ("cwd", json!("bin"), "process.cwd"),
        ("selinuxLabel", json!("a:b:c"), "process.selinuxLabel"),
        ("user", json!({"uid": 9, "gid": 9}), "not in the container's map"),
        ("args", json!("sh"), "as the specification has it"),
    ] {
        let mut odd = whole.clone();
        odd[field] = value;
        let file = process(&bundle, &odd);
        exec(&bundle, &["--process", &file], &[]).exits(255).explained(&[words]);
    }
    let file = bundle.scratch.file("process.json", "{\"args\": [");
    exec(&bundle, &["--process", &file], &[]).exits(255).explained(&["not JSON"]);
    let root = bundle.root.text();
    exec(&bundle, &["--process", root], &[]).exits(255).explained(&["read the process"]);
}

#[test]
fn only_what_runs_is_entered() {
    requires!();
    let bundle = Bundle::new(&["sleep", "600"]);
    let none = bundle.oci(&["exec", "web", "true"]);
    none.exits(255).explained(&["does not exist"]);
    gone(&bundle.oci(&["state", "web"]));
    bundle.create("web").exits(0);
    exec(&bundle, &[], &["true"]).exits(255).explained(&["cannot exec", "created"]);
    bundle.oci(&["start", "web"]).ok();
    exec(&bundle, &[], &["true"]).exits(0);
    bundle.oci(&["kill", "web", "KILL"]).ok();
    bundle.stopped("web");
    exec(&bundle, &[], &["true"]).exits(255).explained(&["cannot exec", "stopped"]);
}

/// Such as conmon is: it takes in orphans, and its own end is the end of theirs.
const ENGINE: &str = r#"
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
file, count = sys.argv[1], int(sys.argv[2])
for _ in range(count):
    done = subprocess.run(sys.argv[3:], stdout=subprocess.DEVNULL)
    pid = int(open(file).read())
    print(done.returncode, os.waitpid(pid, 0)[1] >> 8, os.path.exists(f"/proc/{pid}"), flush=True)
    os.remove(file)
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("no other child")
"#;

/// However soon it ends: its parent by then is who has its end told.
#[test]
fn a_program_that_is_left_is_the_callers() {
    requires!(python3);
    let bundle = running();
    let file = bundle.scratch.text("pid");
    for (script, count) in [("exit 7", 20), ("sleep 0.2; exit 7", 1)] {
        let count = count.to_string();
        let mut words = vec!["-c", ENGINE, &file, &count];
        let program = bundle.scratch.text("sublet-oci");
        let exec = [&program, "exec", "-d", "--pid-file", &file, "web", "sh", "-c", script];
        words.extend(exec);
        let told = Program::new("python3").at_home(&bundle.scratch).args(&words).within(60.0).ok();
        let expected = "0 7 False\n".repeat(count.parse().expect("a number"));
        assert_eq!(told, expected + "no other child");
    }
}

/// An engine holds the other ends, and nobody else.
#[test]
fn a_program_that_is_left_has_the_callers_streams() {
    requires!();
    let bundle = running();
    let said = bundle.scratch.text("said");
    let begun = Instant::now();
    let script = format!("exec \"$@\" </dev/null >{said} 2>&1");
    let words = ["exec", "-d", "web", "sh", "-c", "echo begun; sleep 3; echo done"];
    bundle.command(&words).inside(&script).run().exits(0);
    assert!(begun.elapsed() < patience(3.0), "it was waited for");
    let text = || fs::read_to_string(&said).ok().filter(|text| text == "begun\ndone\n");
    eventually(20.0, text).expect("what it says");
    exec(&bundle, &["-d"], &["no-such-program"]).exits(255).explained(&["not found"]);
}

#[test]
fn its_terminal_is_sent_to_the_console_socket() {
    requires!();
    let bundle = running();
    exec(&bundle, &["-d", "-t"], &["tty"]).exits(255).explained(&["--console-socket"]);
    let (socket, listener) = bundle.console();
    exec(&bundle, &["-t", "--console-socket", &socket], &["tty"]).exits(255);
    let file = process(
        &bundle,
        &json!({
            "user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["PATH=/bin"], "terminal": true,
            "args": ["sh", "-c", "tty; read line; stty size; read line"],
            "consoleSize": {"height": 33, "width": 77},
        }),
    );
    let words = ["-d", "--console-socket", &socket, "--process", &file];
    exec(&bundle, &words, &[]).exits(0);
    let mut terminal = bundle::receive(&listener);
    // What a terminal holds may be lost when its session ends.
    let mut text = String::new();
    while !text.contains("33 77") {
        let mut some = [0; 64];
        let length = terminal.read(&mut some).expect("more to read");
        text += &String::from_utf8_lossy(&some[..length]);
        terminal.write_all(b"\n").expect("it listens");
    }
    assert!(text.starts_with("/dev/pts/0"), "{text:?}");
}

#[test]
fn it_has_a_terminal_of_ours() {
    requires!();
    let bundle = running();
    let words = ["exec", "-t", "web", "sh", "-c", "tty; read line; echo got $line; exit 5"];
    let mut terminal = bundle.command(&words).on_terminal();
    terminal.expect("/dev/pts/0");
    terminal.send("word\n");
    terminal.expect("got word");
    assert_eq!(terminal.wait().code(), Some(5));
}

#[test]
fn it_inherits_what_is_handed_down_and_nothing_else() {
    requires!();
    let bundle = running();
    let file = File::open(bundle.scratch.file("handed", "down\n")).expect("a file");
    let words = ["exec", "--preserve-fds", "1", "web", "sh", "-c", "cat <&3; ls /proc/self/fd"];
    let done = bundle.command(&words).inherit(&file, 3).inherit(&file, 5).run();
    let told = done.stdout();
    assert!(told.starts_with("down\n0\n1\n2\n3\n"), "{told} {}", done.stderr);
    assert!(!told.contains('5'), "{told}");
    let done = bundle.command(&["exec", "web", "true"]).inside("exec \"$@\" </").run();
    done.exits(255).explained(&["standard input is a directory"]);
}

#[test]
fn rights_and_groups_are_added() {
    requires!(subuid);
    let bundle = Bundle::new(&["sleep", "600"]).ranged();
    let bundle = started(bundle);
    let words = ["-u", "5:6", "-g", "7", "-g", "8"];
    let told = exec(&bundle, &words, &["sh", "-c", "id -u; id -g; id -G"]).ok();
    assert_eq!(told, "5\n6\n6 7 8");
    let told = exec(&bundle, &["--cap", "CAP_KILL"], &["grep", "CapBnd", "/proc/self/status"]).ok();
    assert_eq!(told, "CapBnd:\t0000000000000020");
    let told =
        exec(&bundle, &["--no-new-privs"], &["grep", "NoNewPrivs", "/proc/self/status"]).ok();
    assert_eq!(told, "NoNewPrivs:\t1");
}
