//! What a service manager is told of a container that it has started.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::common::*;

/// A service manager's end, and its path.
fn manager(scratch: &Scratch) -> (UnixDatagram, String) {
    let path = scratch.join("manager");
    let socket = UnixDatagram::bind(&path).expect("bind");
    socket.set_read_timeout(Some(patience(20.0))).expect("set a time-out");
    (socket, path.to_str().expect("a path").to_owned())
}

fn next(manager: &UnixDatagram) -> String {
    let mut message = [0; 4096];
    let length = manager.recv(&mut message).expect("a message");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[track_caller]
fn silent(manager: &UnixDatagram) {
    manager.set_read_timeout(Some(Duration::from_millis(10))).expect("set a time-out");
    let mut message = [0; 4096];
    let more = manager
        .recv(&mut message)
        .map(|length| String::from_utf8_lossy(&message[..length]).into_owned());
    assert!(more.is_err(), "{more:?}");
}

/// Says this and that, and at last that it ends; prints what came of a barrier.
const SAYS: &str = "import os, socket\n\
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
    s.connect(os.environ['NOTIFY_SOCKET'])\n\
    for text in ['MAINPID=1', 'NOTIFYACCESS=all', 'MAINPID=1\\nREADY=1\\nX=2', 'STATUS=up']:\n\
    \x20   s.send(text.encode())\n\
    r, w = os.pipe()\n\
    socket.send_fds(s, [b'FDSTORE=1\\nFDNAME=mine'], [w])\n\
    socket.send_fds(s, [b'BARRIER=1'], [w])\n\
    os.close(w)\n\
    print('met', os.read(r, 1), os.environ['NOTIFY_SOCKET'], flush=True)\n\
    s.send(b'STOPPING=1')\n";

/// The program says itself that it is ready, and of what else it says only that
/// goes on which is about itself.
#[test]
fn the_program_speaks_for_itself_and_for_nobody_else() {
    requires!(python3, subuid);
    let scratch = Scratch::new();
    let (manager, path) = manager(&scratch);
    for options in [&[][..], &["--sdnotify", "container", "-u", "1000:1000", "--init"]] {
        let words = ["host", "--", "python3", "-c", SAYS];
        let program = Program::run_in(&scratch).args(options).args(words);
        let mut running = program.env("NOTIFY_SOCKET", &path).spawn();
        assert_eq!(running.line(), "met b'' /dev/notify");
        let main = format!("MAINPID={}", running.pid());
        running.wait().exits(0);
        for told in [main.as_str(), "READY=1", "STATUS=up", "STOPPING=1"] {
            assert_eq!(next(&manager), told);
        }
    }
    silent(&manager);
}

#[test]
fn the_launcher_speaks_for_it_or_nobody_does() {
    requires!();
    let at = At::new();
    let (manager, path) = manager(&at.scratch);
    let script = "echo \"to <$NOTIFY_SOCKET>\"; test ! -e /dev/notify";
    let run = |who: &str| {
        let program = at.run(&["--sdnotify", who]).args(["sh", "-c", script]);
        let mut running = program.env("NOTIFY_SOCKET", &path).spawn();
        assert_eq!(running.line(), "to <>");
        let pid = running.pid();
        running.wait().exits(0);
        pid
    };
    let pid = run("conmon");
    assert_eq!(next(&manager), format!("READY=1\nMAINPID={pid}"));
    run("ignore");
    silent(&manager);
    // In the background it is who stays.
    manager.set_read_timeout(Some(patience(20.0))).expect("set a time-out");
    let options = ["-d", "--name", "web", "--sdnotify", "conmon"];
    at.run(&options).args(["sleep", "600"]).env("NOTIFY_SOCKET", &path).ok();
    let told = next(&manager);
    let main = told.strip_prefix("READY=1\nMAINPID=").expect("a pid");
    let line = std::fs::read(format!("/proc/{main}/cmdline")).expect("it lives");
    assert!(String::from_utf8_lossy(&line).contains("--sdnotify"));
    at.sublet(&["rm", "-f", "web"]).ok();
    // Without a manager, or one that has gone, it is nothing to the container.
    at.run(&["--sdnotify", "conmon"]).arg("true").ok();
    at.run(&[]).arg("true").env("NOTIFY_SOCKET", "/no/such").ok();
    at.run(&["--sdnotify", "conmon"]).arg("true").env("NOTIFY_SOCKET", "@no such").ok();
    at.run(&["--sdnotify", "x"]).arg("true").refused(&["container, conmon, healthy or ignore"]);
}

/// Has nobody find room any more; says how many messages that took.
fn fill(path: &str) -> usize {
    let mut sent = 0;
    // One socket alone may send less than there is room for.
    loop {
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.set_nonblocking(true).expect("have it not wait");
        let more = (0..).take_while(|_| socket.send_to(b"X=1", path).is_ok()).count();
        if more == 0 {
            return sent;
        }
        sent += more;
    }
}

/// A manager that is behind hears all of it later, whoever speaks.
#[test]
fn a_manager_that_has_no_room_hears_it_later() {
    requires!(python3, subuid);
    let scratch = Scratch::new();
    let (manager, path) = manager(&scratch);
    let drain = |full| (0..full).for_each(|_| assert_eq!(next(&manager), "X=1"));

    let full = fill(&path);
    let program = Program::run_in(&scratch).args(["--sdnotify", "conmon", "host", "--"]);
    let words = ["sh", "-c", "echo met; sleep 600"];
    let mut running = program.args(words).env("NOTIFY_SOCKET", &path).spawn();
    assert_eq!(running.line(), "met");
    drain(full);
    assert_eq!(next(&manager), format!("READY=1\nMAINPID={}", running.pid()));
    drop(running);

    let full = fill(&path);
    let program = Program::run_in(&scratch).args(["host", "--", "python3", "-c", SAYS]);
    let mut running = program.env("NOTIFY_SOCKET", &path).spawn();
    std::thread::sleep(patience(0.5));
    drain(full);
    let main = format!("MAINPID={}", running.pid());
    for told in [main.as_str(), "READY=1", "STATUS=up"] {
        assert_eq!(next(&manager), told);
    }
    assert_eq!(running.line(), "met b'' /dev/notify");
    assert_eq!(next(&manager), "STOPPING=1");
    running.wait().exits(0);
    silent(&manager);
}

/// systemd itself waits for the word.
#[test]
fn a_unit_of_type_notify_is_started_by_it() {
    requires!(scopes);
    let at = At::new();
    let unit = format!("sublet-notify-{}.service", std::process::id());
    let properties = ["-p", "Type=notify", "-p", "TimeoutStartSec=100"];
    let begin = ["systemd-run", "--user", "--quiet", "--collect", "--unit", &unit];
    let variables = at.scratch.environment();
    let variables: Vec<String> = variables
        .iter()
        .filter(|(name, _)| *name != "XDG_RUNTIME_DIR")
        .map(|(name, path)| format!("--setenv={name}={}", path.display()))
        .collect();
    let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
    let systemd = |words: &[&str]| {
        let (uid, _) = caller();
        Program::new(words[0])
            .args(&words[1..])
            .env("XDG_RUNTIME_DIR", format!("/run/user/{uid}"))
            .within(120.0)
    };
    let launcher = launcher();
    let run = [launcher.to_str().expect("a path"), "run", "--network", "none", "--rm"];
    let root = [at.root.text(), "sleep", "600"];
    let words = [&begin[..], &properties, &variables, &run, &["--sdnotify", "conmon"], &root];
    systemd(&words.concat()).ok();
    let state = systemd(&["systemctl", "--user", "is-active", &unit]).ok();
    assert_eq!(state, "active");
    systemd(&["systemctl", "--user", "stop", &unit]).ok();
}

/// Sockets that systemd hands on are the program's, before what else it gets.
#[test]
fn sockets_go_on_to_the_program() {
    requires!();
    let at = At::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    at.scratch.file("more", "more\n");
    let script = "echo \"<$LISTEN_FDS $LISTEN_FDNAMES $LISTEN_PID> $$\"; \
                  readlink /proc/$$/fd/3 | cut -c1-7; cat <&4; test ! -e /proc/$$/fd/5";
    let start = |options: &[&str], pid: &str| {
        let more = std::fs::File::open(at.scratch.join("more")).expect("open");
        let program = at.run(&[&["--preserve-fds", "1"], options].concat());
        let program = program.args(["sh", "-c", script]).inherit(&listener, 3).inherit(&more, 4);
        let program = program.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web");
        program.inside(&format!(r#"export LISTEN_PID={pid}; exec "$@""#)).run()
    };
    let socket = "socket:\nmore\n";
    assert_eq!(start(&[], "$$").stdout(), format!("<1 web 1> 1\n{socket}"));
    assert_eq!(start(&["--init"], "$$").stdout(), format!("<1 web 2> 2\n{socket}"));
    // Meant for another, and what a port has taken: then it is as without.
    let port = ["--network", "loopback", "-p", "fd:web:80"];
    for (options, pid) in [(&[][..], "1"), (&port, "$$")] {
        let told = start(options, pid).stdout();
        assert!(told.starts_with("<  > 1\nsocket:\n"), "{told}");
    }
}

/// The first check that passes, and not one more.
#[test]
fn a_check_says_that_it_is_ready() {
    requires!();
    let at = At::new();
    let path = at.scratch.join("notify");
    let manager = UnixDatagram::bind(&path).expect("bind");
    manager.set_read_timeout(Some(patience(60.0))).expect("set a time-out");
    let options = ["--name", "web", "--sdnotify", "healthy", "--health-cmd", "test -e /tmp/well"];
    let program = at.run(&[&options[..], &["--health-interval", "50ms"]].concat());
    let script = "echo ready; until [ -e /tmp/end ]; do sleep 0.05; done";
    let program = program.args(["sh", "-c", script]).env("NOTIFY_SOCKET", &path);
    let mut running = program.spawn();
    assert_eq!(running.line(), "ready");
    assert!(next(&manager).starts_with("MAINPID="));
    let checks = || at.inspect("web")["State"]["Health"]["Log"].as_array().map_or(0, Vec::len);
    eventually(60.0, || (checks() > 1).then_some(())).expect("it is asked");
    manager.set_nonblocking(true).expect("look without waiting");
    assert!(manager.recv(&mut [0; 100]).is_err(), "it is not well");
    manager.set_nonblocking(false).expect("wait again");
    std::fs::write(at.root.join("tmp/well"), "").expect("have it well");
    assert_eq!(next(&manager), "READY=1");
    let well = || {
        let log = at.inspect("web")["State"]["Health"]["Log"].take();
        let log = log.as_array().expect("checks").clone();
        (log.len() > 2 && log.iter().all(|check| check["ExitCode"] == 0)).then_some(())
    };
    eventually(60.0, well).expect("it is asked further");
    std::fs::write(at.root.join("tmp/end"), "").expect("have it end");
    running.wait().exits(0);
    manager.set_nonblocking(true).expect("look without waiting");
    assert!(manager.recv(&mut [0; 100]).is_err(), "it was said already");
    let healthy = ["--sdnotify", "healthy"];
    at.run(&healthy).arg("true").refused(&["--sdnotify healthy without --health-cmd"]);
    let never = ["--health-cmd", "true", "--health-interval", "disable"];
    at.run(&[&healthy[..], &never].concat()).arg("true").refused(&["nobody would ask"]);
}

/// Who is started later has what its start is handed, and nothing from before.
#[test]
fn sockets_go_to_who_is_started() {
    requires!();
    let at = At::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let script = "echo \"<$LISTEN_FDS $LISTEN_FDNAMES $LISTEN_PID>\" \
                  $(readlink /proc/$$/fd/3 | cut -c1-7); test -n \"$LISTEN_FDS\"";
    let handed = |program: Program, name: &str| {
        let program = program.inherit(&listener, 3).env("LISTEN_FDS", "1");
        let program = program.env("LISTEN_FDNAMES", name);
        program.inside(r#"export LISTEN_PID=$$; exec "$@""#)
    };
    let create = |options: &[&str]| {
        let program = Program::sublet(&at.scratch).args(["create", "--network", "none"]);
        program.args(options).arg(at.root.path()).args(["sh", "-c", script])
    };
    let words = ["LISTEN_FDS", "sublet start", "env -u LISTEN_FDS"];
    handed(create(&["--name", "web"]), "a").refused(&words);
    let program = create(&["--preserve-fds", "1"]).inherit(&listener, 3);
    program.refused(&["--preserve-fds 1", "sublet run -d"]);
    let port = ["--network", "loopback", "-p", "fd:a:80"];
    handed(create(&port), "a").refused(&["--publish fd:a", "sublet run"]);

    // Also when it is started again by its supervisor.
    create(&["--name", "web", "--restart", "on-failure:1"]).ok();
    let ended = || (at.inspect("web")["State"]["Status"] == "exited").then_some(());
    let said = |lines: usize| {
        eventually(60.0, ended).expect("it has ended");
        let log = at.sublet(&["logs", "web"]).ok();
        let lines: Vec<String> = log.lines().skip(lines).map(str::to_owned).collect();
        lines
    };
    let attached = |sockets: bool, words: &[&str]| {
        let program = at.sublet(words);
        match sockets {
            true => handed(program, "b").run(),
            false => program.run(),
        }
    };
    assert_eq!(attached(true, &["start", "-a", "web"]).stdout(), "<1 b 1> socket:\n");
    assert_eq!(said(0), ["<1 b 1> socket:"]);
    attached(false, &["start", "web"]).exits(0);
    eventually(60.0, || (said(1).len() == 2).then_some(())).expect("twice");
    assert!(said(1).iter().all(|line| line.starts_with("<  >")), "{:?}", said(1));
    at.sublet(&["rm", "web"]).ok();
    let fails =
        "echo \"<$LISTEN_FDS $LISTEN_FDNAMES>\" $(readlink /proc/$$/fd/3 | cut -c1-7); false";
    let program = Program::sublet(&at.scratch).args(["create", "--network", "none"]);
    let program = program.args(["--name", "web", "--restart", "on-failure:1"]);
    program.arg(at.root.path()).args(["sh", "-c", fails]).ok();
    attached(true, &["start", "web"]).exits(0);
    eventually(60.0, || (said(0).len() == 2).then_some(())).expect("twice");
    assert_eq!(said(0), ["<1 b> socket:"; 2]);
    // One that was run with some is started without.
    handed(at.run(&["--name", "other", "-d"]).args(["sh", "-c", script]), "c").ok();
    let ended = || (at.inspect("other")["State"]["Status"] == "exited").then_some(());
    eventually(60.0, ended).expect("it has ended");
    assert!(at.sublet(&["start", "-a", "other"]).run().stdout().starts_with("<  >"));
    let two = handed(at.sublet(&["start", "web", "other"]), "d").run();
    two.explained(&["for one container"]);
    for name in ["web", "other"] {
        at.sublet(&["rm", "-f", name]).ok();
    }
    Leaks::of(&at.scratch).none();
}
