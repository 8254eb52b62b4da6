//! Ports that come and go while a container runs: `sublet port`.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::Path;

use serde_json::json;

use super::*;

/// One that others know as `web`, with services, and a port if `options` have one.
struct Web {
    scratch: Scratch,
    running: Running,
}

impl Web {
    fn start(options: &[&str]) -> Self {
        let scratch = Scratch::new();
        let program = Program::run_in(&scratch).within(120.0).args(["--name", "web"]);
        let program = program.args(["--network", "loopback"]).args(options);
        let program = program.args(["host", "python3", "-c", SERVICES, "0.0.0.0"]);
        let mut running = program.spawn();
        assert_eq!(running.line(), "ready");
        let web = Self { scratch, running };
        let runs = || (web.sublet(&["ps", "-q"]).ok().lines().count() == 1).then_some(());
        eventually(10.0, runs).expect("it runs");
        web
    }

    fn sublet(&self, words: &[&str]) -> Program {
        Program::sublet(&self.scratch).args(words).within(60.0)
    }

    /// What `port add` has bound.
    #[track_caller]
    fn add(&self, port: &str) -> SocketAddr {
        let told = self.sublet(&["port", "add", "web", "-p", port]).ok();
        let address = told.split(' ').nth(2).unwrap_or_else(|| panic!("no address in {told:?}"));
        address.parse().unwrap()
    }

    fn lines(&self) -> Vec<String> {
        self.sublet(&["port", "web"]).ok().lines().map(str::to_owned).collect()
    }
}

#[track_caller]
fn counts(address: SocketAddr) {
    let mut stream = connect(address);
    stream.write_all(b"12345").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    assert_eq!(told, "5\n");
}

#[test]
fn ports_come_and_go_while_it_runs() {
    requires!(python3);
    let mut web = Web::start(&["-p", "7002"]);
    let echo = published(&web.running.note());
    assert_eq!(web.lines(), [format!("7002/tcp -> {echo}  clients masked")]);
    assert_eq!(web.sublet(&["port", "web", "7002"]).ok(), echo.to_string());
    let mut stays = connect(echo);
    echoes(&mut stays, b"before");

    let count = web.add("7001");
    counts(count);
    let datagrams = web.add("7007/udp");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(patience(60.0))).unwrap();
    client.send_to(b"datagram", datagrams).unwrap();
    let mut back = [0; 100];
    let (length, from) = client.recv_from(&mut back).expect("an answer");
    assert!(from == datagrams && back[..length].ends_with(b"datagram"));
    let inspected = web.sublet(&["inspect", "web"]).json();
    let bound =
        |at: SocketAddr| json!([{"HostIp": "127.0.0.1", "HostPort": at.port().to_string()}]);
    let ports = json!({
        "7001/tcp": bound(count), "7002/tcp": bound(echo), "7007/udp": bound(datagrams),
    });
    assert_eq!(inspected[0]["NetworkSettings"]["Ports"], ports);
    let listed = web.sublet(&["port", "--format", "json", "web", "7007/udp"]).json();
    let view = json!([{
        "ContainerPort": 7007, "Protocol": "udp", "HostIp": "127.0.0.1",
        "HostPort": datagrams.port(), "ClientAddress": "masked",
    }]);
    assert_eq!(listed, view);

    // The port is free when the command is over, and what goes through it goes on.
    assert_eq!(web.sublet(&["port", "rm", "web", "7002", "7007/udp"]).ok(), "");
    let taken = TcpListener::bind(echo).expect("the port is not free");
    drop((taken, UdpSocket::bind(datagrams).expect("the port is not free")));
    echoes(&mut stays, b"after");
    assert_eq!(web.lines(), [format!("7001/tcp -> {count}  clients masked")]);
    // A forwarder that takes the place of one that was killed has the same.
    let first = forwarder(web.running.pid()).expect("no forwarder");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    spawn::kill(first, libc::SIGKILL).unwrap();
    counts(count);
    assert!(TcpStream::connect(echo).is_err(), "a port that was removed is back");
    assert_eq!(web.add(&format!("{}:7002", echo.port())), echo);
    echoes(&mut connect(echo), b"again");

    web.running.signal(libc::SIGKILL);
    let free = eventually(5.0, || TcpListener::bind(count).and(TcpListener::bind(echo)).ok());
    assert!(free.is_some(), "a port outlives the container");
    web.sublet(&["port", "add", "web", "-p", "80"])
        .run()
        .exits(1)
        .explained(&["web", "not running"]);
    assert_eq!(web.sublet(&["port", "web"]).ok(), "");
}

