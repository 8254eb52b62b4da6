//! Published ports.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt};

use crate::common::*;

mod change;
mod load;
mod programs;

/// What the services in the container do, by their port there.
const COUNT: u16 = 7001;
const ECHO: u16 = 7002;
const FLOOD: u16 = 7003;
const RESET: u16 = 7004;
const TELL: u16 = 7005;
const DATAGRAMS: u16 = 7007;

const SERVICES: &str = include_str!("ports/services.py");

/// A container with nothing but its loopback and what is published.
fn run(scratch: &Scratch) -> Program {
    Program::run_in(scratch).args(["--network", "loopback"])
}

/// A container with services, and one port of the host that leads to one.
struct Published {
    running: Running,
    address: SocketAddr,
}

impl Published {
    fn start(scratch: &Scratch, port: u16, options: &[&str]) -> Self {
        Self::under(scratch, &[], port, options)
    }

    /// The same, where `outer` is a command line that starts another.
    fn under(scratch: &Scratch, outer: &[&str], port: u16, options: &[&str]) -> Self {
        let kind = if port == DATAGRAMS { "/udp" } else { "" };
        let program = run(scratch).within(120.0).args(options);
        let program = program.args(["-p", &format!("{port}{kind}"), "host"]);
        let program = program.args(["python3", "-c", SERVICES, "0.0.0.0", scratch.mark()]);
        let program = if outer.is_empty() { program } else { program.under(outer) };
        let mut running = program.spawn();
        let address = published(&running.note());
        assert_eq!(running.line(), "ready");
        Self { running, address }
    }

    fn connect(&self) -> TcpStream {
        connect(self.address)
    }
}

/// The address in `sublet: published ADDRESS -> PORT/tcp`.
#[track_caller]
fn published(line: &str) -> SocketAddr {
    let address = line.strip_prefix("sublet: published ").and_then(|rest| rest.split_once(" -> "));
    let Some((address, _)) = address else { panic!("no port in {line:?}") };
    address.parse().unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(patience(60.0))).unwrap();
    stream.set_write_timeout(Some(patience(60.0))).unwrap();
    stream
}

#[track_caller]
fn echoes(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).expect("write");
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).expect("read");
    assert!(back == text, "another text came back");
}

/// The line `name` of /proc/PID/status.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// How much memory of its own a process has, in kB: what it reads of the program's
/// file depends on how that was built.
#[track_caller]
fn memory(pid: u32) -> u64 {
    let own = status(pid, "RssAnon");
    own.split(' ').next().and_then(|text| text.parse().ok()).expect("no RssAnon")
}

/// The processor time that a process has had, in the kernel's ticks: proc(5).
fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = text.rsplit_once(')').unwrap().1.split_ascii_whitespace();
    fields.skip(11).take(2).map(|number| number.parse::<u64>().unwrap()).sum()
}

/// The launcher's child with the rights that a forwarder keeps.
fn forwarder(launcher: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").expect("list /proc").flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid| {
        status(*pid, "PPid") == launcher.to_string() && status(*pid, "CapBnd") == "0".repeat(16)
    })
}

#[test]
fn a_web_server_is_reached() {
    requires!(python3, curl);
    let scratch = Scratch::new();
    let words = ["-p", "8000", "host", "python3", "-um", "http.server", "8000"];
    let mut running = run(&scratch).within(60.0).args(words).spawn();
    let address = published(&running.note());
    assert!(address.ip().is_loopback(), "open to others: {address}");
    running.line(); // it serves
    let page = format!("http://{address}/etc/os-release");
    let fetched = Program::new("curl").args(["-sS", "--fail", &page]).run();
    assert_eq!(fetched.stdout(), fs::read_to_string("/etc/os-release").unwrap());
    assert!(running.note().starts_with("127.0.0.1 - -"));
    running.signal(nix::libc::SIGTERM);
    running.wait().exits(143);
    assert!(TcpStream::connect(address).is_err(), "the port outlives the container");
}

/// There the container has an address of its own, by which it is reached.
#[test]
fn ports_are_published_beside_a_way_out() {
    requires!(python3, slirp4netns);
    let scratch = Scratch::new();
    let options = ["--network", "slirp4netns"];
    let container = Published::start(&scratch, ECHO, &options);
    echoes(&mut container.connect(), b"there and back");
    let container = Published::start(&scratch, DATAGRAMS, &options);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(patience(60.0))).unwrap();
    client.send_to(b"datagram", container.address).unwrap();
    let mut back = [0; 100];
    let (length, from) = client.recv_from(&mut back).expect("an answer");
    assert_eq!(from, container.address);
    assert!(back[..length].ends_with(b"datagram"), "{:?}", &back[..length]);
}

