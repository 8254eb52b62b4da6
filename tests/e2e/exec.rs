//! `sublet exec`: further programs in containers that run.

use std::fs;
use std::os::fd::AsFd;

use serde_json::Value;

use crate::common::*;

const SLEEP: &str = "echo ready; exec sleep 600";

fn exec(at: &At, words: &[&str]) -> Program {
    at.sublet(&[&["exec"], words].concat())
}

/// A container with the probe in it.
fn probed(at: &At, name: &str, options: &[&str]) -> Running {
    spawn::place(|| fs::copy(probe(), at.root.join("probe")));
    at.start(name, options, SLEEP)
}

/// What a probe says that runs beside the payload.
fn seen(at: &At, options: &[&str], name: &str, words: &[&str]) -> Value {
    exec(at, &[options, &[name, "/probe"], words].concat()).json()
}

/// Insists that soon no process has the test's directory in its command line.
#[track_caller]
fn no_process_left(at: &At) {
    let mut left = Vec::new();
    let none = eventually(10.0, || {
        // One that has ended and is not reaped has no command line.
        left = leaks::processes_with(at.scratch.mark());
        left.is_empty().then_some(())
    });
    assert!(none.is_some(), "left behind: {left:?}");
}

#[test]
fn it_has_what_the_container_was_given() {
    requires!(subuid);
    let at = At::new();
    fs::create_dir_all(at.root.join("srv")).unwrap();
    let options = ["-e", "A=run", "-e", "B=run", "-w", "/srv", "--umask", "027"];
    let more = ["--ulimit", "nofile=100:200", "--user", "user", "--oom-score-adj", "321"];
    let web = probed(&at, "web", &[&options[..], &more].concat());
    let env = seen(&at, &["-e", "B=exec", "-e", "C"], "web", &["env"]);
    for (name, value) in [("A", "run"), ("B", "exec"), ("HOME", "/home"), ("HOSTNAME", "web")] {
        assert_eq!(env[name], value, "{env}");
    }
    assert!(env.get("C").is_none() && env.get("TERM").is_none(), "{env}");
    let limits = seen(&at, &[], "web", &["limits"]);
    assert_eq!(limits["umask"], "0027", "{limits}");
    assert_eq!(limits["nofile"].to_string(), "[100,200]", "{limits}");
    assert_eq!(limits["core"].to_string(), "[0,0]", "{limits}");
    assert_eq!(limits["oom_score_adj"], "321", "{limits}");
    assert_eq!(exec(&at, &["web", "pwd"]).ok(), "/srv");
    assert_eq!(exec(&at, &["-w", "/tmp", "web", "pwd"]).ok(), "/tmp");
    assert_eq!(exec(&at, &["web", "id"]).ok(), "uid=1000(user) gid=1000(user) groups=2000(extra)");
    assert_eq!(exec(&at, &["-u", "0", "web", "id"]).ok(), "uid=0(root) gid=0(root)");
    assert_eq!(exec(&at, &["-u", "7:8", "web", "id"]).ok(), "uid=7 gid=8");
    assert_eq!(exec(&at, &["-u", "0", "web", "sh", "-c", "echo ~"]).ok(), "/root");
    drop(web);
}

/// All that makes it a process of the container is as with the payload.
#[test]
fn it_is_confined_as_the_payload_is() {
    requires!();
    for options in [
        &[][..],
        &["--cap-add", "NET_RAW", "--cap-drop", "CHOWN"],
        &["--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges=false"],
        &["--init"],
        &["--userns", "single"],
        &["--nested"],
    ] {
        let at = At::new();
        let _web = probed(&at, "web", options);
        for what in ["caps", "ids", "limits"] {
            let payload = at.run(options).args(["/probe", what]).json();
            assert_eq!(seen(&at, &[], "web", &[what]), payload, "{what} {options:?}");
        }
    }
}

