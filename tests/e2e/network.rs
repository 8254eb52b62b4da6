//! Networks that reach out: through real helpers, to servers of the test's
//! own. What is outside is itself a network namespace, so that nothing leaves
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;

use crate::common::spawn::{kill, place};
use crate::common::*;

const HELPERS: [&str; 2] = ["slirp4netns", "pasta"];

/// A machine's network: an Ethernet of addresses for documentation with a
/// default route, and an address that is on no Ethernet. Of the former pasta
/// takes all; only the latter is outside of a container then.
const LAN: &str = "
    ip link set lo up
    ip link add lan mtu 1400 type veth peer name far
    ip link set far up
    ip address add 192.0.2.2/24 dev lan
    ip address add 198.51.100.3/32 dev lo
    ip address add fd00:5::2/64 dev lan nodad
    ip link set lan up
    ip route add default via 192.0.2.1
    ip -6 route add default via fd00:5::1
";

/// The program on a machine with that network, after what `script` does as its
/// root. It is the process that is started.
fn on_lan(script: &str, program: Program) -> Program {
    let script = format!("{LAN}\n{script}\nexec \"$@\"");
    let outer = ["unshare", "--user", "--map-root-user", "--mount", "--net", "sh", "-ec"];
    program.under(&[&outer[..], &[&script, "sh"]].concat()).within(60.0)
}

/// Has `/etc/resolv.conf` hold this. Some machines have none: there a copy of
/// what can be read of /etc takes its place.
fn resolved_by(scratch: &Scratch, text: &str) -> String {
    let (file, etc) = (scratch.file("resolv.conf", text), scratch.dir("etc"));
    format!(
        "if ! test -e /etc/resolv.conf; then
             cp -r /etc/. {etc} 2>/dev/null || true
             touch {etc}/resolv.conf
             mount --bind {etc} /etc
         fi
         mount --bind {file} /etc/resolv.conf"
    )
}

/// A script of the tests', to be called as a path.
fn script(scratch: &Scratch, name: &str, text: &str) -> String {
    scratch.file(name, text)
}

fn run(scratch: &Scratch, options: &[&str]) -> Program {
    Program::run_in(scratch).args(options)
}

/// What is heard at each target from inside a container with these options,
/// while the machine serves at all of `served`.
fn heard(
    scratch: &Scratch,
    options: &[&str],
    resolv: &str,
    served: &[&str],
    targets: &[&str],
) -> Vec<String> {
    let outside = script(scratch, "outside.py", include_str!("network/outside.py"));
    script(scratch, "inside.py", include_str!("network/inside.py"));
    let volume = format!("{}:/mnt:ro", scratch.path().display());
    let words = ["host", "/usr/bin/python3", "/mnt/inside.py"];
    let container = run(scratch, options).args(["-v", &volume]).args(words).args(targets);
    let serving = [&["/usr/bin/python3", &outside][..], served, &["--"]].concat();
    let told = on_lan(&resolved_by(scratch, resolv), container.under(&serving)).ok();
    let lines = told.lines().zip(targets).map(|(line, target)| {
        let word = line.strip_prefix(target).expect("a line for each target");
        word.trim().to_owned()
    });
    lines.collect()
}

/// Where the host's loopback might be reached (C43).
const WAYS_IN: [&str; 15] = [
    "127.0.0.1@7001",
    "::1@7001",
    "::ffff:127.0.0.1@7001",
    "0.0.0.0@7001",
    "10.0.2.2@7001",
    "::ffff:10.0.2.2@7001",
    "10.0.2.3@7001",
    "10.0.2.3@53",
    "fd00::2@7001",
    "fd00::3@7001",
    "192.0.2.1@7001",
    "192.0.2.2@7001",
    "169.254.1.1@7001",
    "100.64.0.1@7001",
    "fe80::2@7001",
];

/// The helper would wait for the network namespace, and the payload for it.
#[test]
fn who_can_not_make_the_network_is_not_waited_for() {
    requires!(strace, slirp4netns);
    let scratch = Scratch::new();
    let inject = ["-e", "trace=setns", "-e", "inject=setns:error=EPERM:when=1"];
    let outer = [&["strace", "-f", "-qq", "-o", "/dev/null"], &inject[..]].concat();
    let options = ["--network", "slirp4netns", "--userns", "single", "host", "true"];
    let done = run(&scratch, &options).under(&outer).within(30.0).run();
    done.refused(&["hand the network namespace to slirp4netns: there is none", "--network none"]);
}

