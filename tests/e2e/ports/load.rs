//! Many connections, connections that stand still, and processes that are
//! killed.

use std::collections::HashSet;
use std::net::{Shutdown, TcpListener};
use std::thread::sleep;
use std::time::Duration;

use super::*;

/// Waits until a process has no more to do.
#[track_caller]
fn rests(pid: u32) {
    let quiet = eventually(60.0, || {
        let before = ticks(pid);
        sleep(Duration::from_secs(1));
        (ticks(pid) == before).then_some(())
    });
    assert!(quiet.is_some(), "the forwarder does not rest");
}

/// As many as there can be, all at once, and again: nothing is left of the first.
#[test]
fn thousands_of_connections_at_once() {
    requires!(python3);
    let scratch = Scratch::new();
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    // A forwarder lets a quarter in, of what is left beside its own.
    let count = usize::try_from(most / 5).unwrap().min(races() * 10).min(3000);
    let container = Published::start(&scratch, ECHO, &[]);
    let pid = forwarder(container.running.pid()).expect("no forwarder");
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let mut streams: Vec<_> = (0..count).map(|_| container.connect()).collect();
        for (at, stream) in streams.iter_mut().enumerate() {
            echoes(stream, format!("this is {at}").as_bytes());
        }
        drop(streams);
        rests(pid);
        sizes.push(memory(pid));
    }
    assert!(sizes[2] <= sizes[0] + 512, "it grows: {sizes:?} kB");
}

