//! Health checks: what is asked in a container, by whom, and what comes of it.

use serde_json::Value;

use crate::common::*;

const SLEEPS: [&str; 3] = ["sh", "-c", "exec sleep 600"];

/// Begins a container in the background whose check is `command`, at a short
/// interval.
fn start(at: &At, command: &str, options: &[&str]) {
    let check = ["-d", "--name", "web", "--health-cmd", command, "--health-interval", "50ms"];
    at.run(&[&check, options].concat()).args(SLEEPS).ok();
}

fn health(at: &At) -> Value {
    at.inspect("web")["State"]["Health"].take()
}

/// Waits until it is so.
#[track_caller]
fn becomes(at: &At, status: &str) -> Value {
    let seen = || Some(health(at)).filter(|health| health["Status"] == status);
    eventually(30.0, seen).unwrap_or_else(|| panic!("it is not {status}: {}", health(at)))
}

#[test]
fn a_command_inside_says_how_it_is() {
    requires!();
    let at = At::new();
    at.run(&["--name", "before"]).arg("true").ok();
    let words = ["events", "--since", "1h", "--format", "{{.Action}} {{.Actor.Attributes.name}}"];
    let mut events = at.sublet(&words).within(300.0).spawn();
    for told in ["create before", "start before", "die before"] {
        assert_eq!(events.line(), told);
    }
    let check = "echo looking; test -e /tmp/up";
    start(&at, check, &["--health-retries", "2", "--health-start-period", "1h"]);
    // What fails at first is only noted.
    let log = || health(&at)["Log"].as_array().filter(|log| log.len() == 5).cloned();
    let log = eventually(30.0, log).expect("five checks are kept");
    assert!(log.iter().all(|it| it["ExitCode"] == 1 && it["Output"] == "looking\n"), "{log:?}");
    assert!(log[0]["Start"].as_str() < log[4]["Start"].as_str(), "{log:?}");
    let told = health(&at);
    assert_eq!((&told["Status"], &told["FailingStreak"]), (&"starting".into(), &0.into()));
    let status = || at.sublet(&["ps", "--format", "{{.Status}}"]).ok();
    assert!(status().ends_with(" (health: starting)"), "{}", status());
    std::fs::write(at.root.join("tmp/up"), "").expect("write");
    becomes(&at, "healthy");
    assert!(status().ends_with(" (healthy)"), "{}", status());
    let with = |how: &str| at.names(&["--filter", &format!("health={how}")]);
    assert_eq!((with("healthy").len(), with("unhealthy").len(), with("none").len()), (1, 0, 0));
    std::fs::remove_file(at.root.join("tmp/up")).expect("remove");
    let told = becomes(&at, "unhealthy");
    assert!(told["FailingStreak"].as_u64() >= Some(2), "{told}");
    assert_eq!(at.names(&["--filter", "health=unhealthy"]), ["web"]);
    for told in ["create web", "start web", "health_status: healthy web"] {
        assert_eq!(events.line(), told);
    }
    assert_eq!(events.line(), "health_status: unhealthy web");
    let asked = &at.inspect("web")["Config"]["Healthcheck"];
    assert_eq!(asked["Test"], serde_json::json!(["CMD", "/bin/sh", "-c", check]));
    assert_eq!((&asked["Interval"], &asked["Retries"]), (&50_000_000.into(), &2.into()));
    // Started again it is as new, and what has ended is not asked.
    at.sublet(&["stop", "-t", "0", "web"]).ok();
    assert_eq!(at.names(&["-a", "--filter", "health=none"]), ["web", "before"]);
    at.sublet(&["start", "web"]).ok();
    becomes(&at, "starting");
    at.sublet(&["rm", "-f", "web"]).ok();
    events.signal(libc::SIGKILL);
    events.wait();
    Leaks::of(&at.scratch).none();
}

