//! The ways in which a process comes to run on a machine with systemd: on each a
//! limit holds, or it is said why not, and without a limit nothing is asked of
//! anybody. By root of the machine under QEMU, which can take all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::*;
use crate::doctor::in_time;

/// One at a time: they make users, and change what systemd does for all.
static ALONE: Mutex<()> = Mutex::new(());

/// A user of the machine, and where the tests let containers have their root.
struct User {
    name: String,
    uid: u32,
    root: Root,
    _scratch: Scratch,
    _alone: MutexGuard<'static, ()>,
}

/// Has the machine's root do something that may not fail.
fn done(words: &[&str]) -> String {
    Program::new(words[0]).args(&words[1..]).within(60.0).ok()
}

impl User {
    /// One of whom systemd knows nothing yet.
    fn new(name: &str) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        done(&["useradd", "--create-home", name]);
        Self::known(name, alone)
    }

    fn known(name: &str, alone: MutexGuard<'static, ()>) -> Self {
        let scratch = Scratch::new();
        let root = Root::busybox(&scratch);
        let uid = done(&["id", "-u", name]).parse().expect("a uid");
        Self { name: name.to_owned(), uid, root, _scratch: scratch, _alone: alone }
    }

    /// The user of the machine, whose systemd runs from boot on.
    fn tester() -> Self {
        Self::known("tester", ALONE.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn root() -> Self {
        Self::known("root", ALONE.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The words after which a program runs as this user.
    fn words(&self, way: Way) -> Vec<String> {
        let name = &self.name;
        let user = format!("User={name}");
        let service = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect"];
        let ids = ["setpriv", "--reuid", name, "--regid", name, "--init-groups", "--"];
        let clean = ["env", "-i", "-C", "/", "PATH=/usr/bin:/bin", "LANG=C.UTF-8"];
        let exec = r#"exec "$0" "$@""#;
        let words = match way {
            Way::Delegated => [&service[..], &["-p", &user, "-p", "Delegate=yes", "--"]].concat(),
            Way::Service => [&service[..], &["-p", &user, "--"]].concat(),
            Way::Login => [&service[..], &["-p", &user, "-p", "PAMName=login", "--"]].concat(),
            Way::Su => vec!["su", "-s", "/bin/sh", "-c", exec, "--", name],
            Way::Sudo => vec!["sudo", "-n", "-u", name, "--"],
            Way::Cron => [&service[..], &["--"], &ids[..], &clean[..]].concat(),
            Way::Plain => [&ids[..], &clean[..]].concat(),
        };
        words.into_iter().map(str::to_owned).collect()
    }

    /// `sublet run`, started in one of the ways.
    fn run(&self, way: Way, options: &[&str]) -> Program {
        let words = self.words(way);
        let program = Program::new(&words[0]).args(&words[1..]).arg(launcher()).args(RUN);
        program.args(options).within(60.0)
    }

    /// What `sublet doctor` finds of `id`, asked in one of the ways.
    fn finding(&self, way: Way, id: &str) -> Value {
        let words = self.words(way);
        let report = || -> Value {
            let program = Program::new(&words[0]).args(&words[1..]).arg(launcher());
            let done = program.args(["doctor", "--json"]).within(120.0).run();
            let report: Value = serde_json::from_slice(&done.bytes)
                .unwrap_or_else(|error| panic!("{error}: {} {}", done.stdout(), done.stderr));
            assert_eq!(report["exit_code"], done.code(), "{report:#}");
            report
        };
        let report = in_time(report, |report| report);
        let mut all = report["findings"].as_array().expect("findings").iter();
        let found = all.find(|finding| finding["id"] == id);
        found.unwrap_or_else(|| panic!("no {id} in {report:#}")).clone()
    }

    fn manager(&self) -> String {
        format!("user@{}.service", self.uid)
    }

    /// Waits until systemd has ended all that the user's last session left.
    fn is_logged_out(&self) {
        let known =
            || done(&["systemctl", "show", "--value", "-p", "ActiveState", &self.manager()]);
        let over = eventually(30.0, || (known() == "inactive").then_some(()));
        assert!(over.is_some(), "{} is {}", self.manager(), known());
    }

    /// Without a limit it runs, and nobody has anything to say; with one it is
    /// as `expected`.
    fn try_out(&self, way: Way, expected: Expected) {
        let told = format!("{way:?} as {}: {expected:?}", self.name);
        let limited = ["-m", "64m"];
        let plain = self.run(way, &[]).arg(self.root.path()).args(["echo", "inside"]).run();
        assert_eq!(plain.ok(), "inside", "{told}");
        assert!(!plain.stderr.contains("control group"), "{told}: {}", plain.stderr);
        let run = self.run(way, &limited).arg(self.root.path()).args(GREEDY).run();
        let memory = self.finding(way, "memory");
        match expected {
            Expected::Limit => {
                assert_eq!(memory["verdict"], "ok", "{told}: {memory:#}");
                run.exits(137);
                let said = "sublet: the container ran out of memory: limit 64 MiB";
                assert!(run.stderr.contains(said), "{told}: {}", run.stderr);
            }
            Expected::Refusal(words) => {
                run.refused(words).refused(&["--memory", "--limits best-effort"]);
                assert_eq!(memory["verdict"], "degraded", "{told}: {memory:#}");
                says_the_same(&run.stderr, &memory);
                let best = ["--limits", "best-effort", "-m", "64m"];
                let best = self.run(way, &best).arg(self.root.path()).args(["echo", "in"]).run();
                assert_eq!(best.ok(), "in", "{told}");
                assert!(best.stderr.contains("not limited: --memory"), "{told}: {}", best.stderr);
            }
        }
    }
}

/// A run has said all that the rows of a finding of `sublet doctor` say.
fn says_the_same(told: &str, finding: &Value) {
    let rows = finding["remedies"].as_array().expect("remedies");
    assert!(!rows.is_empty(), "{finding:#}");
    for (row, part) in
        rows.iter().flat_map(|row| ["cause", "root", "around"].map(|part| (row, part)))
    {
        for line in row[part].as_str().expect("a text").lines() {
            assert!(told.contains(line.trim_start()), "no {line:?} in {told}");
        }
    }
}

/// How a process comes to run as somebody.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A service of the machine's systemd, `User=` and `Delegate=yes`.
    Delegated,
    /// A service without the latter.
    Service,
    /// As sshd and login do: a session of logind's.
    Login,
    /// su(1) in somebody else's session.
    Su,
    /// sudo(8), likewise.
    Sudo,
    /// As cron and at do it: in a service, other ids, an empty environment.
    Cron,
    /// Other ids and nothing else; the process is then that of the test.
    Plain,
}

/// What a limit comes to.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// It holds.
    Limit,
    /// It is said why it can't be had, in these words.
    Refusal(&'static [&'static str]),
}

