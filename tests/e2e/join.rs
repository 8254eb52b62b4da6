//! Networks of others: of another container, and by path.

use std::collections::BTreeMap;
use std::fs;

use crate::common::*;

/// What every first process says before it goes on: its namespaces.
const LINKS: &str = "for kind in user pid mnt uts ipc net cgroup; do \
                     echo $kind $(readlink /proc/self/ns/$kind); done; ";

fn links(running: &mut Running) -> BTreeMap<String, String> {
    let line = |_| {
        let line = running.line();
        let (kind, link) = line.split_once(' ').expect("a kind and its link");
        (kind.to_owned(), link.to_owned())
    };
    (0..7).map(line).collect()
}

/// `--network container:web`.
fn beside(scratch: &Scratch) -> Program {
    Program::run_in(scratch).args(["--network", "container:web"]).within(60.0)
}

/// A container of that name which waits for a file, after what `script` does.
fn web(scratch: &Scratch, options: &[&str], script: &str) -> Running {
    let volume = format!("{}:/mnt", scratch.dir("volume"));
    let script = format!("{script}\necho up; until test -e /mnt/end; do sleep 0.1; done");
    let program = Program::run_in(scratch).args(["--name", "web", "--rm", "-v", &volume]);
    let program = program.args(options).args(["host", "--", "sh", "-c", &script]);
    let mut running = program.within(120.0).spawn();
    while running.line() != "up" {}
    running
}

fn end(scratch: &Scratch, running: Running) {
    scratch.file("volume/end", "");
    running.wait().exits(0);
}

/// The case that everybody knows.
#[test]
fn a_service_on_loopback_is_reached_from_a_container_beside_it() {
    requires!(redis);
    let scratch = Scratch::new();
    let server = "exec redis-server --bind 127.0.0.1 --save '' --dir /tmp --logfile /dev/null";
    let script = format!("{LINKS}{server}");
    let words = ["--name", "web", "--rm", "host", "--", "sh", "-c", &script];
    let mut first = Program::run_in(&scratch).args(words).within(120.0).spawn();
    let theirs = links(&mut first);
    let asks = "until redis-cli ping 2>/dev/null | grep PONG; do sleep 0.1; done";
    let script = format!("{LINKS}{asks}");
    let mut second = beside(&scratch).args(["host", "--", "sh", "-c", &script]).spawn();
    let ours = links(&mut second);
    assert_eq!(second.line(), "PONG");
    second.wait().exits(0);
    for (kind, link) in &ours {
        // Rights over a network are had in the user namespace that owns it.
        let shared = ["net", "user"].contains(&kind.as_str());
        assert_eq!(theirs[kind] == *link, shared, "{kind}: {theirs:?} {ours:?}");
    }
    first.signal(libc::SIGTERM);
    first.wait();
}

#[test]
fn what_is_known_of_names_is_the_others_and_the_host_name_is_not() {
    requires!(resolv_conf);
    let scratch = Scratch::new();
    let asked = ["--add-host", "db:192.0.2.7", "--dns", "192.0.2.9", "-h", "first"];
    let first = web(&scratch, &asked, "");
    // One that has the files of /etc: what is mounted there covers a file.
    let root = Root::busybox(&scratch);
    let words = [root.text(), "sh", "-c", "cat /etc/resolv.conf /etc/hosts; hostname"];
    let told = beside(&scratch).args(["-h", "second"]).args(words).ok();
    assert!(told.starts_with("nameserver 192.0.2.9\n"), "{told}");
    assert!(told.contains("\n192.0.2.7\tdb\n127.0.1.1\tsecond\n"), "{told}");
    assert!(told.ends_with("\nsecond"), "{told}");
    let own = ["--dns", "192.0.2.1", "--add-host", "x:192.0.2.3"];
    let told = beside(&scratch).args(own).args(words).ok();
    assert!(told.starts_with("nameserver 192.0.2.1\n"), "{told}");
    assert!(told.contains("\n192.0.2.3\tx\n"), "{told}");
    end(&scratch, first);
}