#[test]
fn the_world_is_reached_and_the_hosts_loopback_is_not() {
    requires!(lan, slirp4netns, pasta, python3);
    let on_loopback = ["127.0.0.1@7001", "127.0.0.53@7001", "::1@7001"];
    let served = [&on_loopback[..], &["198.51.100.3@7002"]].concat();
    let targets = [&["198.51.100.3@7002"][..], &WAYS_IN].concat();
    for helper in HELPERS {
        // The second has the helper pass on questions for names.
        for resolv in ["nameserver 198.51.100.3\n", "nameserver 127.0.0.1\n"] {
            let scratch = Scratch::new();
            let heard = heard(&scratch, &["--network", helper], resolv, &served, &targets);
            assert_eq!(heard[0], "open", "{helper}: the world is not reached");
            for (target, word) in targets.iter().zip(&heard).skip(1) {
                assert_eq!(word, "closed", "{helper} with {resolv:?}: {target}");
            }
        }
    }
}

/// With a service that is to be reached, all others are as closed as before.
#[test]
fn one_service_of_the_host_is_opened_and_nothing_else() {
    requires!(lan, slirp4netns, pasta, python3);
    const SERVICE: &str = "169.254.1.2@7001";
    let served = ["127.0.0.1@7001", "::1@7001", "127.0.0.1@7003", "127.0.0.53@7001"];
    let targets = [&[SERVICE, "169.254.1.2@7003", "169.254.1.2@53"][..], &WAYS_IN].concat();
    for network in [&HELPERS[..], &["none", "loopback"]].concat() {
        let scratch = Scratch::new();
        let options = ["--network", network, "--host-service", "7001"];
        let heard = heard(&scratch, &options, "nameserver 127.0.0.1\n", &served, &targets);
        for (target, word) in targets.iter().zip(&heard) {
            // On all addresses of the container's own is that one, too.
            let is_opened = [SERVICE].contains(target);
            assert_eq!(word == "open", is_opened, "{network}: {target} is {word}");
        }
    }
}

#[test]
fn an_echo_comes_back() {
    requires!(lan, slirp4netns, pasta, python3);
    // What is outside must let the helper ping.
    let outside = "echo 0 0 >/proc/sys/net/ipv4/ping_group_range";
    for helper in HELPERS {
        let scratch = Scratch::new();
        let ping = include_str!("network/ping.py");
        let words = ["host", "--", "python3", "-c", ping, "198.51.100.3"];
        let container = run(&scratch, &["--network", helper]).args(words);
        let told = on_lan(outside, container).ok();
        assert_eq!(told, "answered by 198.51.100.3 abcdefgh", "{helper}");
    }
}

#[test]
fn much_goes_both_ways() {
    requires!(lan, slirp4netns, pasta, iperf3);
    let serving = "iperf3 -s -B 198.51.100.3 --rcv-timeout 20000 >/dev/null & server=$!; code=0; \
                   \"$@\" || code=$?; kill $server; exit $code";
    // The server has one client at a time, and is not at once ready for the
    // next. What goes out of pasta may stall (docs/network.md): not each time.
    let client = "until timeout 30 iperf3 -c 198.51.100.3 -n 2M >/dev/null; do sleep 0.1; done
        until told=$(iperf3 -c 198.51.100.3 -n 20M --reverse --json); do sleep 0.1; done
        echo \"$told\"";
    for helper in HELPERS {
        let scratch = Scratch::new();
        let words = ["host", "--", "sh", "-c", client];
        let container = run(&scratch, &["--network", helper]).args(words).inside(serving);
        let told = on_lan("", container).within(200.0).json();
        let bytes = told["end"]["sum_received"]["bytes"].as_u64();
        assert!(bytes >= Some(20_000_000), "{helper}: {told}");
    }
}

#[test]
fn names_are_asked_of_the_hosts_own_resolver() {
    requires!(lan, slirp4netns, pasta, python3);
    for (helper, address) in [("slirp4netns", "10.0.2.3"), ("pasta", "169.254.1.1")] {
        let scratch = Scratch::new();
        let outside = script(&scratch, "outside.py", include_str!("network/outside.py"));
        let words = ["sh", "-c", "cat /etc/resolv.conf; getent ahostsv4 a.example; ip rule"];
        let container = run(&scratch, &["--network", helper]).arg("host").args(words);
        let serving = container.under(&["/usr/bin/python3", &outside, "--"]);
        let told = on_lan(&resolved_by(&scratch, "nameserver 127.0.0.1\n"), serving).ok();
        assert!(told.starts_with(&format!("nameserver {address}\n192.0.2.77 ")), "{told}");
        // slirp4netns might lead elsewhere from there.
        let closed = told.contains("from all to 10.0.2.3 prohibit");
        assert_eq!(closed, helper == "slirp4netns", "{told}");
    }
}