/// Takes 200 MiB, and touches all of them.
const GREEDY: [&str; 5] = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];

const NO_SESSION: &[&str] = &["no session is open", "log in by ssh", "loginctl enable-linger"];

/// Where cgroup v1 has the controllers, that is the reason, whoever asks.
fn tell(expected: Expected) -> Expected {
    match need::cgroup2() {
        Ok(()) => expected,
        Err(_) => Expected::Refusal(&["cgroup v1", "systemd.unified_cgroup_hierarchy=1"]),
    }
}

#[test]
fn who_has_no_session_is_told_so_or_was_given_a_group() {
    requires!(machine, root);
    let user = User::new("e2e-none");
    user.try_out(Way::Delegated, tell(Expected::Limit));
    for way in [Way::Service, Way::Su, Way::Sudo, Way::Cron] {
        user.try_out(way, tell(Expected::Refusal(NO_SESSION)));
    }
    let row = if need::cgroup2().is_ok() { "session-none" } else { "cgroup-hybrid" };
    let memory = user.finding(Way::Su, "memory");
    assert_eq!(memory["remedies"][0]["id"], row, "{memory:#}");
}

#[test]
fn who_logs_in_has_limits_as_long_as_the_session() {
    requires!(machine, root);
    let user = User::new("e2e-login");
    user.try_out(Way::Login, tell(Expected::Limit));
    let linger = user.finding(Way::Login, "linger");
    assert_eq!(linger["remedies"][0]["id"], "linger-off", "{linger:#}");
    user.is_logged_out();
    user.try_out(Way::Cron, tell(Expected::Refusal(NO_SESSION)));
}

/// Wherever the process comes from, the user's own systemd takes it in.
#[test]
fn whose_systemd_always_runs_has_limits_everywhere() {
    requires!(machine, root);
    let user = User::tester();
    for way in [Way::Delegated, Way::Service, Way::Login, Way::Su, Way::Sudo, Way::Cron] {
        user.try_out(way, tell(Expected::Limit));
    }
}