/// It is killed when its time is over, with what it has started; and so long it
/// keeps nobody waiting.
#[test]
fn a_check_that_hangs_is_killed_with_all_it_started() {
    requires!();
    let at = At::new();
    // No other test has such a time.
    let second = format!("76543{}", std::process::id());
    let check = format!("sleep {second} & sleep {second}");
    let retries = ["--health-retries", "1", "--health-timeout", "60s"];
    start(&at, &check, &retries);
    let sleep = format!("sleep\0{second}");
    let sleeps = || {
        let is = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).starts_with(&sleep)
        };
        leaks::processes_with(&second).iter().filter(|(pid, _)| is(pid)).count()
    };
    eventually(30.0, || (sleeps() == 2).then_some(())).expect("the check goes on");
    assert_eq!(at.sublet(&["exec", "web", "echo", "served"]).ok(), "served");
    let begin = std::time::Instant::now();
    at.sublet(&["stop", "-t", "0", "web"]).ok();
    assert!(begin.elapsed() < patience(30.0), "the check is not waited for");
    eventually(30.0, || (sleeps() == 0).then_some(())).expect("it has ended with the container");
    at.sublet(&["rm", "web"]).ok();
    start(&at, &check, &["--health-retries", "1", "--health-timeout", "500ms"]);
    let told = becomes(&at, "unhealthy");
    assert_eq!(told["Log"][0]["ExitCode"], -1, "{told}");
    assert_eq!(told["Log"][0]["Output"], "it took longer than 500ms", "{told}");
    assert_eq!(at.inspect("web")["State"]["Status"], "running");
    // Several have been killed by then; those of one are two.
    let several = || health(&at)["Log"].as_array().filter(|log| log.len() >= 3).map(|_| ());
    eventually(60.0, several).expect("it goes on");
    assert!(sleeps() <= 2, "{}", sleeps());
    at.sublet(&["rm", "-f", "web"]).ok();
    Leaks::of(&at.scratch).none();
}

#[test]
fn what_is_done_with_one_that_is_not_well() {
    requires!();
    let at = At::new();
    let act = |action: &str, more: &[&str]| {
        let options = ["--health-retries", "1", "--health-on-failure", action];
        start(&at, "exit 7", &[&options, more].concat());
    };
    let has_ended = || {
        let ended = || (at.inspect("web")["State"]["Status"] == "exited").then_some(());
        eventually(60.0, ended).expect("it has ended");
    };
    act("kill", &[]);
    has_ended();
    assert_eq!(at.inspect("web")["State"]["ExitCode"], 137);
    let why = at.sublet(&["why", "web"]).run().stdout();
    let cause = "its health check failed, and --health-on-failure kill had it end";
    assert!(why.contains(cause), "{why}");
    at.sublet(&["rm", "web"]).ok();
    // Stopped by its own signal, and for good.
    act("stop", &["--restart", "always", "--stop-signal", "INT"]);
    has_ended();
    assert_eq!(at.inspect("web")["State"]["ExitCode"], 130);
    assert_eq!(at.inspect("web")["RestartCount"], 0);
    at.sublet(&["rm", "web"]).ok();
    act("restart", &["--stop-timeout", "0"]);
    let again = || (at.inspect("web")["RestartCount"].as_u64() >= Some(2)).then_some(());
    eventually(60.0, again).expect("it is started again");
    at.sublet(&["rm", "-f", "web"]).ok();
    Leaks::of(&at.scratch).none();
}

#[test]
fn asked_by_hand() {
    requires!();
    let at = At::new();
    let run = || at.sublet(&["healthcheck", "run", "web"]).run();
    run().exits(125).explained(&["no container web"]);
    at.run(&["-d", "--name", "web"]).args(SLEEPS).ok();
    run().exits(125).explained(&["has no health check", "--health-cmd"]);
    at.sublet(&["rm", "-f", "web"]).ok();
    // Never by itself.
    let check = r#"["CMD", "sh", "-c", "echo \"as $(id -u) in $PWD: $A\"; test -e /tmp/up"]"#;
    let options = ["-d", "--name", "web", "--health-cmd", check, "--health-interval", "disable"];
    at.run(&[&options[..], &["--health-retries", "1", "-e", "A=b", "-w", "/tmp"]].concat())
        .args(SLEEPS)
        .ok();
    let done = run();
    done.exits(1);
    assert_eq!(done.stdout(), "unhealthy\n");
    assert!(done.stderr.contains("the check ended with 1: as 0 in /tmp: b"), "{}", done.stderr);
    std::fs::write(at.root.join("tmp/up"), "").expect("write");
    run().exits(0);
    let told = health(&at);
    assert_eq!(
        (&told["Status"], told["Log"].as_array().map(Vec::len)),
        (&"healthy".into(), Some(2))
    );
    at.sublet(&["rm", "-f", "web"]).ok();
    // A command that is not there fails like any other.
    let options = ["--health-cmd", r#"["/no/such"]"#, "--health-interval", "disable"];
    at.run(&[&["-d", "--name", "web"], &options[..]].concat()).args(SLEEPS).ok();
    run().exits(1);
    assert_eq!(health(&at)["Log"][0]["ExitCode"], 127);
    at.sublet(&["rm", "-f", "web"]).ok();
}

/// The supervisor of one that is asked a hundred times is no larger than before.
#[test]
fn many_checks_leave_nothing_behind() {
    requires!();
    let at = At::new();
    // As much as it likes, of which little is kept.
    start(&at, "head -c 100000 /dev/zero; echo x >> /tmp/count", &["--health-interval", "5ms"]);
    let count = || std::fs::read(at.root.join("tmp/count")).map_or(0, |text| text.len() / 2);
    let record = at.scratch.join("run/sublet").join(at.scratch.container("web"));
    let record = std::fs::read_to_string(record.join("record.json")).expect("a record");
    let record: Value = serde_json::from_str(record.lines().next().expect("a line")).expect("JSON");
    let supervisor = record["life"]["launcher"]["pid"].as_u64().expect("a pid");
    let memory = || -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{supervisor}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).expect("a number")
    };
    let grown = |more: usize| {
        let from = count();
        eventually(120.0, || (count() >= from + more).then_some(())).expect("it is asked");
        memory()
    };
    let (early, late) = (grown(20), grown(if patience(1.0).as_secs() > 5 { 30 } else { 150 }));
    assert!(late <= early + 128, "{early} kB, then {late} kB");
    let kept = health(&at)["Log"][0]["Output"].as_str().map(str::len);
    assert_eq!(kept, Some(4096));
    let descriptors = std::fs::read_dir(format!("/proc/{supervisor}/fd")).expect("it runs").count();
    assert!(descriptors < 40, "{descriptors} descriptors");
    at.sublet(&["rm", "-f", "web"]).ok();
    Leaks::of(&at.scratch).none();
}

