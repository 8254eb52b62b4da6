//! Containers in the background, and what they were started from coming to its
//! end: a service, a terminal's scope.

use std::io::Read;
use std::net::TcpStream;

use crate::common::*;
use crate::limits::{forgotten, systemctl};

/// ctrl-p ctrl-q.
const KEYS: &str = "\u{10}\u{11}";

/// Ends by SIGTERM, with a code that nothing else has.
const SCRIPT: &str = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";

/// A unit of the user's systemd for one test.
struct Unit(String);

impl Unit {
    fn new(name: &str) -> Self {
        Self(format!("e2e-apart-{}-{name}", std::process::id()))
    }

    /// A command line that starts `program` in it, whose variables for our
    /// records it has.
    fn start(&self, kind: &[&str], at: &At, program: Program) -> Program {
        let environment = at.scratch.environment();
        let variables = environment.iter().map(|(name, path)| format!("{name}={}", path.display()));
        let variables: Vec<String> = variables.collect();
        let mut outer = vec!["systemd-run", "--user", "--quiet", "--collect", "--unit", &self.0];
        outer.extend(kind);
        outer.extend(["--", "env"]);
        outer.extend(variables.iter().map(String::as_str));
        let (uid, _) = caller();
        // Where systemd-run finds the user's systemd.
        program.under(&outer).env("XDG_RUNTIME_DIR", format!("/run/user/{uid}")).within(120.0)
    }

    fn stop(&self) {
        let (uid, _) = caller();
        let stop = Program::new("systemctl").args(["--user", "stop", &self.0]);
        // A scope is gone with its last process.
        stop.env("XDG_RUNTIME_DIR", format!("/run/user/{uid}")).within(120.0).run();
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The supervisor of a container, and the last part of its control group's path.
fn supervisor(at: &At) -> (u32, String) {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", at.payload("web")));
    let stat = stat.expect("its first process");
    let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
    let parent: u32 = parent.and_then(|pid| pid.parse().ok()).expect("a parent");
    let group = std::fs::read_to_string(format!("/proc/{parent}/cgroup")).expect("its group");
    (parent, group.trim().rsplit('/').next().expect("a path").to_owned())
}

/// Waits until it has said so for the `times`th time: before, a signal that it
/// is to hear is lost.
#[track_caller]
fn is_ready(at: &At, times: usize) {
    let said = || at.sublet(&["logs", "web"]).ok().matches("ready").count();
    eventually(30.0, || (said() == times).then_some(())).expect("it is ready");
}

/// It runs, and ends as it likes; systemd keeps nothing of it.
fn runs_on(at: &At) {
    let (parent, group) = supervisor(at);
    let scope = at.unit("web").replace(".scope", &format!("-supervisor-{parent}.scope"));
    assert_eq!(group, scope);
    // Else the next start of it could be made in there.
    let delegate = systemctl(&["show", "--property", "Delegate", "--value", &scope]);
    assert_eq!(delegate.trim(), "no");
    assert_eq!(at.inspect("web")["State"]["Status"], "running");
    let unit = at.unit("web");
    at.sublet(&["stop", "web"]).ok();
    let state = at.inspect("web")["State"].take();
    assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &7.into()), "{state}");
    forgotten(&[&unit, &scope]);
    at.sublet(&["rm", "web"]).ok();
    Leaks::of(&at.scratch).none();
}

/// It ends where the unit does that it was started from.
fn ends_with(unit: &Unit, at: &At) {
    unit.stop();
    let over = || (at.inspect("web")["State"]["Status"] != "running").then_some(());
    eventually(20.0, over).expect("it has ended with it");
    at.sublet(&["rm", "-f", "web"]).ok();
    Leaks::of(&at.scratch).none();
}