/// Sides that have ended, sides that do not listen and sides that are gone.
#[test]
fn connections_that_stand_still_cost_no_time() {
    requires!(python3);
    let scratch = Scratch::new();
    let mut container = Published::start(&scratch, ECHO, &["-p", "7003", "-p", "7005"]);
    let flood = container.address;
    let tell = published(&container.running.note());
    let echo = published(&container.running.note());
    let pid = forwarder(container.running.pid()).expect("no forwarder");
    // Half closed, with a service that goes on talking to one who does not listen.
    let half: Vec<_> = (0..30).map(|_| connect(flood)).collect();
    for stream in &half {
        stream.peek(&mut [0]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    }
    // One that reads a byte now and then.
    let mut slow = connect(flood);
    for _ in 0..20 {
        slow.read_exact(&mut [0]).unwrap();
    }
    // One that has said all and waits.
    let idle = connect(tell);
    assert_eq!(container.running.line(), "begun");
    rests(pid);
    for (at, stream) in half.into_iter().enumerate() {
        if at % 2 == 0 {
            let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            setsockopt(&stream, sockopt::Linger, &at_once).unwrap();
        }
    }
    rests(pid);
    drop(idle);
    assert_eq!(container.running.line(), "end of file");
    echoes(&mut connect(echo), &vec![b'x'; 1 << 20]);
    assert!(memory(pid) < 4 << 10, "{} kB", memory(pid));
}

/// All processes, each with its parent.
fn processes() -> Vec<(u32, u32)> {
    let processes = fs::read_dir("/proc").expect("list /proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid, 1)?.parse().ok()?))).collect()
}

/// All of them below one, and their start times: a pid is used again.
fn descendants(root: u32, parents: &[(u32, u32)]) -> HashSet<(u32, String)> {
    let mut found = HashSet::from([root]);
    let mut before = 0;
    while found.len() > before {
        before = found.len();
        let below = parents.iter().filter(|(_, parent)| found.contains(parent));
        let below: Vec<u32> = below.map(|(pid, _)| *pid).collect();
        found.extend(below);
    }
    found.into_iter().filter_map(|pid| Some((pid, start(pid)?))).collect()
}

/// What the kernel tells of a process behind its name: proc(5), whose third
/// field is 0 here.
fn stat(pid: u32, field: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(field).map(str::to_owned)
}

/// When a process was started.
fn start(pid: u32) -> Option<String> {
    stat(pid, 19)
}

fn is_named(pid: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
}

/// A container that is about to lose processes.
struct Doomed {
    running: Running,
    address: SocketAddr,
    /// Everything that was ever seen of it.
    seen: HashSet<(u32, String)>,
}

impl Doomed {
    fn look(&mut self, processes: &[(u32, u32)]) {
        self.seen.extend(descendants(self.running.pid(), processes));
    }

    /// Who is killed in the turn `at`: of helper, forwarder and the eldest of
    /// the others, who may be the watcher, none to all.
    fn victims(&self, at: usize) -> Vec<u32> {
        let launcher = self.running.pid();
        let lives = |(pid, since): &&(u32, String)| {
            start(*pid).as_ref() == Some(since) && stat(*pid, 0).is_some_and(|state| state != "Z")
        };
        let pids: Vec<u32> = self.seen.iter().filter(lives).map(|(pid, _)| *pid).collect();
        let pids = || pids.iter().copied().filter(|pid| *pid != launcher);
        let helper = pids().find(|pid| is_named(*pid, "slirp4netns"));
        let candidates = [helper, forwarder(launcher), pids().min()];
        let chosen = candidates.into_iter().enumerate().filter(|(bit, _)| at >> bit & 1 == 1);
        chosen.filter_map(|(_, pid)| pid).collect()
    }

    /// Insists that nothing of it is there any more.
    #[track_caller]
    fn leaves_nothing(self) {
        drop(self.running);
        let mut left = Vec::new();
        let gone = eventually(10.0, || {
            let lives = |(pid, since): &&(u32, String)| start(*pid).as_ref() == Some(since);
            left = self.seen.iter().filter(lives).map(|(pid, _)| status(*pid, "Name")).collect();
            left.is_empty().then_some(())
        });
        assert!(gone.is_some(), "there is still {left:?}");
        let free = eventually(1.0, || TcpListener::bind(self.address).ok());
        assert!(free.is_some(), "{} is still taken", self.address);
    }
}

/// A thousand kills: of the helper, which is started again once, of the
/// forwarder, of the watcher and of the launcher, at different moments; eight
/// containers at once.
#[test]
fn a_thousand_kills_leave_nothing() {
    requires!(slirp4netns);
    let scratch = Scratch::new();
    let interfaces = || {
        let found = fs::read_dir("/sys/class/net").expect("list interfaces").flatten();
        found.map(|entry| entry.file_name()).collect::<HashSet<_>>()
    };
    let before = interfaces();
    let (mut kills, mut round) = (0, 0);
    while kills < races() * 10 / 3 {
        round += 1;
        let words = ["--network", "slirp4netns", "-p", "80", "host", "sh", "-c"];
        let start = || {
            let program = Program::run_in(&scratch).args(words).within(120.0);
            program.args(["echo ready; sleep 600", scratch.mark()]).spawn()
        };
        let started: Vec<_> = (0..8).map(|_| start()).collect();
        let mut containers: Vec<_> = started
            .into_iter()
            .map(|mut running| {
                let address = published(&running.note());
                Doomed { running, address, seen: HashSet::new() }
            })
            .collect();
        for (at, container) in containers.iter_mut().enumerate() {
            // Each fourth is killed before it runs.
            if (at + round) % 4 > 0 {
                assert_eq!(container.running.line(), "ready");
            }
        }
        // Those that follow the first ones are killed too.
        for turn in 0..4 {
            let processes = processes();
            for (at, container) in containers.iter_mut().enumerate() {
                container.look(&processes);
                for victim in container.victims(at + turn) {
                    // It may have ended by itself.
                    kills += usize::from(spawn::kill(victim, nix::libc::SIGKILL).is_ok());
                }
            }
        }
        if round % 2 == 0 {
            // The next helper and forwarder are there, or about to be.
            sleep(Duration::from_millis(20));
        }
        for container in &mut containers {
            // Stopped, it starts no other that we would not see.
            container.running.signal(nix::libc::SIGSTOP);
            let state = || status(container.running.pid(), "State").chars().next();
            let state = || state().filter(|state| ['T', 'Z'].contains(state));
            let state = eventually(10.0, state).expect("it is neither stopped nor over");
            container.look(&processes());
            container.running.signal(nix::libc::SIGKILL);
            // Without its helper it may not have come to run.
            kills += usize::from(state == 'T');
        }
        containers.into_iter().for_each(Doomed::leaves_nothing);
    }
    assert_eq!(interfaces(), before);
    Leaks::of(&scratch).none();
}
