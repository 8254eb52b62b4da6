//! Filters that have an agent of the caller's decide about system calls.

use std::fs;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use super::bundle::Bundle;
use crate::common::program::{Program, Running};
use crate::common::*;

/// An agent: writes down what it is told, refuses calls that have one of the
/// numbers with ENOMEDIUM, and lets all others through.
const AGENT: &str = "
import fcntl, json, os, select, socket, struct, sys, threading
path, said, refused = sys.argv[1], sys.argv[2], [int(n) for n in sys.argv[3].split(',')]
RECV, SEND = 0xc0502100, 0xc0182101
def decide(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while not any(news & select.POLLHUP for _, news in poll.poll()):
        call = bytearray(80)
        try:
            fcntl.ioctl(fd, RECV, call)
            id, _, _, number = struct.unpack_from('=QIIi', call)
            answer = (-123, 0) if number in refused else (0, 1)
            fcntl.ioctl(fd, SEND, struct.pack('=QqiI', id, 0, *answer))
        except OSError: # it has ended
            pass
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
print('up', flush=True)
while True:
    asker, _ = listener.accept()
    text, fds, _, _ = socket.recv_fds(asker, 65536, 4)
    rest = asker.recv(1)
    if len(sys.argv) > 4:
        os.close(fds[0])
        continue
    json.dump({'came': len(fds), 'rest': len(rest), **json.loads(text)}, open(said, 'a'))
    print(file=open(said, 'a'))
    threading.Thread(target=decide, args=fds, daemon=True).start()
";

/// mkdir(2) and mkdirat(2).
const MAKES_DIRECTORIES: &str = if cfg!(target_arch = "x86_64") { "83,258" } else { "34" };

fn agent(bundle: &Bundle) -> Running {
    agent_that(bundle, &[])
}

/// With `leaves`, it takes what it is handed and closes it.
fn agent_that(bundle: &Bundle, leaves: &[&str]) -> Running {
    let paths = [bundle.scratch.text("agent"), bundle.scratch.text("said")];
    let program = Program::new("python3").args(["-c", AGENT]).args(paths);
    let mut agent = program.arg(MAKES_DIRECTORIES).args(leaves).within(120.0).spawn();
    assert_eq!(agent.line(), "up");
    agent
}

/// A filter that asks about everything.
fn asking(bundle: Bundle) -> Bundle {
    let path = bundle.scratch.text("agent");
    bundle.set(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_NOTIFY",
            "flags": ["SECCOMP_FILTER_FLAG_TSYNC"],
            "listenerPath": path,
            "listenerMetadata": "a=b",
        }),
    )
}

/// Whoever waits for the container here does so when asked to: an end that has
/// been taken tells nobody any more whether the program ran before it.
const PATIENT: &str = "
import ctypes, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) # PR_SET_CHILD_SUBREAPER
print(subprocess.call(sys.argv[1:]), flush=True)
signal.pause()
";

/// Makes a container whose end nobody takes as long as this stays.
#[must_use]
fn kept(bundle: &Bundle, id: &str) -> Running {
    let path = bundle.path();
    let create = bundle.command(&["create", "--bundle", &path, id]).within(120.0);
    let mut parent = create.under(&["python3", "-c", PATIENT]).spawn();
    assert_eq!(parent.line(), "0");
    parent
}

fn said(bundle: &Bundle) -> Vec<Value> {
    let text = fs::read_to_string(bundle.scratch.join("said")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

const MAKES: &str = "mkdir /made 2>/why; exec sleep 600";

#[test]
fn an_agent_decides_about_all_calls_of_the_program() {
    requires!(python3);
    for no_new in [true, false] {
        let bundle = asking(Bundle::new(&["sh", "-c", MAKES]))
            .set("/process/noNewPrivileges", json!(no_new))
            .set("/annotations", json!({"long": "x".repeat(9000)}));
        let _agent = agent(&bundle);
        bundle.create("web").exits(0);
        assert_eq!(said(&bundle).len(), if no_new { 0 } else { 1 });
        bundle.oci(&["start", "web"]).ok();
        let why =
            || fs::read_to_string(bundle.root.join("why")).ok().filter(|it| it.ends_with('\n'));
        let why = eventually(60.0, why).expect("it tries");
        assert!(why.contains("No medium found"), "{why}");
        let told = said(&bundle);
        let [told] = told.as_slice() else { panic!("{told:?}") };
        let state = bundle.state("web");
        assert_eq!((&told["came"], &told["rest"]), (&json!(1), &json!(0)));
        assert_eq!(told["fds"], json!(["seccompFd"]));
        assert_eq!(told["metadata"], "a=b");
        assert_eq!(told["ociVersion"], "1.2.0");
        assert_eq!((&told["pid"], &told["state"]["pid"]), (&state["pid"], &state["pid"]));
        assert_eq!(
            (&told["state"]["id"], &told["state"]["bundle"]),
            (&json!("web"), &json!(bundle.path()))
        );
        assert_eq!(told["state"]["status"], if no_new { "created" } else { "creating" });

        // A further program has a filter, and so a listener, of its own.
        let words = ["exec", "web", "sh", "-c", "mkdir /more || echo refused"];
        let done = bundle.oci(&words);
        done.exits(0);
        assert!(done.stdout().contains("refused"), "{}", done.stderr);
        let told = said(&bundle);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_ne!(told[1]["pid"], state["pid"]);
        assert_eq!(told[1]["state"]["status"], "running");
        bundle.oci(&["delete", "--force", "web"]).ok();
    }
}

#[test]
fn without_an_agent_the_program_does_not_run() {
    requires!();
    let script = ["touch", "/ran"];
    let late = asking(Bundle::new(&script)).set("/process/noNewPrivileges", json!(true));
    late.create("web").exits(0);
    let done = late.oci(&["start", "web"]);
    done.exits(1).explained(&["linux.seccomp.listenerPath", "agent", "No such file"]);
    assert_eq!(late.state("web")["status"], "stopped");
    assert!(!late.root.join("ran").exists());

    let early = asking(Bundle::new(&script));
    early.create("web").exits(1).explained(&["linux.seccomp.listenerPath", "agent"]);
    assert_eq!(early.left(), 0);

    // One who takes it and doesn't read it all.
    let listener = UnixListener::bind(late.scratch.join("agent"));
    let listener = listener.expect("a socket");
    let late = late.set("/annotations", json!({"long": "x".repeat(4 << 20)}));
    late.create("two").exits(0);
    let done = late.oci(&["start", "two"]);
    done.exits(1).explained(&["listenerPath", "nobody has accepted and read it"]);
    assert_eq!(late.state("two")["status"], "stopped");
    assert!(!late.root.join("ran").exists());
    drop(listener);
}

#[test]
fn a_listener_that_nobody_asks_is_not_looked_for() {
    requires!();
    let filter = |path: &str| json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path});
    let bundle = Bundle::new(&["touch", "/ran"]).set("/linux/seccomp", filter("/nowhere/at/all"));
    bundle.oci(&["run", "--bundle", &bundle.path(), "web"]).ok();
    assert!(bundle.root.join("ran").exists());
}