#[test]
fn the_network_is_there_when_the_payload_starts() {
    requires!(lan, slirp4netns, pasta);
    for helper in HELPERS {
        let scratch = Scratch::new();
        let root = Root::busybox(&scratch);
        let words = ["cat", "/proc/net/route", "/proc/sys/net/ipv4/ping_group_range"];
        let container = run(&scratch, &["--network", helper]).arg(root.path()).args(words);
        let told = on_lan("", container).ok();
        let default = told.lines().any(|line| line.split('\t').nth(1) == Some("00000000"));
        assert!(default, "{helper}: no default route in {told}");
        // The caller's gid alone is mapped there.
        assert!(told.ends_with("\n0\t0"), "{helper}: {told}");
    }
}

#[test]
fn every_group_of_the_container_may_ping() {
    requires!(subuid, slirp4netns);
    let (_, count) = subordinate("/etc/subgid").unwrap();
    let gid = caller().1;
    for (userns, range) in [
        ("auto", format!("0\t{count}")),
        ("single", "0\t0".to_owned()),
        ("keep-id", format!("{gid}\t{count}")),
    ] {
        let scratch = Scratch::new();
        let root = Root::busybox(&scratch);
        let options = ["--network", "slirp4netns", "--userns", userns];
        let words = ["cat", "/proc/sys/net/ipv4/ping_group_range"];
        assert_eq!(run(&scratch, &options).arg(root.path()).args(words).ok(), range, "{userns}");
    }
}

#[test]
fn packets_are_as_long_as_the_way_out_takes_or_the_helper_makes_them() {
    requires!(lan, slirp4netns, pasta);
    for (network, interface, mtu) in [
        ("slirp4netns", "tap0", "1400"),
        ("slirp4netns:mtu=1300", "tap0", "1300"),
        ("pasta", "lan", "65520"),
        ("pasta:--mtu,1300", "lan", "1300"),
    ] {
        let scratch = Scratch::new();
        let root = Root::busybox(&scratch);
        let file = format!("/sys/class/net/{interface}/mtu");
        let container = run(&scratch, &["--network", network]).arg(root.path());
        assert_eq!(on_lan("", container.args(["cat", &file])).ok(), mtu, "{network}");
    }
}

#[test]
fn the_network_is_the_one_that_is_asked_for() {
    requires!(lan, slirp4netns);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let network = ["--network", "slirp4netns:cidr=10.9.8.0/24"];
    let words = ["cat", "/proc/net/fib_trie"];
    let told = on_lan("", run(&scratch, &network).arg(root.path()).args(words)).ok();
    assert!(told.contains("10.9.8.100"), "{told}");
    let taken = ["--network", "slirp4netns:cidr=192.0.0.0/16"];
    let refused = on_lan("", run(&scratch, &taken).arg(root.path()).arg("true"));
    refused.refused(&["192.0.2.0/24", "lan"]);
}

#[test]
fn auto_is_one_that_works() {
    requires!(lan, slirp4netns, pasta);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let words = ["cat", "/proc/net/route"];
    let told = on_lan("", run(&scratch, &["--network", "auto"]).arg(root.path()).args(words)).ok();
    assert!(told.lines().count() > 1, "{told}");
}

#[test]
fn names_and_hosts_are_as_asked() {
    requires!(slirp4netns);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch).write("etc/hosts", "the root's own\n");
    let asked = ["--dns", "192.0.2.9", "--dns-search", "a.example", "--dns-option", "ndots:2"];
    let hosts = ["--network", "slirp4netns", "--add-host", "db:192.0.2.7", "-h", "box"];
    let options = [&asked[..], &hosts].concat();
    let words = ["cat", "/etc/resolv.conf", "/etc/hosts"];
    let told = run(&scratch, &options).arg(root.path()).args(words).ok();
    let resolv = "nameserver 192.0.2.9\nsearch a.example\noptions ndots:2\n";
    assert!(told.starts_with(resolv) && told.contains("\tbox\n"), "{told}");
    assert!(told.ends_with("\n192.0.2.7\tdb"), "{told}");
    let gateway = run(&scratch, &["--add-host", "db:host-gateway"]).arg(root.path()).arg("true");
    gateway.refused(&["--add-host \"db:host-gateway\"", "--host-service PORT"]);
    let own = run(&scratch, &["--no-hosts"]).arg(root.path()).args(["cat", "/etc/hosts"]).ok();
    assert_eq!(own, "the root's own");
}