#[test]
fn root_has_limits_everywhere() {
    requires!(machine, root);
    let user = User::root();
    for way in [Way::Delegated, Way::Service, Way::Login, Way::Su, Way::Cron, Way::Plain] {
        user.try_out(way, tell(Expected::Limit));
    }
}

/// Of a group of its own nobody is asked, and none is left.
#[test]
fn a_service_with_delegate_makes_its_groups_itself() {
    requires!(machine, root, cgroup2);
    let user = User::new("e2e-delegate");
    let options = ["-m", "64m", "--cgroupns", "host", "--cgroups", "direct"];
    let run = user.run(Way::Delegated, &options).arg(user.root.path());
    let own = run.args(["cat", "/proc/self/cgroup"]).ok();
    let parts: Vec<_> = own.split('/').collect();
    let [_, slice, service, ours, payload] = parts[..] else { panic!("{own}") };
    assert_eq!((slice, payload), ("system.slice", "payload"));
    assert!(service.ends_with(".service") && ours.starts_with("sublet-"), "{own}");
    assert!(!Path::new(&format!("/sys/fs/cgroup/system.slice/{service}")).exists());
}

/// The drop-in of an error: its path and its content.
fn drop_in(told: &str) -> (PathBuf, String) {
    let (_, rest) = told.split_once("as root, once: write to ").expect("a file");
    let (path, rest) = rest.split_once(":\n").expect("what to write");
    let (lines, _) = rest.split_once("then systemctl daemon-reload").expect("what to do then");
    let lines: Vec<_> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    (path.into(), lines.join("\n") + "\n")
}

/// Does to the letter what the error says, and then has what it was about.
#[test]
fn the_drop_in_that_is_told_gives_the_controllers() {
    requires!(machine, root, cgroup2);
    let user = User::new("e2e-hint");
    let run = |script: &str| {
        let options = ["--cpuset-cpus", "1", "--device-read-bps", "/dev/vda:1mb"];
        let options = [&options[..], &["--cgroupns", "host"]].concat();
        user.run(Way::Login, &options).args(["host", "sh", "-c", script])
    };
    let told = run("true").run();
    told.refused(&["the controllers cpuset io are not delegated to your systemd"]);
    let found = user.finding(Way::Login, "cpuset");
    assert_eq!(found["remedies"][0]["id"], "controller-not-delegated", "{found:#}");
    assert!(told.stderr.contains("Delegate=cpu cpuset io memory pids"), "{}", told.stderr);
    let (path, content) = drop_in(&told.stderr);
    fs::create_dir_all(path.parent().expect("a directory")).expect("make it");
    fs::write(&path, content).expect("write the drop-in");
    done(&["systemctl", "daemon-reload"]);
    user.is_logged_out();

    let found = user.finding(Way::Login, "cpuset");
    assert_eq!(found["verdict"], "ok", "{found:#}");
    user.is_logged_out();

    // By a disk that is read past the cache.
    let script = "cat /proc/self/cgroup; grep Cpus_allowed_list /proc/self/status; \
                  dd if=/opt/roots/debian.tar of=/dev/null bs=1M count=4 iflag=direct 2>&1; \
                  echo read; sleep 600";
    let mut running = run(script).spawn();
    let own = running.line();
    let scope = own.strip_prefix("0::").and_then(|path| path.strip_suffix("/payload"));
    let scope = PathBuf::from(format!("/sys/fs/cgroup{}", scope.expect("a scope")));
    assert_eq!(running.line().split_whitespace().last(), Some("1"));
    let start = Instant::now();
    let file = |name: &str| fs::read_to_string(scope.join(name)).expect("a file");
    assert_eq!(file("cpuset.cpus.effective"), "1\n");
    let maximum = file("io.max");
    assert!(maximum.contains(" rbps=1048576 wbps=max"), "{maximum}");
    while running.line() != "read" {}
    assert!(start.elapsed() > Duration::from_secs(2), "{:?} for 4 MiB", start.elapsed());
    fs::write(scope.join("cgroup.kill"), "1").expect("kill it");
    running.wait().exits(137);

    fs::remove_file(&path).expect("remove the drop-in");
    done(&["systemctl", "daemon-reload"]);
}