#[test]
fn it_is_in_all_of_its_namespaces() {
    requires!();
    for options in
        [&[][..], &["--pid", "host"], &["--network", "host", "--ipc", "host"], &["--init"]]
    {
        let at = At::new();
        spawn::place(|| fs::copy(probe(), at.root.join("probe")));
        let program = at.run(&[&["--name", "web"], options].concat());
        let mut web = program
            .args(["sh", "-c", "/probe ns; echo ready; exec sleep 600"])
            .within(120.0)
            .spawn();
        let payload: Value = serde_json::from_str(&web.line()).expect("JSON");
        assert_eq!(web.line(), "ready");
        eventually(10.0, || at.names(&[]).contains(&"web".to_owned()).then_some(()));
        assert_eq!(seen(&at, &[], "web", &["ns"]), payload, "{options:?}");
    }
}

#[test]
fn nothing_of_the_callers_comes_along() {
    requires!();
    let at = At::new();
    let _web = probed(&at, "web", &[]);
    let host = fs::File::open("/").unwrap();
    let kept = fs::File::open(at.scratch.file("kept", "")).unwrap();
    let words = ["--preserve-fds", "1", "web", "/probe", "fds"];
    let program = exec(&at, &words).env("SECRET", "1").inherit(kept.as_fd(), 3);
    let fds = (4..40).fold(program, |program, number| program.inherit(&host, number)).json();
    let numbers: Vec<i64> =
        fds.as_array().unwrap().iter().filter_map(|fd| fd["fd"].as_i64()).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    assert!(seen(&at, &[], "web", &["env"]).get("SECRET").is_none());
    exec(&at, &["--preserve-fds", "1", "web", "true"])
        .refused(&["--preserve-fds 1", "descriptor 3 is not open"]);
    let directory = exec(&at, &["-i", "web", "true"]).inherit(&host, 0);
    directory.refused(&["standard input is a directory"]);
}

#[test]
fn codes_and_signals_come_through() {
    requires!();
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    fs::write(at.root.join("text"), "no program").unwrap();
    exec(&at, &["web", "sh", "-c", "exit 42"]).run().exits(42);
    exec(&at, &["web", "sh", "-c", "kill -9 $$"]).run().exits(137);
    exec(&at, &["web", "nothing"]).run().exits(127).explained(&["not found in $PATH"]);
    exec(&at, &["web", "/text"]).run().exits(126).explained(&["permission denied"]);
    exec(&at, &["web", "--", "echo", "-n", "x"]).run().exits(0);
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGINT, 130), (libc::SIGUSR1, 138)] {
        let mut running = exec(&at, &["web", "sh", "-c", "echo on; exec sleep 100"]).spawn();
        assert_eq!(running.line(), "on");
        running.signal(signal);
        running.wait().exits(code);
    }
    let script = "trap 'echo caught; exit 3' TERM; echo on; while :; do sleep 0.05; done";
    let mut running = exec(&at, &["web", "sh", "-c", script]).spawn();
    assert_eq!(running.line(), "on");
    running.signal(libc::SIGTERM);
    assert_eq!(running.line(), "caught");
    running.wait().exits(3);
}

#[test]
fn input_and_output_are_the_callers() {
    requires!();
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    assert_eq!(exec(&at, &["-i", "web", "cat"]).input("a\nb\n").ok(), "a\nb");
    assert_eq!(exec(&at, &["web", "cat"]).input("a\nb\n").ok(), "");
    let done = exec(&at, &["web", "sh", "-c", "echo out; echo err >&2"]).run();
    assert_eq!((done.stdout(), done.stderr.as_str()), ("out\n".to_owned(), "err\n"));
}