// ---- where nothing is asked for

#[test]
fn there_is_a_way_out_where_nothing_is_asked_for() {
    requires!(lan, slirp4netns);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let usual = |options: &[&str], words: &[&str]| {
        // No server for names would be a warning more.
        let options = [&["--userns", "single", "--dns", "192.0.2.9"], options].concat();
        Program::run_usual(&scratch).args(options).arg(root.path()).args(words)
    };
    let done = on_lan("", usual(&[], &["cat", "/proc/net/route"])).run();
    assert!(done.ok().contains("tap0\t00000000"), "{done:?}");
    assert_eq!(done.stderr, "");
    let done = on_lan("", usual(&["-p", "80"], &["cat", "/proc/net/route"])).run();
    assert!(done.ok().contains("tap0\t00000000"), "{done:?}");
    assert!(done.stderr.starts_with("sublet: published 127.0.0.1:"), "{}", done.stderr);
    // Loopback alone where there is no tap: with the reason, once, if nobody
    // has asked for that.
    for (script, why) in [
        ("mount -t tmpfs none /dev/net", "/dev/net/tun is not there"),
        ("mount --bind /etc/shadow /dev/net/tun", "/dev/net/tun may not be opened by you"),
    ] {
        let done = on_lan(script, usual(&[], &["cat", "/proc/net/dev"])).run();
        assert!(!done.ok().contains("tap0"), "{done:?}");
        assert_eq!(done.stderr.matches("warning: ").count(), 1, "{}", done.stderr);
        assert!(done.stderr.contains(why), "{}", done.stderr);
        assert!(done.stderr.contains("--device /dev/net/tun"), "{}", done.stderr);
        let asked = on_lan(script, usual(&["--network", "none"], &["true"])).run();
        assert_eq!((asked.code(), asked.stderr.as_str()), (0, ""));
        // Nor does that keep a port from being published.
        let done = on_lan(script, usual(&["-p", "80"], &["true"])).run();
        assert!(done.exits(0).stderr.contains("published 127.0.0.1:"), "{}", done.stderr);
    }
}

#[test]
fn without_a_helper_the_package_is_named() {
    requires!(lan, slirp4netns, pasta);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let usual = |words: &[&str]| Program::run_usual(&scratch).arg(root.path()).args(words);
    let hide = |programs: &[&str]| -> String {
        let found = programs.iter().filter_map(|program| need::find(program));
        found.map(|file| format!("mount --bind /dev/null {}\n", file.display())).collect()
    };
    let second = on_lan(&hide(&["slirp4netns"]), usual(&["cat", "/proc/net/route"])).ok();
    assert!(second.contains("lan\t00000000"), "{second}");
    let neither = on_lan(&hide(&["slirp4netns", "pasta"]), usual(&["true"])).run();
    let words = ["neither slirp4netns nor pasta", "apt-get install slirp4netns", "--network none"];
    neither.refused(&words);
    for helper in HELPERS {
        let program = Program::run_in(&scratch).args(["--network", helper]).arg(root.path());
        let missing = on_lan(&hide(&[helper]), program.arg("true")).run();
        missing.refused(&[&format!("{helper} is not installed"), "--network none"]);
    }
}

// ---- the helper itself

/// As the kernel calls them: pasta is a name of passt.
const PROGRAMS: [&str; 3] = ["slirp4netns", "pasta", "passt"];

/// The helpers that a launcher runs.
fn helpers(launcher: u32) -> Vec<u32> {
    let is_ours = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let name = status.lines().next().unwrap_or_default();
        status.contains(&format!("\nPPid:\t{launcher}\n"))
            && PROGRAMS.iter().any(|program| name.contains(program))
    };
    let entries = fs::read_dir("/proc").expect("list /proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
}

