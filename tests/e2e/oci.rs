//! sublet-oci, driven as an engine drives a runtime: a case for each MUST of the
//! runtime specification's lifecycle, and what engines rely on beside it.

mod bundle;
mod containerd;
mod cri;
mod exec;
mod fields;
mod groups;
mod hooks;
mod hostile;
mod listener;
mod podman;
mod slurm;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{Backlog, listen};
use serde_json::{Value, json};

use crate::common::*;
use bundle::{Bundle, gone};

/// The one block of a page that is in this language, without what is around it:
/// what is documented is what is tested.
fn documented(page: &str, language: &str) -> String {
    let fence = format!("```{language}\n");
    let (_, rest) = page.split_once(&fence).unwrap_or_else(|| panic!("no {fence} in {page}"));
    assert!(!rest.contains(&fence), "several blocks of {language}");
    let (block, _) = rest.split_once("```").expect("its end");
    block.to_owned()
}

/// Says that it runs, and waits.
const WAIT: &str = "echo running >/said; exec sleep 600";

#[test]
fn a_container_is_created_started_killed_and_deleted() {
    requires!();
    let bundle = Bundle::new(&["sh", "-c", WAIT]);
    bundle.create("web").exits(0);
    let state = bundle.state("web");
    assert_eq!(state["ociVersion"], "1.2.0");
    assert_eq!((&state["id"], &state["status"]), (&json!("web"), &json!("created")));
    assert_eq!(state["bundle"], json!(bundle.path()));
    let pid = state["pid"].as_i64().expect("a pid");
    assert!(pid > 0);
    // The program runs when it is started, and not before.
    assert!(!bundle.root.join("said").exists());

    bundle.oci(&["start", "web"]).ok();
    let said = || bundle.root.join("said").exists().then_some(());
    eventually(10.0, said).expect("the program runs");
    let state = bundle.state("web");
    assert_eq!((&state["status"], &state["pid"]), (&json!("running"), &json!(pid)));
    assert_eq!(bundle.oci(&["ps", "-f", "json", "web"]).json(), json!([pid]));
    assert_eq!(bundle.oci(&["ps", "web"]).ok(), format!("PID\n{pid}"));
    let lines = bundle.oci(&["ps", "web", "-o", "pid,comm"]).ok();
    let words: Vec<&str> = lines.split_whitespace().collect();
    assert_eq!(words, ["PID", "COMMAND", &pid.to_string(), "sleep"]);

    bundle.oci(&["delete", "web"]).exits(1).explained(&["not stopped"]);
    bundle.oci(&["kill", "web", "KILL"]).ok();
    bundle.stopped("web");
    assert_eq!(bundle.state("web").get("pid"), None);
    bundle.oci(&["kill", "web", "KILL"]).exits(1).explained(&["container not running"]);
    bundle.oci(&["kill", "--all", "web", "9"]).ok();
    bundle.oci(&["delete", "web"]).ok();
    gone(&bundle.oci(&["state", "web"]));
    gone(&bundle.oci(&["delete", "web"]));
    bundle.oci(&["delete", "--force", "web"]).ok();
    assert_eq!(bundle.left(), 0);
}

#[test]
fn a_start_is_for_what_was_created() {
    requires!();
    let bundle = Bundle::new(&["sleep", "600"]);
    gone(&bundle.oci(&["start", "web"]));
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
    bundle.oci(&["start", "web"]).exits(1).explained(&["cannot start", "running"]);
    bundle.oci(&["kill", "web", "9"]).ok();
    bundle.stopped("web");
    bundle.oci(&["start", "web"]).exits(1).explained(&["cannot start", "stopped"]);
    bundle.create("web").exits(1).explained(&["container with id exists: web"]);
    bundle.oci(&["delete", "web"]).ok();
}