#[test]
fn an_end_of_file_goes_on_when_all_before_it_has() {
    requires!(python3);
    let scratch = Scratch::new();
    let container = Published::start(&scratch, COUNT, &[]);
    for length in [0, 1, 100_000, 20_000_000] {
        let mut stream = container.connect();
        stream.write_all(&vec![b'x'; length]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).unwrap();
        assert_eq!(told, format!("{length}\n"));
    }
}

#[test]
fn a_reset_goes_on_as_a_reset() {
    requires!(python3);
    let scratch = Scratch::new();
    let mut container = Published::start(&scratch, TELL, &[]);
    let stream = container.connect();
    assert_eq!(container.running.line(), "begun");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(container.running.line(), "end of file");

    let stream = container.connect();
    assert_eq!(container.running.line(), "begun");
    let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, sockopt::Linger, &at_once).unwrap();
    drop(stream);
    assert_eq!(container.running.line(), "reset");

    let container = Published::start(&scratch, RESET, &[]);
    for _ in 0..races().min(100) {
        let mut stream = container.connect();
        stream.write_all(b"x").unwrap();
        let mut words = [0; 10];
        stream.read_exact(&mut words).expect("what came before the reset is lost");
        assert_eq!(&words, b"last words");
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn where_nobody_listens_the_client_is_reset() {
    requires!(python3);
    let scratch = Scratch::new();
    let options = ["-p", "7999"];
    let mut container = Published::start(&scratch, ECHO, &options);
    let nobody = container.address;
    container.address = published(&container.running.note());
    // On a slow machine the reset is there before connect(2) returns.
    let closed = TcpStream::connect(nobody).and_then(|mut stream| {
        stream.set_read_timeout(Some(patience(60.0)))?;
        stream.read(&mut [0])
    });
    match closed {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("somebody listens: {other:?}"),
    }
    echoes(&mut container.connect(), b"but here");
}

#[test]
fn a_client_that_stalls_costs_nothing_and_holds_nobody_up() {
    requires!(python3);
    let scratch = Scratch::new();
    let mut container = Published::start(&scratch, ECHO, &["-p", "7003"]);
    let flood = container.address;
    container.address = published(&container.running.note());
    assert_eq!(FLOOD, 7003);

    let stalled: Vec<_> = (0..20).map(|_| connect(flood)).collect();
    for stream in &stalled {
        stream.peek(&mut [0]).unwrap();
    }
    let pid = forwarder(container.running.pid()).expect("no forwarder");
    // All buffers fill up, and then there is nothing to do.
    let quiet = eventually(30.0, || {
        let before = ticks(pid);
        std::thread::sleep(std::time::Duration::from_secs(1));
        (ticks(pid) == before).then_some(())
    });
    assert!(quiet.is_some(), "the forwarder does not rest");
    echoes(&mut container.connect(), &vec![b'x'; 100_000]);
    assert!(memory(pid) < 4 << 10, "{} kB", memory(pid));
    // What was sent is all there.
    for mut stream in stalled {
        let mut some = vec![1; 1 << 20];
        stream.read_exact(&mut some).unwrap();
        assert!(some.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn many_connections_one_after_the_other_leave_nothing() {
    requires!(python3, prlimit);
    let scratch = Scratch::new();
    // A descriptor that is left of each would soon be one too many.
    let container = Published::under(&scratch, &["prlimit", "--nofile=256"], ECHO, &[]);
    for at in 0..races() * 34 {
        let mut stream = container.connect();
        echoes(&mut stream, b"hello");
        if at % 3 == 1 {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        if at % 3 > 0 {
            let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            setsockopt(&stream, sockopt::Linger, &at_once).unwrap();
        }
    }
}

#[test]
fn many_connections_at_once() {
    requires!(python3);
    let scratch = Scratch::new();
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let container = Published::start(&scratch, ECHO, &[]);
    for _ in 0..2 {
        let mut streams: Vec<_> = (0..1000).map(|_| container.connect()).collect();
        for (at, stream) in streams.iter_mut().enumerate() {
            echoes(stream, format!("this is {at}").as_bytes());
        }
    }
}

#[test]
fn clients_wait_where_there_is_no_room() {
    requires!(python3, prlimit);
    let scratch = Scratch::new();
    let container = Published::under(&scratch, &["prlimit", "--nofile=128"], ECHO, &[]);
    let mut waiting: Vec<_> = (0..200).map(|_| container.connect()).collect();
    waiting.iter_mut().for_each(|stream| stream.write_all(b"hello").unwrap());
    for mut stream in waiting {
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");
    }
}

#[test]
fn datagrams() {
    requires!(python3);
    let scratch = Scratch::new();
    let container = Published::start(&scratch, DATAGRAMS, &[]);
    let client = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(container.address).unwrap();
        socket.set_read_timeout(Some(patience(20.0))).unwrap();
        socket
    };
    let (one, other) = (client(), client());
    for text in ["a", "b"] {
        for (name, socket) in [("one", &one), ("other", &other)] {
            let text = format!("{name} {text}");
            socket.send(text.as_bytes()).unwrap();
            let mut buffer = [0; 100];
            let length = socket.recv(&mut buffer).unwrap();
            let back = String::from_utf8_lossy(&buffer[..length]);
            assert!(back.ends_with(&text), "{back}");
        }
    }
    let long = vec![b'x'; 60_000];
    one.send(&long).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let length = one.recv(&mut buffer).unwrap();
    assert!(buffer[..length].ends_with(&long));
}

#[test]
fn services_see_who_their_clients_are() {
    requires!(python3, unshare, iproute);
    let scratch = Scratch::new();
    let services = scratch.file("services.py", SERVICES);
    let script = include_str!("ports/addresses.py");
    let words = ["--user", "--map-root-user", "--net", "python3", "-c", script];
    let told = Program::new("unshare").at_home(&scratch).args(words).arg(launcher()).arg(services);
    let told = told.within(60.0).run();
    let expected = [
        "192.0.2.7 is 192.0.2.7 port kept",
        "192.0.2.7 is 192.0.2.7 port kept",
        "2001:db8::7 is 2001:db8::7 port kept",
        "2001:db8::7 is 2001:db8::7 port kept",
        "127.0.0.1 is 127.0.0.1 another port",
    ];
    assert_eq!(told.ok().lines().collect::<Vec<_>>(), expected, "{}", told.stderr);
}

#[test]
fn a_forwarder_that_is_killed_is_replaced() {
    requires!(python3);
    let scratch = Scratch::new();
    let container = Published::start(&scratch, ECHO, &[]);
    let launcher = container.running.pid();
    let first = forwarder(launcher).expect("no forwarder");
    let mut stream = container.connect();
    echoes(&mut stream, b"hello");
    // One that ends at once would not be.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    spawn::kill(first, nix::libc::SIGKILL).unwrap();
    // An end of file would be a lie.
    let ended = stream.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(ended, Err(ErrorKind::ConnectionReset));
    echoes(&mut container.connect(), b"hello again");
    assert_ne!(forwarder(launcher), Some(first));
}

#[test]
fn a_killed_launcher_leaves_no_port() {
    requires!(python3);
    let scratch = Scratch::new();
    for _ in 0..races().min(20) {
        let container = Published::start(&scratch, ECHO, &[]);
        let mut stream = container.connect();
        echoes(&mut stream, b"hello");
        container.running.signal(nix::libc::SIGKILL);
        let free = eventually(1.0, || TcpListener::bind(container.address).ok());
        assert!(free.is_some(), "{} is still taken", container.address);
        drop(container);
        Leaks::of(&scratch).none();
    }
}

/// Writes for as long as there is room on the way, but no more MiB than that, and
/// ends.
const LAST_WORDS: &str = "\
import socket, sys, time
server = socket.create_server((\"0.0.0.0\", 7000))
print(\"ready\", flush=True)
client = server.accept()[0]
client.setblocking(False)
written, full = 0, 0
while full < 20 and written < int(sys.argv[1]) << 20:
    try:
        written, full = written + client.send(b\"x\" * (1 << 20)), 0
    except BlockingIOError:
        full += 1
        time.sleep(0.01)
print(written, flush=True)
";

/// A program that has said its last words, a client that has taken at most as many
/// bytes of them, and how many there are.
fn last_words(scratch: &Scratch, most: &str, taken: usize) -> (Running, TcpStream, usize) {
    let program = run(scratch).within(60.0).args(["-p", "7000", "host"]);
    let mut running = program.args(["python3", "-c", LAST_WORDS, most]).spawn();
    let address = published(&running.note());
    assert_eq!(running.line(), "ready");
    let client = connect(address);
    setsockopt(&client, sockopt::RcvBuf, &taken).unwrap();
    let written = running.line().parse().unwrap();
    (running, client, written)
}

/// As it is without a forwarder: what a program has written before its end comes.
/// Meanwhile the port is free.
#[test]
fn a_slow_client_is_given_what_was_said_before_the_end() {
    requires!(python3);
    let scratch = Scratch::new();
    let (running, mut client, written) = last_words(&scratch, "4", 1 << 17);
    assert!(written > 200_000, "{written} bytes are not enough to wait for anybody");
    let address = client.peer_addr().unwrap();
    let free = eventually(2.0, || TcpListener::bind(address).ok());
    assert!(free.is_some(), "{address} is still taken");
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).expect("hear all");
    assert_eq!(heard.len(), written);
    running.wait().exits(0);
    Leaks::of(&scratch).none();
}

/// For a while: who takes nothing holds nobody up, and learns that it was not all.
#[test]
fn a_client_who_takes_nothing_is_not_waited_for() {
    requires!(python3);
    let scratch = Scratch::new();
    let (running, mut client, written) = last_words(&scratch, "100", 4096);
    running.wait().exits(0);
    let ended = client.read_to_end(&mut Vec::with_capacity(written));
    assert_eq!(ended.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    Leaks::of(&scratch).none();
}

#[test]
fn a_payload_that_ends_at_once_is_no_error() {
    requires!();
    let scratch = Scratch::new();
    for _ in 0..races().min(50) {
        run(&scratch).args(["-p", "80", "host", "true"]).run().exits(0);
    }
}

#[test]
fn a_socket_that_was_handed_over() {
    requires!(python3);
    let scratch = Scratch::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let program = |names: &str, port: &str| {
        let program = run(&scratch).within(60.0).inherit(&socket, 3);
        let program = program.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", names);
        program.args(["-p", port, "host", "python3", "-c", SERVICES])
    };
    program("web", "fd:wbe:7002").refused(&["fd:wbe", "web"]);
    program("web", "fd:web:7007/udp").refused(&["fd:web", "UDP"]);
    program("web", "fd:web:7002").env("LISTEN_PID", "1").refused(&["LISTEN_PID"]);
    let mut running = program("web", "fd:web:7002").spawn();
    assert_eq!(published(&running.note()), socket.local_addr().unwrap());
    assert_eq!(running.line(), "ready");
    echoes(&mut connect(socket.local_addr().unwrap()), b"hello");
}

#[test]
fn a_taken_port_is_told_with_who_has_it() {
    requires!();
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = |port: String, words: &[&str]| {
        run(&scratch).args(["-p", &port, "host", "true"]).refused(words);
    };
    let own = format!("process {}", std::process::id());
    refused(format!("{port}:80"), &[&port.to_string(), "taken", &own, "-p 80"]);
    refused(format!("0.0.0.0:{port}:80"), &["taken", &own]);
    Leaks::of(&scratch).none();
}

#[test]
fn a_port_below_1024_is_told_with_the_ways_out() {
    requires!(low_ports);
    let scratch = Scratch::new();
    let words = ["ip_unprivileged_port_start=80", "fd:NAME:80", "-p 8080:80"];
    run(&scratch).args(["-p", "80:80", "host", "true"]).refused(&words);
}

/// A first process of ours, into which nobody may look, is in no way.
#[test]
fn ports_of_a_container_with_an_init() {
    requires!(python3);
    let scratch = Scratch::new();
    let published = Published::start(&scratch, ECHO, &["--init"]);
    echoes(&mut published.connect(), b"through");
    published.running.signal(libc::SIGTERM);
    published.running.wait();
    let at = At::new();
    at.run(&["--init", "--network", "loopback", "-p", "7001"]).arg("true").run().exits(0);
    let web = at.start("web", &["--init", "--network", "loopback"], "echo ready; exec sleep 600");
    at.sublet(&["port", "add", "web", "-p", "7001"]).ok();
    at.sublet(&["rm", "-f", "web"]).ok();
    web.wait();
}

/// A container that takes another's place has its ports as well, if it can be had
/// at all.
#[test]
fn who_takes_anothers_place_has_its_ports() {
    requires!();
    let at = At::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = format!("{free}:7001");
    let options = ["-d", "--network", "loopback", "--name", "web", "-p", &port];
    let sleep = |options: &[&str]| at.run(options).args(["sleep", "600"]);
    let first = sleep(&options).ok();
    let replace = [&options[..], &["--replace"]].concat();
    let nonsense = [&replace[..], &["-v", "relative/../x:not-absolute"]].concat();
    assert_ne!(sleep(&nonsense).run().code(), 0);
    sleep(&[&replace[..], &["-u", "nobody-there"]].concat()).run().exits(125);
    let empty = at.scratch.dir("empty");
    let words = [&["run"], &replace[..], &[&empty, "ls"]].concat();
    at.sublet(&words).run().explained(&["is no root filesystem"]);
    assert_eq!(at.inspect("web")["Id"], first, "it is still there");
    let second = sleep(&replace).ok();
    assert_ne!(first, second);
    assert_eq!(at.sublet(&["port", "web", "7001"]).ok(), format!("127.0.0.1:{free}"));
    // Another's port is no reason to end anything.
    let other = sleep(&["-d", "--network", "loopback", "--name", "db", "--replace", "-p", &port]);
    other.refused(&["the port is taken"]);
    assert_eq!(at.inspect("web")["Id"], second);
    at.sublet(&["rm", "-f", "web"]).ok();
}

/// More of them than the caller may have files open, as long as that may be
/// raised: the program has the caller's limit all the same, at every start.
#[test]
fn more_of_them_than_files_may_be_open() {
    requires!();
    let at = At::new();
    let soft = |program: Program| program.inside(r#"ulimit -Sn 256; exec "$@""#);
    let script = "ulimit -Sn; ulimit -Hn; exit 1";
    let options = ["--network", "loopback", "-p", "7001-7300"];
    let hard = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit").1;
    let program = at.run(&[&options[..], &["--rm"]].concat()).args(["sh", "-c", script]);
    let done = soft(program).run();
    done.exits(1);
    assert_eq!(done.stdout(), format!("256\n{hard}\n"));
    let again = ["-d", "--name", "web", "--restart", "on-failure:1"];
    soft(at.run(&[&options[..], &again].concat()).args(["sh", "-c", script])).ok();
    at.sublet(&["wait", "web"]).ok();
    assert_eq!(at.sublet(&["logs", "web"]).ok(), format!("256\n{hard}\n256\n{hard}"));
    let asked = ["--rm", "--ulimit", "nofile=200"];
    let program = at.run(&[&options[..], &asked].concat()).args(["sh", "-c", "ulimit -n"]);
    assert_eq!(soft(program).ok(), "200");
    let program = at.run(&options).args(["true"]).inside(r#"ulimit -n 256; exec "$@""#);
    program.run().refused(&["publish ", "takes an open file", "ulimit -Hn"]);
}

#[test]
fn ports_that_make_no_sense() {
    requires!();
    let scratch = Scratch::new();
    let refused = |options: &[&str], words: &[&str]| {
        run(&scratch).args(options).args(["host", "true"]).refused(words);
    };
    refused(&["-p", "1-70000:1-70000"], &["70000", "65535"]);
    refused(&["-p", "8080:80", "-p", "8080:81"], &["8080", "twice"]);
    refused(&["-p", "0:80"], &["--publish", "not a port"]);
    refused(&["-p", "65536:80"], &["65536"]);
    refused(&["-p", "20-10:20-10"], &["backwards"]);
    refused(&["-p", "1-3:1-2"], &["3 ports", "2 ports"]);
    refused(&["-p", "x"], &["not a port"]);
    refused(&["-p", "::1:80:80"], &["[::1]"]);
    refused(&["-p", "203.0.113.1:8080:80"], &["203.0.113.1", "no address"]);
    refused(&["-p", "80", "--network", "host"], &["--network host"]);
    refused(&["-p", "80", "--network", "none"], &["--network none"]);
    refused(&["-p", "fd:web:80"], &["no sockets", "systemd"]);
    refused(&["-p80"; 70_000], &["70000 ports"]);
}