#[test]
fn a_container_without_ports_gets_some() {
    requires!(python3);
    let web = Web::start(&[]);
    assert_eq!(web.lines(), [""; 0]);
    let told = web.sublet(&["port", "add", "web", "-p", "0.0.0.0::7001", "-p", "7002-7003"]).ok();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(lines[0].starts_with("7001/tcp -> 0.0.0.0:"), "{told}");
    assert!(lines[0].ends_with("  clients kept"), "{told}");
    let port = lines[0].split([':', ' ']).nth(3).unwrap();
    counts(format!("127.0.0.1:{port}").parse().unwrap());
    let mut lines = web.lines();
    lines.sort();
    assert_eq!(lines, told.lines().collect::<Vec<_>>());
}

/// What can't be had changes nothing.
#[test]
fn changes_that_are_refused() {
    requires!(python3);
    let mut web = Web::start(&["-p", "7002"]);
    let echo = published(&web.running.note());
    let before = web.lines();
    let refused = |words: &[&str], told: &[&str]| {
        let words = [&["port"], words].concat();
        web.sublet(&words).run().exits(1).explained(told);
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = taken.local_addr().unwrap().port();
    let own = format!("process {}", std::process::id());
    let both = format!("{number}:7002");
    refused(&["add", "web", "-p", "7001", "-p", &both], &["taken", &own, "-p 7002"]);
    let twice = format!("{}:7001", echo.port());
    refused(&["add", "web", "-p", &twice], &["taken", "sublet", "-p 7001"]);
    refused(&["add", "web", "-p", "203.0.113.1:8080:80"], &["203.0.113.1", "no address"]);
    refused(&["add", "web", "-p", "fd:web:80"], &["fd:web", "sublet run"]);
    refused(&["add", "web", "-p", "1-2000"], &["1000", "sublet run -p"]);
    refused(&["rm", "web", "7002", "7001"], &["7001/tcp is not published"]);
    refused(&["rm", "web", "1:7002"], &["127.0.0.1:1 -> 7002/tcp is not published"]);
    refused(&["web", "7001"], &["does not publish 7001/tcp", "sublet port web"]);
    refused(&["wbe"], &["no container wbe", "web"]);
    refused(&["add", "wbe", "-p", "80"], &["no container wbe"]);
    for (words, told) in [
        (vec!["port"], vec!["CONTAINER is missing"]),
        (vec!["port", "add", "web"], vec!["-p is missing"]),
        (vec!["port", "rm", "web"], vec!["PORT is missing"]),
        (vec!["port", "add", "web", "-p", "0:80"], vec!["not a port"]),
    ] {
        web.sublet(&words).refused(&told);
    }
    assert_eq!(web.lines(), before);
    echoes(&mut connect(echo), b"hello");
}

#[test]
fn a_port_below_1024_is_told_with_the_ways_out_there_too() {
    requires!(python3, low_ports);
    let web = Web::start(&[]);
    let told = web.sublet(&["port", "add", "web", "-p", "80:80"]).run();
    told.exits(1).explained(&["ip_unprivileged_port_start=80", "-p 8080:80"]);
}

#[test]
fn where_there_is_no_network_of_its_own_nothing_is_published() {
    requires!(python3);
    for network in ["host", "none"] {
        let at = At::new();
        let _running = at.start("alone", &["--network", network], "echo ready; exec sleep 600");
        let told = at.sublet(&["port", "add", "alone", "-p", "80"]).run();
        told.exits(1).explained(&[&format!("--network {network}")]);
    }
}

/// What was asked of it meanwhile, and given up, does not happen.
#[test]
fn a_launcher_that_is_stopped_does_not_answer() {
    requires!(python3);
    let mut web = Web::start(&["-p", "7002"]);
    let echo = published(&web.running.note());
    let before = web.lines();
    web.running.signal(libc::SIGSTOP);
    let told = web.sublet(&["port", "add", "web", "-p", "7001"]).run();
    told.exits(1).explained(&["doesn't answer", "CONT"]);
    // Clients have nothing to do with it.
    echoes(&mut connect(echo), b"hello");
    web.running.signal(libc::SIGCONT);
    let count = web.add("7001");
    counts(count);
    assert_eq!(web.lines().len(), before.len() + 1);
}

/// Who knocks is sent away, and nobody turns in a circle for him.
#[test]
fn a_launcher_without_a_free_descriptor_sends_away_who_asks() {
    requires!(python3, prlimit);
    let mut web = Web::start(&["-p", "7002"]);
    let echo = published(&web.running.note());
    let launcher = web.running.pid();
    let limit = |number: &str| {
        let words = [&format!("--pid={launcher}"), &format!("--nofile={number}:4096")];
        let done = std::process::Command::new("prlimit").args(words).status();
        assert!(done.expect("run it").success());
    };
    // The first number that is free; poll(2) takes as many as there may be.
    let is_free = |number: &u32| !Path::new(&format!("/proc/{launcher}/fd/{number}")).exists();
    limit(&(0..4096).find(is_free).expect("a free number").to_string());
    let before = ticks(launcher);
    let told = web.sublet(&["port", "add", "web", "-p", "7001"]).run();
    assert_ne!(told.code(), 0, "{}", told.stderr);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let spent = ticks(launcher) - before;
    assert!(spent < 20, "{spent} ticks of a hundred");
    echoes(&mut connect(echo), b"hello");
    limit("4096");
    counts(web.add("7001"));
    assert_eq!(web.sublet(&["stop", "web"]).ok(), "web");
}

/// It has the same user, and may even have the socket before its eyes.
#[test]
fn a_container_can_ask_for_nothing() {
    requires!(python3);
    let at = At::new();
    let records = at.scratch.dir("run");
    let volume = format!("{records}:/mnt");
    let script = "
import glob, socket, time
found = []
while not found:
    found = glob.glob('/mnt/sublet/*/control')
    time.sleep(0.01)
def ask(request):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        try:
            asking.connect(found[0])
            asking.send(request)
            return asking.recv(1000).decode()
        except ConnectionError as error:
            return type(error).__name__
print('publish:', ask(b'{\"publish\":[\"80\"]}'))
print('attach:', ask(b'\"attach\"'))
print('over', flush=True)
time.sleep(600)
";
    let nothing = |asked: &str, answer: &str| {
        let told = answer.strip_prefix(asked).unwrap_or_else(|| panic!("{answer}"));
        assert!(["", "BrokenPipeError", "ConnectionResetError"].contains(&told), "{answer}");
    };
    let refused = |answers: &[&str]| {
        nothing("publish: ", answers[0]);
        nothing("attach: ", answers[1]);
        assert_eq!(answers[2], "over");
        assert_eq!(at.sublet(&["port", "web"]).ok(), "");
        // Its caller can.
        at.sublet(&["port", "add", "web", "-p", "80"]).ok();
    };
    let words = ["--name", "web", "--network", "loopback", "-v", &volume, "host", "python3", "-c"];
    let program = Program::run_in(&at.scratch).args(words).arg(script).within(60.0);
    let mut running = program.spawn();
    let answers = [running.line(), running.line(), running.line()];
    refused(&answers.each_ref().map(String::as_str));
    // Nobody is attached to it, as it has its caller's streams.
    at.sublet(&["attach", "web"]).run().exits(125).explained(&["foreground", "run -d"]);
    running.signal(libc::SIGTERM);
    drop(running);
    // In the background as well, where there is something to be attached to.
    at.sublet(&["rm", "-f", "web"]).ok();
    at.sublet(&["run", "-d"]).args(words).arg(script).ok();
    let said = || at.sublet(&["logs", "web"]).ok();
    let said = eventually(30.0, || Some(said()).filter(|said| said.ends_with("over")));
    let said = said.expect("it says nothing");
    refused(&said.lines().collect::<Vec<_>>());
    at.sublet(&["rm", "-f", "web"]).ok();
}