#[test]
fn of_many_starts_one_starts() {
    requires!();
    let bundle = Bundle::new(&["sh", "-c", "echo once >>/said; exec sleep 600"]);
    bundle.create("web").exits(0);
    let starts: Vec<_> = (0..8).map(|_| bundle.command(&["start", "web"]).spawn()).collect();
    let codes: Vec<_> = starts.into_iter().map(|start| start.wait().code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    let said = || fs::read_to_string(bundle.root.join("said")).ok();
    assert_eq!(eventually(10.0, said).expect("it runs"), "once\n");
}

/// Whoever looks at a container often must not start it, nor keep it from it.
#[test]
fn looking_at_a_container_does_not_start_it() {
    requires!();
    let bundle = Bundle::new(&["sh", "-c", WAIT]);
    bundle.create("web").exits(0);
    for _ in 0..30 {
        assert_eq!(bundle.state("web")["status"], "created");
    }
    assert!(!bundle.root.join("said").exists());
    bundle.oci(&["start", "web"]).ok();
    assert_eq!(bundle.state("web")["status"], "running");
}

#[test]
fn what_was_created_can_be_killed_and_deleted() {
    requires!();
    let bundle = Bundle::new(&["sh", "-c", WAIT]);
    bundle.create("a").exits(0);
    bundle.oci(&["delete", "a"]).ok();
    bundle.create("a").exits(0);
    bundle.oci(&["kill", "a", "SIGKILL"]).ok();
    bundle.stopped("a");
    bundle.oci(&["delete", "a"]).ok();
    bundle.create("a").exits(0);
    bundle.oci(&["start", "a"]).ok();
    bundle.oci(&["delete", "-f", "a"]).ok();
    assert_eq!(bundle.left(), 0);
}

/// The configuration is what it was when the container was made.
#[test]
fn a_later_change_of_the_bundle_changes_nothing() {
    requires!();
    let bundle = Bundle::new(&["sh", "-c", WAIT]).set("/annotations", json!({"a": "1"}));
    bundle.create("web").exits(0);
    let bundle = bundle.set("/annotations", json!({"a": "2"})).set("/process/args", json!(["no"]));
    assert_eq!(bundle.state("web")["annotations"], json!({"a": "1"}));
    bundle.oci(&["start", "web"]).ok();
    assert_eq!(bundle.state("web")["status"], "running");
}

#[test]
fn a_failed_create_leaves_nothing() {
    requires!();
    let bundle = Bundle::new(&["no-such-program"]);
    bundle.create("web").exits(1).explained(&["executable file not found in $PATH"]);
    let bundle = bundle.set("/process/args", json!(["/no/such"]));
    bundle.create("web").exits(1).explained(&["no such file or directory"]);
    let bundle = bundle.set("/process/args", json!(["/etc/passwd"]));
    bundle.create("web").exits(1).explained(&["permission denied"]);
    let bundle = bundle.set("/process/args", json!(["/etc"]));
    bundle.create("web").exits(1).explained(&["permission denied"]);
    let bundle = bundle.set("/process/args", json!(["true"])).set("/process/cwd", json!("/none"));
    let done = bundle.create("web");
    done.exits(1).explained(&["/none", "no such directory", "process.cwd"]);
    // It has written no command line.
    assert!(!done.stderr.contains("--"), "{}", done.stderr);
    let bundle = bundle.set("/process/cwd", json!("/")).set("/root/path", json!("nowhere"));
    bundle.create("web").exits(1).explained(&["nowhere"]);
    let root = bundle.root.text().to_owned();
    let bundle = bundle.set("/root/path", json!(root));
    let words = ["--pid-file", "/no/such/directory/pid"];
    bundle.create_with(&words, "web").exits(1).explained(&["write the pid"]);
    assert_eq!(bundle.left(), 0);
    bundle.create("web").exits(0);
}

/// A program that is there and still can't be executed is found out late.
#[test]
fn a_failed_start_says_why() {
    requires!();
    let bundle = Bundle::new(&["/odd"]);
    fs::write(bundle.root.join("odd"), "#!/no/such/interpreter\n").expect("write it");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(bundle.root.join("odd"), mode).expect("set its mode");
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).exits(1).explained(&["/odd", "interpreter"]);
    bundle.stopped("web");
    bundle.oci(&["delete", "web"]).ok();
}