#[test]
fn what_does_not_run_is_not_entered() {
    requires!();
    let at = At::new();
    exec(&at, &["nix", "true"]).refused(&["no container nix"]);
    exec(&at, &[]).refused(&["CONTAINER is missing"]);
    at.run(&["--name", "over"]).args(["sh", "-c", "exit 3"]).run().exits(3);
    exec(&at, &["over", "true"]).refused(&["container over is not running", "sublet inspect over"]);
    let _web = at.start("web", &[], SLEEP);
    exec(&at, &["web"]).refused(&["COMMAND is missing"]);
    exec(&at, &["web", "-it", "sh"]).refused(&["options of sublet come before CONTAINER"]);
    exec(&at, &["--privileged", "web", "true"])
        .refused(&["--privileged", "no container has more rights than its caller"]);
    exec(&at, &["-u", "4294967295", "web", "true"]).refused(&["out of range"]);
    exec(&at, &["-w", "/proc/self/fd/0", "web", "true"]).refused(&["/proc/self/fd/0"]);
    exec(&at, &["--detach-keys", "ctrl-1", "web", "true"]).refused(&["is not a key"]);
}

/// docker's users know it so; and nobody is left who would have to reap it.
#[test]
fn in_the_background_it_goes_on_alone() {
    requires!();
    let at = At::new();
    let web = at.start("web", &[], SLEEP);
    let word = format!("600{}", at.scratch.mark().len());
    assert_eq!(exec(&at, &["-d", "web", "sleep", &word]).ok(), "");
    let running = || exec(&at, &["web", "ps"]).ok().contains(&format!("sleep {word}"));
    assert!(running());
    exec(&at, &["-d", "web", "nothing"]).run().exits(127).explained(&["not found in $PATH"]);
    // A client that is killed takes nothing along either.
    let mut client = exec(&at, &["web", "sh", "-c", "echo on; exec sleep 12345"]).spawn();
    assert_eq!(client.line(), "on");
    client.signal(libc::SIGKILL);
    let goes_on = || exec(&at, &["web", "ps"]).ok().contains("sleep 12345").then_some(());
    // It says so before it is that program.
    eventually(10.0, goes_on).expect("it goes on");
    assert!(running());
    at.sublet(&["kill", "web"]).ok();
    web.wait().exits(137);
}

/// Until its processes are reaped, a pid namespace does not end; so it may not
/// be for a client to do that.
#[test]
fn a_stopped_client_keeps_no_container_from_its_end() {
    requires!();
    let at = At::new();
    let web = at.start("web", &[], SLEEP);
    let mut client = exec(&at, &["web", "sh", "-c", "echo on; exec sleep 600"]).spawn();
    assert_eq!(client.line(), "on");
    client.signal(libc::SIGSTOP);
    assert_eq!(at.sublet(&["stop", "web"]).ok(), "web");
    web.wait().exits(143);
    client.signal(libc::SIGCONT);
    client.wait().exits(137);
}

#[test]
fn the_containers_end_is_its_end() {
    requires!();
    for options in [&[][..], &["--init"], &["--pid", "host"]] {
        let at = At::new();
        let web = at.start("web", options, SLEEP);
        let mut client = exec(&at, &["web", "sh", "-c", "echo on; exec sleep 600"]).spawn();
        assert_eq!(client.line(), "on");
        web.signal(libc::SIGKILL);
        client.wait().exits(137);
        web.wait();
        no_process_left(&at);
    }
}

#[test]
fn a_hundred_at_once() {
    requires!();
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    let start = |number: i32| {
        let script = format!("exit {}", number % 7);
        (number, exec(&at, &["web", "sh", "-c", &script]).within(120.0).spawn())
    };
    let all: Vec<_> = (0..100).map(start).collect();
    for (number, running) in all {
        running.wait().exits(number % 7);
    }
    // The payload, and ps.
    assert_eq!(exec(&at, &["web", "ps"]).ok().lines().count(), 3);
}

/// Each works, or says that the container is over.
#[test]
fn a_container_that_is_just_ending() {
    requires!();
    let at = At::new();
    for _ in 0..races().min(60) {
        let web = at.start("web", &["--rm"], SLEEP);
        let clients: Vec<_> =
            (0..3).map(|_| exec(&at, &["web", "true"]).within(60.0).spawn()).collect();
        web.signal(libc::SIGTERM);
        for client in clients {
            let done = client.wait();
            if !matches!(done.code(), 0 | 137) {
                done.exits(125).explained(&[]);
            }
        }
        web.wait();
    }
    no_process_left(&at);
}