#[test]
fn its_ways_out_are_the_others() {
    requires!(slirp4netns);
    let scratch = Scratch::new();
    let first = web(&scratch, &["--network", "slirp4netns"], "");
    let words = ["host", "--", "sh", "-c", "cat /proc/net/route; ls /sys/class/net"];
    let told = beside(&scratch).args(words).ok();
    assert!(told.contains("tap0\t00000000"), "{told}");
    assert!(told.ends_with("\nlo\ntap0"), "sysfs is another network's: {told}");
    end(&scratch, first);
}

/// It goes on, with its loopback; the helper is gone with the other.
#[test]
fn the_one_that_was_joined_may_end_first() {
    requires!(slirp4netns, python3);
    let scratch = Scratch::new();
    let first = web(&scratch, &["--network", "slirp4netns"], "");
    let script = "import socket, sys\n\
                  print('up', flush=True)\n\
                  while any(line.startswith('tap0') for line in open('/proc/net/route')): pass\n\
                  server = socket.create_server(('127.0.0.1', 0))\n\
                  socket.create_connection(server.getsockname())\n\
                  print('loopback', flush=True)\n";
    let mut second = beside(&scratch).args(["host", "--", "python3", "-c", script]).spawn();
    assert_eq!(second.line(), "up");
    end(&scratch, first);
    assert_eq!(second.line(), "loopback");
    second.wait().exits(0);
}

#[test]
fn all_that_a_container_can_be_goes_with_it() {
    requires!(subuid);
    let scratch = Scratch::new();
    for target in [&[][..], &["--init"], &["--userns", "single"], &["--userns", "nomap"]] {
        let first = web(&scratch, target, "");
        let net = |program: Program| {
            let script = "readlink /proc/self/ns/net; cat /proc/self/oom_score_adj";
            program.args(["host", "--", "sh", "-c", script]).ok()
        };
        let plain = net(beside(&scratch));
        let network = plain.lines().next().unwrap();
        for options in [&["--init"][..], &["--read-only"], &["--ipc", "host"], &["-u", "0"]] {
            let told = net(beside(&scratch).args(options));
            assert_eq!(told, plain, "{target:?} {options:?}");
        }
        let told = net(beside(&scratch).args(["--oom-score-adj", "777"]));
        assert_eq!(told, format!("{network}\n777"), "{target:?}");
        // One that joins can be joined.
        let mut second = beside(&scratch)
            .args(["--name", "second", "--rm", "host", "--", "sh", "-c"])
            .arg("echo up; until test -e /mnt/end; do sleep 0.1; done")
            .spawn();
        assert_eq!(second.line(), "up");
        let third = Program::run_in(&scratch).args(["--network", "container:second"]);
        assert_eq!(net(third), plain, "{target:?}");
        Program::sublet(&scratch).args(["kill", "-s", "KILL", "second"]).ok();
        second.wait().exits(137);
        end(&scratch, first);
        fs::remove_file(scratch.join("volume/end")).unwrap();
    }
}

#[test]
fn a_network_is_joined_by_its_path() {
    requires!(lan);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let script = "ip link set lo up; ip address add 192.0.2.1/32 dev lo; echo $$; exec sleep 100";
    let outer = ["--user", "--map-root-user", "--net", "sh", "-ec", script, scratch.mark()];
    let mut holder = Program::new("unshare").args(outer).within(60.0).spawn();
    let path = format!("ns:/proc/{}/ns/net", holder.line());
    let run = || Program::run_in(&scratch).args(["--network", &path]).arg(root.path());
    let told = run().args(["cat", "/proc/net/fib_trie"]).ok();
    assert!(told.contains("192.0.2.1"), "{told}");
    let told = run().args(["cat", "/proc/self/uid_map"]).ok();
    let words: Vec<&str> = told.split_whitespace().collect();
    assert_eq!(words, ["0", &caller().0.to_string(), "1"]);
    holder.signal(libc::SIGKILL);
    holder.wait();
}