/// Where nobody decides any more each call fails, also that by which a process
/// ends: it ends all the same, and that is told.
#[test]
fn an_agent_that_leaves_takes_the_program_along() {
    requires!(python3);
    let killed = &["killed before the program ran", "filter", "agent"];
    let bundle = asking(Bundle::new(&["touch", "/ran"]));
    let bundle = bundle.set("/process/noNewPrivileges", json!(true));
    let agent = agent_that(&bundle, &["leaves"]);
    let after = bundle.scratch.text("after");
    let after = json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("touch {after}")]}]);
    let bundle = bundle.set("/hooks", json!({"poststart": after}));
    let parent = kept(&bundle, "web");
    bundle.oci(&["start", "web"]).exits(1).explained(killed);
    assert_eq!(bundle.state("web")["status"], "stopped");
    assert!(!bundle.root.join("ran").exists() && !bundle.scratch.join("after").exists());
    bundle.oci(&["delete", "web"]).ok();
    drop((agent, parent));

    // A further program is none of the container's first one.
    let bundle = bundle.set("/hooks", json!(null)).set("/process/args", json!(["sleep", "600"]));
    fs::remove_file(bundle.scratch.join("agent")).expect("its socket");
    let good = agent_that(&bundle, &[]);
    bundle.create("web").exits(0);
    bundle.oci(&["start", "web"]).ok();
    fs::remove_file(bundle.scratch.join("agent")).expect("its socket");
    let _leaves = agent_that(&bundle, &["leaves"]);
    let done = bundle.oci(&["exec", "web", "touch", "/ran"]);
    assert!([132, 255].contains(&done.code()), "{}: {}", done.code(), done.stderr);
    assert!(!bundle.root.join("ran").exists());
    assert_eq!(bundle.oci(&["ps", "-f", "json", "web"]).json().as_array().map(Vec::len), Some(1));
    drop(good);
}

/// The same of a filter that refuses everything by itself.
#[test]
fn a_filter_that_lets_nothing_through_is_told() {
    requires!(python3);
    let refusing = json!({"defaultAction": "SCMP_ACT_ERRNO"});
    let bundle = Bundle::new(&["touch", "/ran"]).set("/linux/seccomp", refusing);
    let bundle = bundle.set("/process/noNewPrivileges", json!(true));
    let parent = kept(&bundle, "web");
    let killed = &["killed before the program ran", "execve"];
    bundle.oci(&["start", "web"]).exits(1).explained(killed);
    assert_eq!(bundle.state("web")["status"], "stopped");
    assert!(!bundle.root.join("ran").exists());
    bundle.oci(&["delete", "web"]).ok();
    drop(parent);

    // Nobody listens for a hook of the container's.
    let hook = json!([{"path": "/bin/true"}]);
    let bundle = asking(bundle).set("/hooks", json!({"startContainer": hook}));
    bundle.create("web").exits(0);
    let done = bundle.oci(&["start", "web"]);
    done.exits(1).explained(&["hooks.startContainer", "/bin/true", "not implemented"]);
    assert_eq!(bundle.state("web")["status"], "stopped");
}

/// An agent that is mute holds the program up, and nobody takes its end for a
/// start.
#[test]
fn who_is_killed_while_the_agent_decides_was_not_started() {
    requires!(python3);
    let bundle = asking(Bundle::new(&["touch", "/ran"]));
    let after = bundle.scratch.text("after");
    let after = json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("touch {after}")]}]);
    let bundle = bundle
        .set("/process/noNewPrivileges", json!(true))
        .set("/hooks", json!({"poststart": after}));
    let _mute = UnixListener::bind(bundle.scratch.join("agent")).expect("a socket");
    let _parent = kept(&bundle, "web");
    let start = bundle.command(&["start", "web"]).spawn();
    std::thread::sleep(patience(0.5));
    assert_eq!(bundle.state("web")["status"], "created");
    bundle.oci(&["kill", "web", "KILL"]).ok();
    start.wait().exits(1).explained(&["killed before the program ran"]);
    assert!(!bundle.root.join("ran").exists() && !bundle.scratch.join("after").exists());
}