#[test]
fn a_plan_is_told_and_nothing_done() {
    requires!();
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    let told = exec(&at, &["--dry-run", "-t", "web", "ps"]).ok();
    for line in ["enter container web", "hide its memory", "open a new pty", "execute \"ps\""] {
        assert!(told.contains(line), "{told}");
    }
    let json = exec(&at, &["--dry-run=json", "web", "ps"]).json();
    assert!(json["steps"].as_array().is_some_and(|steps| steps.len() > 10), "{json}");
}

/// Not an instruction of it is outside: its limits are the container's.
#[test]
fn it_is_in_the_containers_control_group() {
    requires!(scopes);
    let at = At::new();
    // From another session than the scope that systemd has made: it is moved.
    let _web = at.start("web", &["--cgroups", "require"], SLEEP);
    let group = ["web", "grep", "0::", "/proc/self/cgroup"];
    assert_eq!(exec(&at, &group).ok(), "0::/");
    let told = exec(&at, &["--dry-run", "web", "true"]).ok();
    assert!(told.contains(".scope/payload, of sublet-"), "{told}");
    at.sublet(&["pause", "web"]).ok();
    exec(&at, &group).refused(&["container web is paused", "sublet unpause web"]);
    at.sublet(&["unpause", "web"]).ok();
    assert_eq!(exec(&at, &group).ok(), "0::/");

    // Beside one whose group was made by us: it is born there.
    let script = format!(
        "export XDG_RUNTIME_DIR={3}; own=$(sed -n s/^0:://p /proc/self/cgroup); \
         \"$@\" run --name own --cgroups direct --cgroup-parent \"$own\" {} sh -c 'echo ready; exec sleep 600' > {2} & \
         until grep -q ready {2}; do sleep 0.05; done; \
         until \"$@\" exec own grep 0:: /proc/self/cgroup; do sleep 0.05; done; \
         \"$@\" exec --dry-run own true | grep group; \"$@\" kill {1}; wait",
        at.root.text(),
        "own",
        at.scratch.text("told"),
        at.scratch.text("run"),
    );
    let scope =
        ["systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"];
    let program = at.sublet(&[]).inside(&script).under(&scope).within(60.0);
    // Where systemd-run finds the user's systemd.
    let done = program.env("XDG_RUNTIME_DIR", format!("/run/user/{}", nix::unistd::getuid())).run();
    let told = done.stdout();
    assert!(told.starts_with("0::/\n"), "{told}{}", done.stderr);
    assert!(told.contains("/payload\n") && !told.contains(", of sublet-"), "{told}");
}

/// What a container's root with every right that it can have gets of those who
/// come in, while that happens again and again (C36, CVE-2016-9962).
///
/// It is few of them that are met: so it goes on, within bounds, until the probe
/// has made the file `awaited`.
fn taken_on_the_way_in(launcher: &std::path::Path, weakened: &str, awaited: &str) -> Vec<String> {
    let at = At::new();
    spawn::place(|| fs::copy(probe(), at.root.join("probe")));
    let name = launcher.file_name().unwrap().to_str().unwrap();
    let options = ["--name", "web", "--cap-add", "ALL", "--security-opt", "seccomp=unconfined"];
    let words = ["/probe", "seize", "CANARY", name];
    let mut web = at.run(&options).args(words).within(600.0).spawn();
    assert_eq!(web.line(), "ready");
    let known = || at.names(&[]).contains(&"web".to_owned()).then_some(());
    eventually(10.0, known).expect("it runs");
    let awaited = at.root.join("tmp").join(awaited);
    for attempt in 0..3000 {
        if attempt >= races() && awaited.exists() {
            break;
        }
        let program = Program::new(launcher).at_home(&at.scratch).env("CANARY", "CANARY");
        let program = program.env("SUBLET_WEAKEN", weakened).within(60.0);
        program.args(["exec", "web", "true"]).run().exits(0);
    }
    fs::write(at.root.join("tmp/over"), "").unwrap();
    let told: Value = serde_json::from_str(&web.line()).expect("JSON");
    assert!(told["met"].as_u64() > Some(0), "it saw none: {told}");
    let got = told["got"].as_array().expect("a list");
    got.iter().map(ToString::to_string).collect()
}

