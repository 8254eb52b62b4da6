//! Going back to containers in the background.

use crate::common::*;

/// Starts a container in the background, and waits until it has said `ready`.
fn start(at: &At, options: &[&str], script: &str) {
    at.run(&[&["-d", "--name", "web"], options].concat()).args(["sh", "-c", script]).ok();
    let ready = || at.sublet(&["logs", "web"]).ok().contains("ready").then_some(());
    eventually(30.0, ready).expect("it is ready");
}

#[test]
fn what_is_said_and_typed_goes_through() {
    requires!();
    let at = At::new();
    let script = "echo ready; read line; echo \"heard $line\"; echo to err >&2; read line; exit 5";
    start(&at, &["-i"], script);
    let done = at.sublet(&["attach", "web"]).input("one\ntwo\n").run();
    done.exits(5);
    assert_eq!((done.stdout().as_str(), done.stderr.trim()), ("heard one\n", "to err"));
    at.sublet(&["attach", "web"]).run().explained(&["is not running", "sublet start web"]);
    at.sublet(&["attach"]).refused(&["CONTAINER is missing"]);
}

#[test]
fn keys_leave_it_running_and_the_terminal_as_it_was() {
    requires!();
    let at = At::new();
    let script =
        "echo ready; while read line; do echo \"heard $line in $(stty size)\"; done; exit 6";
    start(&at, &["-it"], script);
    for keys in [None, Some("a,ctrl-x")] {
        let words = ["attach", "--detach-keys", keys.unwrap_or("ctrl-p,ctrl-q"), "web"];
        let mut terminal = at.sublet(&words).on_terminal();
        let before = terminal.settings();
        terminal.resize(30, 100);
        terminal.send("hello\r");
        terminal.expect("heard hello in 30 100");
        terminal.send(if keys.is_none() { "\u{10}\u{11}" } else { "a\u{18}" });
        assert!(terminal.wait().success());
        assert_eq!(terminal.settings().local_flags, before.local_flags);
        assert_eq!(at.inspect("web")["State"]["Status"], "running");
    }
    // Whoever is killed gives the terminal back, and it runs on.
    let mut terminal = at.sublet(&["attach", "web"]).on_terminal();
    let before = terminal.settings();
    terminal.send("again\r");
    terminal.expect("heard again");
    let pid = nix::unistd::Pid::from_raw(terminal.pid() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("kill it");
    let restored = || (terminal.settings().local_flags == before.local_flags).then_some(());
    eventually(10.0, restored).expect("the terminal has its modes");
    assert_eq!(at.inspect("web")["State"]["Status"], "running");
    // The payload's end is everybody's.
    let mut terminal = at.sublet(&["attach", "web"]).on_terminal();
    terminal.send("last\r");
    terminal.expect("heard last");
    terminal.send("\u{4}");
    assert_eq!(terminal.wait().code(), Some(6));
}

/// Somebody who is attached and does not read holds nobody up for long.
#[test]
fn who_does_not_read_is_left_out() {
    requires!();
    let at = At::new();
    start(
        &at,
        &["-i"],
        "echo ready; read line; head -c 5000000 /dev/zero; echo; echo over; exit 3",
    );
    let stalled = at.sublet(&["attach", "--no-stdin", "web"]).spawn();
    let other = at.sublet(&["attach", "web"]).input("go\n").spawn();
    stalled.signal(libc::SIGSTOP);
    let ended = || (at.inspect("web")["State"]["Status"] == "exited").then_some(());
    eventually(60.0, ended).expect("it waits for nobody");
    stalled.signal(libc::SIGKILL);
    let _ = (stalled.wait(), other.wait());
    assert_eq!(at.inspect("web")["State"]["ExitCode"], 3);
}

#[test]
fn signals_are_passed_on_unless_they_are_not_to_be() {
    requires!();
    let at = At::new();
    let script = "trap 'echo usr1' USR1; trap 'echo term; exit 4' TERM; echo ready; while :; do sleep 0.1; done";
    start(&at, &[], script);
    let mut alone = at.sublet(&["attach", "--sig-proxy=false", "web"]).spawn();
    let mut proxy = at.sublet(&["attach", "web"]).spawn();
    at.sublet(&["kill", "-s", "USR1", "web"]).ok();
    assert_eq!((alone.line().as_str(), proxy.line().as_str()), ("usr1", "usr1"));
    alone.signal(libc::SIGTERM);
    alone.wait().exits(143);
    assert_eq!(at.inspect("web")["State"]["Status"], "running");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.line(), "term");
    proxy.wait().exits(4);
}