#[test]
fn one_in_the_foreground_is_asked_too() {
    requires!();
    let at = At::new();
    let options = ["--rm", "--health-cmd", "true", "--health-interval", "50ms"];
    let running = at.start("web", &options, "echo ready; exec sleep 600");
    becomes(&at, "healthy");
    running.signal(libc::SIGTERM);
    running.wait().exits(143);
    Leaks::of(&at.scratch).none();
}

/// Who stands still can't answer, and is not blamed for it.
#[test]
fn one_that_is_paused_is_not_asked() {
    requires!(scopes);
    let at = At::new();
    let timeout = patience(0.3);
    let limit = format!("{}ms", timeout.as_millis());
    let options = ["--cgroups", "require", "--health-retries", "1", "--health-timeout", &limit];
    start(&at, "echo x >> /tmp/count", &options);
    becomes(&at, "healthy");
    at.sublet(&["pause", "web"]).ok();
    let count = || std::fs::read(at.root.join("tmp/count")).expect("a count").len();
    let before = count();
    // As long as one takes whose process is not heard of any more: five seconds
    // more than it may, and somewhat.
    std::thread::sleep(timeout + std::time::Duration::from_millis(6700));
    assert_eq!(count(), before);
    assert_eq!(health(&at)["Status"], "healthy");
    at.sublet(&["healthcheck", "run", "web"]).run().exits(125).explained(&["is paused"]);
    at.sublet(&["unpause", "web"]).ok();
    eventually(30.0, || (count() > before).then_some(())).expect("it is asked again");
    assert_eq!(health(&at)["Status"], "healthy");
    at.sublet(&["rm", "-f", "web"]).ok();
}

#[test]
fn what_makes_no_sense_is_refused() {
    requires!();
    let at = At::new();
    for (options, words) in [
        (&["--health-interval", "1s"][..], &["--health-interval without --health-cmd"][..]),
        (&["--health-cmd", "x", "--no-healthcheck"], &["--health-cmd with --no-healthcheck"]),
        (&["--health-cmd", ""], &["--health-cmd", "empty"]),
        (&["--health-cmd", "x", "--health-timeout", "1us"], &["--health-timeout", "1ms"]),
        (&["--health-cmd", "x", "--health-on-failure", "pray"], &["none, kill, restart or stop"]),
        (
            &["--health-cmd", "x", "--health-on-failure", "restart"],
            &["--health-on-failure restart without --detach"],
        ),
        (
            &["-d", "--rm", "--health-cmd", "x", "--health-on-failure", "restart"],
            &["--health-on-failure restart with --rm"],
        ),
    ] {
        at.run(options).arg("true").refused(words);
    }
    at.run(&["--health-cmd", "none"]).arg("true").ok();
    at.run(&["--no-healthcheck"]).arg("true").ok();
    at.sublet(&["ps", "--filter", "health=well"]).refused(&["unhealthy, none"]);
    at.sublet(&["healthcheck"]).refused(&["CONTAINER is missing"]);
}