#[test]
fn a_service_that_has_started_one_may_end() {
    requires!(scopes);
    let (at, unit) = (At::new(), Unit::new("port.service"));
    let serve = "trap 'exit 7' TERM; while :; do echo hello | nc -l -p 80 & wait $!; done";
    let options = ["-d", "--cgroups", "require", "--network", "loopback", "-p", "80"];
    let program = at.run(&[&options[..], &["--name", "web"]].concat()).args(["sh", "-c", serve]);
    let kind = ["-p", "Type=oneshot", "-p", "RemainAfterExit=yes"];
    unit.start(&kind, &at, program).ok();
    assert_eq!(at.inspect("web")["State"]["Status"], "running");
    unit.stop();
    // Who forwards its ports has gone along.
    let port = at.sublet(&["port", "web", "80"]).ok();
    let said = eventually(20.0, || {
        let mut said = String::new();
        TcpStream::connect(port.lines().next()?).ok()?.read_to_string(&mut said).ok()?;
        Some(said).filter(|said| !said.is_empty())
    });
    assert_eq!(said.as_deref(), Some("hello\n"));
    runs_on(&at);
}

/// Until it is left it is where its terminal is, and then no more.
#[test]
fn a_terminal_that_was_left_may_end() {
    requires!(scopes);
    let (at, unit) = (At::new(), Unit::new("terminal.scope"));
    let options = ["-it", "--cgroups", "require", "--name", "web"];
    let program = at.run(&options).args(["sh", "-c", SCRIPT]);
    let mut terminal = unit.start(&["--scope"], &at, program).on_terminal();
    terminal.expect("ready");
    assert_eq!(supervisor(&at).1, unit.0);
    terminal.send(KEYS);
    terminal.expect("web runs on in the background");
    assert!(terminal.wait().success());
    unit.stop();
    runs_on(&at);
}

/// A limit on the container is none on who stays with it, and a pause no pause
/// of his.
#[test]
fn who_stays_is_not_of_the_container() {
    requires!(scopes);
    let at = At::new();
    let options = ["-d", "--cgroups", "require", "--name", "web"];
    at.run(&options).args(["sh", "-c", SCRIPT]).ok();
    let (parent, scope) = supervisor(&at);
    assert!(scope.contains("-supervisor-"), "{scope}");
    let place = at.inspect("web")["CgroupPath"].as_str().expect("a place").to_owned();
    for group in ["", "/payload", "/supervisor"] {
        let there = std::fs::read_to_string(format!("{place}{group}/cgroup.procs"));
        let there = there.expect("its processes");
        assert!(!there.lines().any(|pid| pid == parent.to_string()), "{group}");
    }
    at.sublet(&["pause", "web"]).ok();
    // He answers.
    at.sublet(&["logs", "web"]).ok();
    at.sublet(&["unpause", "web"]).ok();
    // The next of the same name does not meet what the last has left.
    is_ready(&at, 1);
    at.sublet(&["restart", "web"]).ok();
    is_ready(&at, 2);
    runs_on(&at);
}

/// One without a group of its own is part of what started it.
#[test]
fn what_has_no_group_of_its_own_stays_where_it_is() {
    requires!(scopes);
    let (at, unit) = (At::new(), Unit::new("part.service"));
    for options in [&["--cgroups", "disabled"][..], &[]] {
        let program = at.run(&[&["-d", "--name", "web"], options].concat());
        let kind = ["-p", "Type=oneshot", "-p", "RemainAfterExit=yes"];
        let done = unit.start(&kind, &at, program.args(["sh", "-c", SCRIPT])).run();
        done.exits(0);
        assert!(!done.stderr.contains("session"), "{}", done.stderr);
        assert_eq!(supervisor(&at).1, unit.0);
        ends_with(&unit, &at);
    }
}

/// A service that its container tells that it is ready is that container.
#[test]
fn a_service_that_waits_for_it_keeps_it() {
    requires!(scopes);
    let (at, unit) = (At::new(), Unit::new("notify.service"));
    let options = ["-d", "--cgroups", "require", "--name", "web", "--sdnotify", "conmon"];
    let returned = at.scratch.join("returned");
    let script = format!("\"$@\"; touch {}", returned.display());
    let program = at.run(&options).args(["sh", "-c", SCRIPT]).inside(&script);
    let kind = ["-p", "Type=notify", "-p", "NotifyAccess=all", "-p", "TimeoutStartSec=100"];
    unit.start(&kind, &at, program).ok();
    eventually(60.0, || returned.exists().then_some(())).expect("run -d returns");
    assert_eq!(supervisor(&at).1, unit.0);
    ends_with(&unit, &at);
}
