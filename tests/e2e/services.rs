//! Services of the host's loopback that are reached from inside.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use crate::common::*;

fn run(scratch: &Scratch, network: &str) -> Program {
    Program::run_in(scratch).args(["--network", network]).within(60.0)
}

/// Ways to be without any way out, and with each.
const NETWORKS: [&str; 4] = ["none", "loopback", "slirp4netns", "pasta"];

#[test]
fn a_page_of_the_host_is_fetched() {
    requires!(python3, curl, slirp4netns, pasta);
    let scratch = Scratch::new();
    scratch.file("page", "of the host\n");
    let words = ["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"];
    let mut server = Program::new("python3").args(words).directory(scratch.path()).within(120.0);
    server = server.args(["--directory", scratch.text("").as_str()]);
    let mut server = server.spawn();
    let line = server.line();
    let port = line.split_whitespace().nth(5).expect("a port").to_owned();
    for network in NETWORKS {
        for (service, name) in
            [(port.clone(), "host.containers.internal"), (format!("{port}:web"), "web")]
        {
            let page = format!("http://{name}:{port}/page");
            let words = ["host", "--", "curl", "-sS", "--fail", "--max-time", "30", &page];
            let container = run(&scratch, network).args(["--host-service", &service]).args(words);
            assert_eq!(container.ok(), "of the host", "{network} {service}");
        }
    }
    // The name is there only where it leads somewhere.
    let words = ["host", "--", "cat", "/etc/hosts"];
    assert!(!run(&scratch, "none").args(words).ok().contains("host.containers.internal"));
    server.signal(libc::SIGTERM);
    server.wait();
}

/// Asks again and again, once a line is read, and says what it hears.
const ASKS: &str = "import socket, sys\n\
                    print('up', flush=True)\n\
                    for _ in sys.stdin:\n\
                    \x20   try:\n\
                    \x20       with socket.create_connection(('db', int(sys.argv[1])), 60) as there:\n\
                    \x20           there.sendall(b'ask')\n\
                    \x20           there.shutdown(socket.SHUT_WR)\n\
                    \x20           print('heard', there.recv(10).decode(), flush=True)\n\
                    \x20   except OSError as error:\n\
                    \x20       print('refused', flush=True)\n";

/// The process that forwards: a child of the launcher, with its name, that can
/// gain no right.
fn forwarder(launcher: u32) -> Option<u32> {
    let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let processes = fs::read_dir("/proc").expect("list /proc").flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let has = |line: &str| status.lines().any(|other| other == line);
        let is_child = has(&format!("PPid:\t{launcher}")) && has("NoNewPrivs:\t1");
        is_child && name(*pid) == name(launcher)
    })
}

#[test]
fn what_forwards_is_replaced_and_a_service_may_come_late() {
    requires!(python3);
    let scratch = Scratch::new();
    let go = scratch.path().join("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let service = format!("{port}:db");
    let words = ["host", "--", "python3", "-c", ASKS, &port.to_string()];
    let container = run(&scratch, "none").args(["-i", "--host-service", &service]).args(words);
    let container = container.inside("exec \"$@\" <go").directory(scratch.path());
    let mut running = container.within(120.0).spawn();
    let mut go = fs::File::options().write(true).open(go).unwrap();
    assert_eq!(running.line(), "up");
    go.write_all(b"\n").unwrap();
    let said = running.line();
    assert!(["heard ", "refused"].contains(&said.as_str()), "{said}");

    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut serve = |running: &mut Running| {
        go.write_all(b"\n").unwrap();
        let (mut client, from) = listener.accept().unwrap();
        assert!(from.ip().is_loopback());
        let mut asked = String::new();
        client.read_to_string(&mut asked).unwrap();
        assert_eq!(asked, "ask");
        client.write_all(b"told").unwrap();
        drop(client);
        assert_eq!(running.line(), "heard told");
    };
    serve(&mut running);
    std::thread::sleep(patience(1.1)); // one that ends sooner is given up
    let first = forwarder(running.pid()).expect("a forwarder");
    spawn::kill(first, libc::SIGKILL).unwrap();
    let other = || forwarder(running.pid()).filter(|pid| *pid != first);
    eventually(10.0, other).expect("another forwarder");
    serve(&mut running);
    drop(go);
    running.wait().exits(0);
    Leaks::of(&scratch).none();
}

#[test]
fn services_that_make_no_sense() {
    requires!();
    let scratch = Scratch::new();
    let refused = |options: &[&str], words: &[&str]| {
        Program::run_in(&scratch).args(options).args(["host", "true"]).refused(words);
    };
    refused(&["--host-service", "x"], &["--host-service", "1 to 65535"]);
    refused(&["--host-service", "0"], &["1 to 65535"]);
    refused(&["--host-service", "80:a b"], &["no name for a host"]);
    refused(&["--host-service", "80", "--host-service", "80:db"], &["80 is asked for twice"]);
    let on_host = ["--host-service", "80", "--network", "host"];
    refused(&on_host, &["no effect with --network host", "127.0.0.1"]);
    let joined = ["--host-service", "80", "--network", "container:web"];
    refused(&joined, &["no effect with --network container:web"]);
}