#[test]
fn who_comes_in_can_not_be_taken_hold_of() {
    requires!();
    let got = taken_on_the_way_in(&launcher(), "", "met");
    assert!(got.is_empty(), "{got:?}");
}

#[test]
fn who_comes_in_could_be_taken_hold_of() {
    requires!(weak, real_processors);
    let weak = std::env::var_os("SUBLET_WEAK").expect("needed");
    let got = taken_on_the_way_in(weak.as_ref(), "enter", "got");
    assert!(!got.is_empty(), "nothing was got, so the probe is blind");
}

/// C01: the program is executed inside by a script that names it, and whoever
/// kept it open there writes to it when the client has ended.
#[test]
fn the_clients_own_file_stays_as_it_is() {
    requires!();
    let at = At::new();
    let copy = at.scratch.join("client");
    spawn::place(|| fs::copy(launcher(), &copy));
    let unchanged = Canary::of(&copy);
    spawn::place(|| fs::copy(probe(), at.root.join("probe")));
    spawn::place(|| fs::write(at.root.join("entry"), "#!/proc/self/exe\n"));
    let at = At { root: at.root.mode("entry", 0o755), scratch: at.scratch };
    let program = at.run(&["--name", "web"]).args(["/probe", "keep-exe"]).within(600.0);
    let mut web = program.spawn();
    assert_eq!(web.line(), "ready");
    let known = || at.names(&[]).contains(&"web".to_owned()).then_some(());
    eventually(10.0, known).expect("it runs");
    for _ in 0..races().min(10) {
        let client = Program::new(&copy).at_home(&at.scratch).within(60.0);
        // The client's own program runs inside, and says that it takes a verb.
        client.args(["exec", "web", "/entry"]).run();
        unchanged.untouched();
    }
    fs::write(at.root.join("tmp/over"), "").unwrap();
    let told: Value = serde_json::from_str(&web.line()).expect("JSON");
    assert!(told["kept"].as_u64() > Some(0), "it kept none: {told}");
    assert_eq!(told["written"], 0, "{told}");
    unchanged.untouched();
}