/// Who is in the user namespace already, with all rights there, sees nothing
/// of who comes: neither the launcher's environment nor its memory.
#[test]
fn nobody_there_sees_what_is_the_callers() {
    requires!(unshare, python3);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let spy = include_str!("join/spy.py");
    let outer = ["--user", "--map-root-user", "--net", "python3", "-c", spy, scratch.mark()];
    let mut spying = Program::new("unshare").args(outer).within(60.0).spawn();
    let path = format!("ns:/proc/{}/ns/net", spying.line());
    for _ in 0..races().min(40) {
        let run = Program::run_in(&scratch).args(["--network", &path]).arg(root.path());
        run.env("SUBLETS_SECRET", "x").arg("true").ok();
    }
    // What is meant to be seen is: the test would find it.
    let run = Program::run_in(&scratch).args(["--network", &path, "-e", "SEEN_SECRET=x"]);
    let shown = run.arg(root.path()).args(["sh", "-c", "sleep 100", scratch.mark()]).spawn();
    assert_eq!(spying.line(), "SEEN_SECRET=x");
    shown.signal(libc::SIGKILL);
    spying.signal(libc::SIGKILL);
    let done = spying.wait();
    assert!(!done.stdout().contains("SUBLETS_SECRET"), "{}", done.stdout());
}

/// As `ip netns` makes them: a namespace of the machine's, for its root.
#[test]
fn root_joins_the_machines_own() {
    requires!(root, unshare, iproute);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let file = scratch.file("net", "");
    let network = format!("ns:{file}");
    let words = ["cat", "/proc/net/fib_trie"];
    let run = Program::run_in(&scratch).args(["--network", &network]).arg(root.path());
    let script = format!(
        "mount --bind $(dirname {file}) $(dirname {file}); mount --make-private $(dirname {file})
         unshare --net={file} sh -ec 'ip link set lo up; ip address add 192.0.2.1/32 dev lo'
         exec \"$@\""
    );
    let outer = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", &script, "sh"];
    let told = run.args(words).under(&outer).ok();
    assert!(told.contains("192.0.2.1"), "{told}");
}

#[test]
fn what_can_not_be_joined_is_told_why() {
    requires!();
    let scratch = Scratch::new();
    let refused = |options: &[&str], words: &[&str]| {
        Program::run_in(&scratch).args(options).args(["host", "true"]).refused(words);
    };
    refused(&["--network", "container:web"], &["there is no container web"]);
    refused(&["--network", "container:"], &["which container's"]);
    let words = ["-p", "80", "--network", "container:web"];
    refused(&words, &["--publish has no effect", "publish the port with the container"]);
    refused(&["-p", "80", "--network", "ns:/x"], &["--publish has no effect"]);
    refused(&["--network", "ns:/nowhere"], &["open /nowhere", "No such file"]);
    refused(&["--network", "ns:/dev/null"], &["is no network namespace"]);
    refused(&["--network", "ns:/proc/self/ns/uts"], &["is no network namespace"]);
    refused(&["--network", "ns:/proc/self/ns/net"], &["the host's network", "--network host"]);

    let first = web(&scratch, &["--userns", "single"], "");
    let joined = ["--network", "container:web"];
    let same = [&joined[..], &["--userns", "single", "host", "true"]].concat();
    Program::run_in(&scratch).args(same).ok();
    let other = format!("5:{}:1", caller().0);
    let words = ["container web has other ids", "--uidmap"];
    refused(&[&joined[..], &["--uidmap", &other]].concat(), &words);
    let words = ["it would end container web with itself", "--pid host"];
    refused(&[&joined[..], &["--pid", "host"]].concat(), &words);
    end(&scratch, first);
    refused(&joined, &["there is no container web"]);
    fs::remove_file(scratch.join("volume/end")).unwrap();

    let first = web(&scratch, &["--network", "host"], "");
    refused(&joined, &["container web has the host's network", "--network host"]);
    end(&scratch, first);
    fs::remove_file(scratch.join("volume/end")).unwrap();

    let first = web(&scratch, &["--pid", "host"], "");
    refused(&joined, &["would end this one with itself", "--pid host"]);
    end(&scratch, first);

    Program::run_in(&scratch).args(["--name", "over", "host", "true"]).ok();
    refused(&["--network", "container:over"], &["container over is not running"]);
}