#[test]
fn an_engine_reads_errors_in_the_log() {
    requires!();
    let bundle = Bundle::new(&["no-such-program"]);
    let log = bundle.scratch.text("log");
    let bundle = bundle.globally(&["--log", &log, "--log-format", "json"]);
    let done = bundle.create("web");
    assert_eq!((done.code(), done.stderr.as_str()), (1, ""), "{}", done.stderr);
    let text = fs::read_to_string(&log).expect("a log");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert_eq!(lines[0]["level"], "error");
    let said = lines[0]["msg"].as_str().expect("a message");
    assert!(said.contains("executable file not found in $PATH"), "{said}");
    assert!(lines[0]["time"].as_str().is_some_and(|time| time.starts_with("20")), "{text}");
    // Where nothing of the container's is said it is there too, for containerd.
    gone(&bundle.oci(&["kill", "web"]));
    let text = fs::read_to_string(&log).expect("a log");
    assert!(text.lines().count() == 2 && text.contains("does not exist"), "{text}");
}

#[test]
fn run_stays_until_the_program_has_ended() {
    requires!();
    let bundle = Bundle::new(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    let done = bundle.oci(&["run", "--bundle", &bundle.path(), "web"]);
    assert_eq!((done.code(), done.stdout().as_str(), done.stderr.as_str()), (7, "out\n", "err\n"));
    let bundle = bundle.set("/process/args", json!(["sh", "-c", "kill -KILL $$"]));
    // The kernel keeps a pid 1 from killing itself.
    bundle.oci(&["run", "--bundle", &bundle.path(), "web"]).exits(0);
    let bundle = bundle.set("/process/args", json!(["none"]));
    bundle.oci(&["run", "--bundle", &bundle.path(), "web"]).exits(1);
    assert_eq!(bundle.left(), 0);
}

#[test]
fn a_terminal_is_sent_to_the_console_socket() {
    requires!();
    let bundle = Bundle::new(&["sh", "-c", "tty; stty size; read line"])
        .set("/process/terminal", json!(true))
        .set("/process/consoleSize", json!({"height": 33, "width": 77}));
    bundle.create("web").exits(1).explained(&["--console-socket"]);
    let (file, long) = (bundle.scratch.text("bundle/config.json"), "x".repeat(200));
    for (socket, why) in [("/no/such", "No such file"), (&*file, "refused"), (&long, "too long")] {
        let refused = bundle.create_with(&["--console-socket", socket], "web");
        refused.exits(1).explained(&["send the terminal", why, "somebody listens"]);
    }
    assert_eq!(bundle.left(), 0);
    let (socket, listener) = bundle.console();
    bundle.create_with(&["--console-socket", &socket], "web").exits(0);
    let mut terminal = bundle::receive(&listener);
    bundle.oci(&["start", "web"]).ok();
    // What a terminal holds may be lost when its session ends.
    let mut text = String::new();
    while !text.ends_with("33 77\r\n") {
        let mut some = [0; 64];
        let length = terminal.read(&mut some);
        let length = length.unwrap_or_else(|error| panic!("{error} after {text:?}"));
        assert!(length > 0, "its end after {text:?}");
        text += &String::from_utf8_lossy(&some[..length]);
    }
    terminal.write_all(b"\n").expect("it listens");
    assert_eq!(text.replace('\r', ""), "/dev/pts/0\n33 77\n");
}

/// One who has much to accept is waited for, and who waits can be ended.
#[test]
fn who_takes_the_terminal_may_be_late() {
    requires!();
    let bundle = Bundle::new(&["true"]).set("/process/terminal", json!(true));
    // The terminal is the next that is to be handed on.
    let near = bundle.scratch.join("near");
    let hook = json!([{"path": "/bin/touch", "args": ["touch", near]}]);
    let bundle = bundle.set("/hooks", json!({"createRuntime": hook}));
    let waits = || {
        eventually(20.0, || fs::remove_file(&near).ok()).expect("it comes so far");
        std::thread::sleep(patience(0.1));
    };
    let (socket, listener) = bundle.console();
    listen(&listener, Backlog::new(0).expect("a number")).expect("have room for one");
    let _before = UnixStream::connect(&socket).expect("he has room");
    let create = ["create", "--bundle", &bundle.path(), "--console-socket", &socket, "web"];
    let early = bundle.command(&create).spawn();
    waits();
    early.signal(libc::SIGTERM);
    early.wait().exits(1).explained(&["stopped by SIGTERM"]);
    assert_eq!(bundle.left(), 0);

    let create = bundle.command(&create).under(&["sh", "-c", "exec \"$@\" >/dev/null 2>&1", "sh"]);
    let late = create.spawn();
    waits();
    drop(listener.accept().expect("who was before"));
    let _terminal = bundle::receive(&listener);
    late.wait().exits(0);
}

#[test]
fn the_pid_file_has_the_pid_as_soon_as_it_is_there() {
    requires!();
    let bundle = Bundle::new(&["sleep", "600"]);
    let file = bundle.scratch.text("pid");
    bundle.create_with(&["--pid-file", &file], "web").exits(0);
    let pid = fs::read_to_string(&file).expect("a pid");
    assert_eq!(bundle.state("web")["pid"].to_string(), pid);
}

#[test]
fn what_there_is_is_listed() {
    requires!();
    let bundle = Bundle::new(&["sleep", "600"]);
    assert_eq!(bundle.oci(&["list", "--format", "json"]).json(), json!([]));
    for id in ["b", "a"] {
        bundle.create(id).exits(0);
    }
    assert_eq!(bundle.oci(&["list", "-q"]).ok(), "a\nb");
    let listed = bundle.oci(&["list", "-f", "json"]).json();
    assert_eq!((&listed[0]["id"], &listed[0]["status"]), (&json!("a"), &json!("created")));
    assert!(bundle.oci(&["list"]).ok().starts_with("ID"));
    let elsewhere = bundle.scratch.text("else/where");
    let other = bundle.globally(&["--root", &elsewhere]);
    assert_eq!(other.oci(&["list", "-q"]).ok(), "");
    // Whoever only asks makes nothing.
    for verb in ["state", "ps", "start", "kill", "pause", "events", "delete"] {
        gone(&other.oci(&[verb, "a"]));
    }
    other.oci(&["delete", "--force", "a"]).ok();
    assert!(!std::path::Path::new(&elsewhere).exists());
    other.create("a").exits(0);
    assert_eq!(other.oci(&["list", "-q"]).ok(), "a");
    other.oci(&["delete", "-f", "a"]).ok();
    // Which ends with the test, as the other place would be left otherwise.
    let bundle = other.globally(&[]);
    assert_eq!(bundle.oci(&["list", "-q"]).ok(), "a\nb");
}

#[test]
fn it_tells_what_it_can_do() {
    requires!();
    let bundle = Bundle::new(&["true"]);
    let features = bundle.oci(&["features"]).json();
    assert_eq!(features["ociVersionMax"], "1.3.0");
    let has = |path: &str, word: &str| {
        features.pointer(path).and_then(Value::as_array).expect(path).contains(&json!(word))
    };
    assert!(has("/hooks", "createContainer") && has("/hooks", "startContainer"), "{features}");
    assert!(has("/linux/namespaces", "time") && has("/linux/namespaces", "user"), "{features}");
    assert!(bundle.oci(&["--version"]).ok().contains("spec: "));
    let directory = bundle.scratch.dir("new");
    bundle.oci(&["spec", "--bundle", &directory]).ok();
    bundle.oci(&["spec", "--bundle", &directory]).exits(1);
    std::os::unix::fs::symlink(bundle.root.path(), format!("{directory}/rootfs")).expect("a link");
    let text = fs::read_to_string(format!("{directory}/config.json")).expect("a file");
    let text = text.replace("\"sh\"", "\"hostname\"");
    fs::write(format!("{directory}/config.json"), text).expect("write it");
    assert_eq!(bundle.oci(&["run", "--bundle", &directory, "new"]).ok(), "sublet");
}