/// The host's view: nothing inside is asked, and a name can be anything.
#[test]
fn the_processes_of_a_container_are_shown() {
    requires!();
    for options in [&[][..], &["--init"], &["--pid", "host"]] {
        let at = At::new();
        let script = "sleep 601 & echo ready; exec sleep 602";
        let _web = at.start("web", options, script);
        let mut client = exec(&at, &["web", "sh", "-c", "echo on; exec sleep 603"]).spawn();
        assert_eq!(client.line(), "on");
        let commands = ["sleep 601", "sleep 602", "sleep 603"];
        let mut text = String::new();
        // They are shells until they have become these programs.
        let all = eventually(10.0, || {
            text = at.sublet(&["top", "web"]).ok();
            let shown = |command: &&str| text.lines().any(|line| line.ends_with(*command));
            commands.iter().all(shown).then_some(())
        });
        assert!(all.is_some(), "not all of {commands:?}: {text}");
        let mut lines = text.lines();
        let titles: Vec<&str> = lines.next().expect("titles").split_whitespace().collect();
        assert_eq!(titles, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        let first = at.inspect("web")["State"]["Pid"].to_string();
        let pids: Vec<&str> = lines.filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert!(pids.contains(&first.as_str()), "{first} of {text}");
        // None but the container's: the client and its keeper are the host's.
        let most = if options.contains(&"--init") { 4 } else { 3 };
        assert_eq!(pids.len(), most, "{options:?} {text}");
        if need::find("ps").is_some() {
            let by_ps = at.sublet(&["top", "web", "-eo", "pid,args"]).ok();
            assert_eq!(by_ps.lines().count(), most + 1, "{by_ps}");
            assert!(by_ps.contains("sleep 603"), "{by_ps}");
            at.sublet(&["top", "web", "-eo", "args"]).refused(&["no column PID"]);
            at.sublet(&["top", "web", "--frob"]).refused(&["run ps --frob"]);
        }
        drop(client);
    }
    let at = At::new();
    at.sublet(&["top", "nix"]).refused(&["no container nix"]);
    at.sublet(&["top"]).refused(&["CONTAINER is missing"]);
}

// ---- with a terminal

#[test]
fn it_has_a_terminal_of_the_containers() {
    requires!(subuid);
    let at = At::new();
    let _web = probed(&at, "web", &[]);
    let mut terminal = exec(&at, &["-it", "-u", "user", "web", "/probe", "tty"]).on_terminal();
    terminal.resize(33, 121);
    assert!(terminal.wait().success(), "{}", terminal.shown());
    let seen: Value = serde_json::from_str(terminal.shown().trim()).expect("JSON");
    for fd in ["0", "1", "2"] {
        assert_eq!(seen[fd]["path"], "/dev/pts/0", "{seen}");
    }
    assert_eq!((&seen["controlling"], &seen["foreground"]), (&"ok".into(), &true.into()), "{seen}");
    let mut terminal = exec(&at, &["-it", "web", "sh", "-c", "stty size; exit 9"]).on_terminal();
    assert_eq!(terminal.wait().code(), Some(9));
    assert_eq!(terminal.shown(), "24 80\r\n");
}

/// The client is killed: the caller has its terminal back as it was, and the
/// program is hung up on.
#[test]
fn a_terminal_outlives_its_client() {
    requires!();
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    // Other tests have programs of the same name in containers of the same name.
    let mark = at.scratch.mark();
    // It hangs up with its client, whichever of the two is gone first.
    let script = format!("echo on; while :; do sleep 0.05; done # {mark}");
    let program = exec(&at, &["-it", "web", "sh", "-c", &script]);
    // What a shell puts into the background reads nothing, unless it is told what.
    let script = r#"set +e; read go; exec 3<&0; "$@" <&3 & wait $!; echo code $?; read over"#;
    let mut terminal = program.inside(script).on_terminal();
    let settings = |terminal: &Terminal| format!("{:?}", terminal.settings());
    let before = settings(&terminal);
    terminal.send("\n");
    let words = format!("{} exec", launcher().display());
    let client = eventually(20.0, || {
        let all = leaks::processes_with(mark);
        // Its keeper has the same command line, and a later id.
        all.iter().filter(|(_, line)| line.starts_with(&words)).map(|(pid, _)| *pid).min()
    });
    let client = client.expect("a client");
    let is_raw = eventually(20.0, || (settings(&terminal) != before).then_some(()));
    assert!(is_raw.is_some(), "it never was raw");
    spawn::kill(client, libc::SIGKILL).expect("kill it");
    terminal.expect("code 137");
    let given_back = eventually(20.0, || (settings(&terminal) == before).then_some(()));
    assert!(given_back.is_some(), "it is raw still");
}

#[test]
fn keys_leave_it_and_it_goes_on() {
    requires!(subuid);
    let at = At::new();
    let _web = at.start("web", &[], SLEEP);
    let script = "echo on; while read line; do echo got $line; done; \
                  i=0; while [ $i -lt 9000 ]; do echo $i; i=$((i+1)); done; echo > /tmp/over";
    let keys = ["-it", "--detach-keys", "ctrl-p,ctrl-q", "web", "sh", "-c", script];
    let mut terminal = exec(&at, &keys).on_terminal();
    terminal.expect("on\r\n");
    terminal.send("a\n");
    terminal.expect("got a\r\n");
    terminal.send("\x04\x10\x11");
    assert_eq!(terminal.wait().code(), Some(0));
    // More than a terminal holds, and nobody reads it.
    let over = eventually(30.0, || at.root.join("tmp/over").exists().then_some(()));
    assert!(over.is_some(), "it waits for a reader");
}
