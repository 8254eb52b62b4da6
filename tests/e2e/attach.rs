//! Going back to containers in the background.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr};
use nix::sys::socket::{connect, recv, send, socket};

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
        terminal.resize(30, 100);
        terminal.send("hello\r");
        terminal.expect("heard hello in 30 100");
        terminal.send(if keys.is_none() { "\u{10}\u{11}" } else { "a\u{18}" });
        assert!(terminal.wait().success());
        assert_eq!(terminal.settings().local_flags, terminal.fresh().local_flags);
        assert_eq!(at.inspect("web")["State"]["Status"], "running");
    }
    // Whoever is killed gives the terminal back, and it runs on.
    let mut terminal = at.sublet(&["attach", "web"]).on_terminal();
    terminal.send("again\r");
    terminal.expect("heard again");
    let pid = nix::unistd::Pid::from_raw(terminal.pid() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("kill it");
    let restored =
        || (terminal.settings().local_flags == terminal.fresh().local_flags).then_some(());
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
    // Who comes later does not hear what was said before.
    let words = ["events", "--since", "1h", "--until", "0s", "-f", "event=attach"];
    let both = || (at.sublet(&words).ok().lines().count() == 2).then_some(());
    eventually(30.0, both).expect("both are attached");
    at.sublet(&["kill", "-s", "USR1", "web"]).ok();
    assert_eq!((alone.line().as_str(), proxy.line().as_str()), ("usr1", "usr1"));
    alone.signal(libc::SIGTERM);
    alone.wait().exits(143);
    assert_eq!(at.inspect("web")["State"]["Status"], "running");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.line(), "term");
    proxy.wait().exits(4);
}

/// Whoever comes and goes, and when, is nothing to the payload.
#[test]
fn who_asks_and_is_gone_ends_nothing() {
    requires!();
    let at = At::new();
    start(&at, &[], "echo ready; while :; do echo more; sleep 0.01; done");
    let directory = at.scratch.join("run/sublet").join(at.scratch.container("web"));
    let directory = std::fs::File::open(directory).expect("its directory");
    let come = || -> OwnedFd {
        let flags = SockFlag::SOCK_CLOEXEC;
        let client = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None);
        let client = client.expect("a socket");
        let path = format!("/proc/self/fd/{}/control", directory.as_fd().as_raw_fd());
        let address = UnixAddr::new(path.as_str()).expect("an address");
        connect(client.as_raw_fd(), &address).expect("connect");
        client
    };
    let say = |client: &OwnedFd, packet: &[u8]| {
        send(client.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL).expect("say it");
    };
    for _ in 0..20 {
        say(&come(), b"\"attach\"");
        say(&come(), b"nonsense");
        say(&come(), &[b' '; 20_000]);
        drop(come());
    }
    // It says nothing to the end.
    let _silent = come();
    // It is heard by those who stay.
    let client = come();
    say(&client, b"\"attach\"");
    let mut packet = [0; 4096];
    let mut heard = |client: &OwnedFd| {
        let length = recv(client.as_raw_fd(), &mut packet, MsgFlags::empty()).expect("hear");
        String::from_utf8_lossy(&packet[..length]).into_owned()
    };
    assert_eq!(heard(&client), r#"{"attached":{"terminal":false}}"#);
    // More than one line, where the supervisor was kept from reading.
    let said = heard(&client);
    assert!(said.starts_with("omore\n"), "{said:?}");
    assert_eq!(at.inspect("web")["State"]["Status"], "running");
    at.sublet(&["stop", "-t", "0", "web"]).ok();
}

/// As much as it likes, to the last byte, to whoever reads; and as much the
/// other way, faster than it is read.
#[test]
fn much_goes_through_and_all_of_it() {
    requires!();
    let at = At::new();
    let many = 3_000_000;
    start(&at, &["-i"], &format!("echo ready; read line; head -c {many} /dev/zero; exit 3"));
    let done = at.sublet(&["attach", "web"]).input("go\n").run();
    done.exits(3);
    assert_eq!((done.bytes.len(), done.stderr.as_str()), (many, ""));
    at.sublet(&["rm", "web"]).ok();

    start(&at, &["-i"], &format!("echo ready; exec head -c {many}"));
    let text: Vec<u8> = (0..many).map(|at| b'a' + (at % 23) as u8).collect();
    let done = at.sublet(&["attach", "web"]).input(text.clone()).run();
    done.exits(0);
    assert!(done.bytes == text, "{} of {many} bytes; {}", done.bytes.len(), done.stderr);
}

/// Who is attached to a payload that doesn't read can leave all the same.
#[test]
fn a_payload_that_does_not_read_holds_nobody() {
    requires!();
    let at = At::new();
    start(&at, &["-i"], "echo ready; exec sleep 600");
    let typing = at.sublet(&["attach", "--sig-proxy=false", "web"]).input(vec![b'x'; 1 << 20]);
    let typing = typing.spawn();
    // A pipe holds no more than this, and then it waits.
    let input = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/io")).ok();
    let mut before = None;
    let waits = || {
        std::thread::sleep(patience(0.1));
        let now = input(typing.pid()).expect("what it has read");
        let read = now.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse::<u64>().ok());
        // One that stands still as it starts has read less.
        let full = read.is_some_and(|read| read >= 64 << 10);
        let same = before.as_ref() == Some(&now) && full;
        before = Some(now);
        same.then_some(())
    };
    eventually(30.0, waits).expect("it waits");
    typing.signal(libc::SIGTERM);
    typing.wait().exits(143);
    at.sublet(&["stop", "-t", "0", "web"]).ok();
}