/// Waits for the one helper of a launcher.
fn helper(launcher: u32, other_than: Option<u32>) -> u32 {
    let found = eventually(10.0, || match helpers(launcher).as_slice() {
        [one] if Some(*one) != other_than => Some(*one),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{launcher} has {:?}", helpers(launcher)))
}

/// Whether a process is there and has not ended.
fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

fn waits_in_vain(scratch: &Scratch, helper: &str) -> (Running, Root) {
    let root = Root::busybox(scratch);
    let words = ["sh", "-c", "echo up; exec sleep 100", scratch.mark()];
    let container = run(scratch, &["--network", helper]).arg(root.path()).args(words);
    let mut running = on_lan("", container).spawn();
    assert_eq!(running.line(), "up");
    (running, root)
}

#[test]
fn a_helper_has_nothing_of_the_callers_and_no_rights() {
    requires!(lan, slirp4netns, pasta);
    for name in HELPERS {
        let scratch = Scratch::new();
        let root = Root::busybox(&scratch);
        let open = fs::File::open("/dev/zero").unwrap();
        let container = run(&scratch, &["--network", name]).inherit(open, 9).env("SECRET", "x");
        let words = ["sh", "-c", "echo up; exec sleep 100"];
        let mut running = on_lan("", container.arg(root.path()).args(words)).spawn();
        assert_eq!(running.line(), "up");
        let pid = helper(running.pid(), None);
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        // One that has just said that it is ready may still be locking itself in.
        let closed = || read("status").contains("Seccomp:\t2").then_some(());
        _ = eventually(10.0, closed);
        let status = read("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().to_owned()
        };
        assert_eq!(field("Seccomp:"), "2", "{name}: {status}");
        assert_eq!(field("NoNewPrivs:"), "1", "{name}: {status}");
        // To bind ports, and for pasta to go into the container's network: in
        // the container's user namespace.
        let kept: u64 = if name == "pasta" { 1 << 21 | 1 << 10 } else { 1 << 10 };
        let rights = u64::from_str_radix(&field("CapEff:"), 16).unwrap();
        assert_eq!(rights & !kept, 0, "{name}: {status}");
        let blocked = u64::from_str_radix(&field("SigBlk:"), 16).unwrap();
        assert_eq!(blocked & 1 << (libc::SIGTERM - 1), 0, "{name}: {status}");
        assert!(!read("environ").contains("SECRET"), "{name}");
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        for fd in fds {
            let target = fs::read_link(fd.path()).unwrap_or_default();
            assert_ne!(target, Path::new("/dev/zero"), "{name} has {fd:?}");
        }
        running.signal(libc::SIGTERM);
        running.wait();
        assert!(!lives(pid), "{name} is left");
    }
}

#[test]
fn a_helper_is_gone_with_whatever_ends_first() {
    requires!(lan, slirp4netns, pasta);
    for name in HELPERS {
        for signal in [libc::SIGKILL, libc::SIGTERM] {
            for _ in 0..races().min(5) {
                let scratch = Scratch::new();
                let (running, _root) = waits_in_vain(&scratch, name);
                let pid = helper(running.pid(), None);
                running.signal(signal);
                let gone = eventually(5.0, || (!lives(pid)).then_some(()));
                assert!(gone.is_some(), "{name} is left after signal {signal}");
                drop(running);
                Leaks::of(&scratch).none();
            }
        }
    }
}

/// Killed at every moment of a start, too.
#[test]
fn a_launcher_killed_while_it_connects_leaves_no_helper() {
    requires!(slirp4netns);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let mut seen = Vec::new();
    for attempt in 0..races().min(60) {
        let words = ["sleep", "100", scratch.mark()];
        let running = run(&scratch, &["--network", "slirp4netns"]).arg(root.path()).args(words);
        let running = running.spawn();
        sleep(patience(0.0005 * attempt as f64));
        seen.extend(helpers(running.pid()));
        running.signal(libc::SIGKILL);
    }
    let gone = eventually(5.0, || seen.iter().all(|pid| !lives(*pid)).then_some(()));
    assert!(gone.is_some(), "of {seen:?} some are left");
    Leaks::of(&scratch).none();
}

#[test]
fn a_helper_that_dies_is_started_again_once() {
    requires!(lan, slirp4netns, pasta);
    for name in HELPERS {
        let scratch = Scratch::new();
        let root = Root::busybox(&scratch);
        let words = ["sh", "-c", "echo up; until test -e /mnt/end; do sleep 0.1; done"];
        let volume = format!("{}:/mnt", scratch.dir("volume"));
        let options = ["--network", name, "-v", &volume, "--name", "web"];
        let container = run(&scratch, &options).arg(root.path()).args(words);
        let mut running = on_lan("", container).spawn();
        assert_eq!(running.line(), "up");
        let state = || {
            let words = ["inspect", "-f", "{{.NetworkSettings.State}}", "web"];
            Program::sublet(&scratch).args(words).ok()
        };
        assert_eq!(state(), "up");
        let first = helper(running.pid(), None);
        kill(first, libc::SIGKILL).unwrap();
        let second = helper(running.pid(), Some(first));
        kill(second, libc::SIGKILL).unwrap();
        let gone = eventually(5.0, || helpers(running.pid()).is_empty().then_some(()));
        assert!(gone.is_some(), "{name} is started a third time");
        let down = eventually(5.0, || (state() == "down").then_some(()));
        assert!(down.is_some(), "{name}: its record says {}", state());
        scratch.file("volume/end", "");
        let done = running.wait();
        done.exits(0);
        for said in ["and is started again", "ended again", "no network any more"] {
            assert!(done.stderr.contains(said), "{name}: {}", done.stderr);
        }
    }
}

// ---- what goes wrong

/// A program in the place of slirp4netns, on a machine of its own.
fn in_its_place(scratch: &Scratch, text: &str) -> Program {
    let file = scratch.join("helper");
    place(|| fs::write(&file, format!("#!/bin/sh\n{text}\n")));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&file, mode).unwrap();
    let root = Root::busybox(scratch);
    let words = ["--network", "slirp4netns", root.text(), "true"];
    let real: PathBuf = need::find("slirp4netns").expect("slirp4netns");
    let script = format!("mount --bind {} {}", file.display(), real.display());
    on_lan(&script, run(scratch, &words))
}

#[test]
fn a_helper_that_fails_says_why() {
    requires!(lan, slirp4netns);
    let scratch = Scratch::new();
    in_its_place(&scratch, "echo 'no \x1b[2Jluck' >&2; exit 3").refused(&[
        "no",
        "luck",
        "status: 3",
    ]);
    let old = Scratch::new();
    let text = "echo \"slirp4netns: unrecognized option '--outbound-addr'\" >&2; exit 1";
    in_its_place(&old, text).refused(&["unrecognized option", "slirp4netns 1.2"]);
    Leaks::of(&scratch).none();
}

/// It says so first, and then at length how it is used.
#[test]
fn an_argument_that_pasta_does_not_know_is_told() {
    requires!(pasta);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let done = run(&scratch, &["--network", "pasta:--nope"]).arg(root.path()).arg("true").run();
    done.refused(&["unrecognized option '--nope'", "what is behind pasta: is passed to it"]);
    assert!(!done.stderr.contains("syslog") && !done.stderr.contains("Usage"), "{}", done.stderr);
}

#[test]
fn a_helper_that_hangs_is_not_waited_for_for_ever() {
    requires!(lan, slirp4netns);
    let scratch = Scratch::new();
    let hangs = in_its_place(&scratch, "echo 'not yet' >&2; exec sleep 100");
    hangs.refused(&["10 seconds", "not yet", "--network none"]);
    Leaks::of(&scratch).none();
}

#[test]
fn without_a_tap_there_is_no_helper() {
    requires!(lan, slirp4netns);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let container = || run(&scratch, &["--network", "slirp4netns"]).arg(root.path()).arg("true");
    let missing = on_lan("mount -t tmpfs none /dev/net", container());
    missing.refused(&["/dev/net/tun is not there", "--network none"]);
    // root's, and closed to others: as the device is without udev.
    let closed = on_lan("mount --bind /etc/shadow /dev/net/tun", container());
    closed.refused(&["may not be opened by you", "chmod 666 /dev/net/tun"]);
}

#[test]
fn networks_that_are_none() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    for (network, said) in [
        ("slirp", "there is no such network"),
        ("slirp4netns:mtu=10", "68 to 65521"),
        ("slirp4netns:mtu", "has no value"),
        ("slirp4netns:cidr=10.0.2.1/24", "the network is 10.0.2.0/24"),
        ("slirp4netns:speed=9", "no such option"),
        ("slirp4netns:allow_host_loopback=true", "stays closed"),
        ("host:mtu=1500", "host takes no options"),
        ("container:x", "there is no container x"),
    ] {
        let refused = run(&scratch, &["--network", network]).arg(root.path()).arg("true");
        refused.refused(&[said]);
    }
    for options in [["--dns", "x"], ["--add-host", "x"], ["--dns-search", "a\nb"]] {
        run(&scratch, &options).arg(root.path()).arg("true").refused(&[options[0]]);
    }
}
