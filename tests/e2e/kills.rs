//! SIGKILL at moments that nobody has chosen, two thousand times each: of a
//! command, of a supervisor, of a container's first process. killed.rs goes
//! from system call to system call; here the kernel decides what has happened
//! by then.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use crate::common::processes::{children, end, has_ended, parent};
use crate::common::*;
use crate::killed::{Before, is_whole};

/// Moments of up to a given time, another row of them at each run.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let seed = RandomState::new().hash_one(0) | 1;
        println!("seed {seed}");
        Self(seed)
    }

    /// By xorshift, which is even enough.
    fn within(&mut self, longest: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        longest.mul_f64((self.0 % 1000) as f64 / 1000.0)
    }
}

/// What there is, as soon as there is something: it is looked for all the time.
fn at_once(mut found: impl FnMut() -> Option<u32>) -> u32 {
    let deadline = Instant::now() + patience(30.0);
    loop {
        match found() {
            Some(pid) => return pid,
            None => assert!(Instant::now() < deadline, "no process"),
        }
    }
}

/// How often: as a race where that is said, for an attempt takes a twentieth of
/// a second.
fn attempts() -> usize {
    std::env::var("SUBLET_RACES").map_or(2000, |_| races())
}

/// The script of a container that is found by the test's mark.
fn goes_on(at: &At) -> String {
    format!("exec sleep 600; : {}", at.scratch.mark())
}

fn status(at: &At) -> String {
    let listed = ["ps", "-a", "--format", "{{.State}}", "-f", "name=^web$"];
    at.sublet(&listed).ok()
}

#[test]
fn commands() {
    requires!();
    let at = At::new();
    let root = at.root.path().to_str().expect("a path").to_owned();
    let script = goes_on(&at);
    let options = ["--name", "web", "--userns", "single", "--network", "none", &root];
    let run = |verb: &[&'static str], payload: &[&str]| -> Vec<String> {
        let words = [verb, &options, payload].concat();
        words.into_iter().map(str::to_owned).collect()
    };
    let verb = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let copied = format!("web:/tmp/{}", at.scratch.mark());
    let verbs: [(Before, Vec<String>); 8] = [
        (Before::Nothing, run(&["run"], &["true"])),
        (Before::Nothing, run(&["run", "-d"], &["sh", "-c", &script])),
        (Before::Running, verb(&["exec", "web", "true"])),
        (Before::Running, verb(&["stop", "-t", "0", "web"])),
        (Before::Running, verb(&["restart", "-t", "0", "web"])),
        (Before::Running, verb(&["rm", "-f", "web"])),
        (Before::Running, verb(&["cp", "/etc/passwd", &copied])),
        (Before::Ended, verb(&["start", "web"])),
    ];
    let mut moments = Moments::new();
    // How long each takes that is let be.
    let mut longest = HashMap::<usize, Duration>::new();
    let mut killed = 0;
    for attempt in 0..attempts() {
        let which = attempt % verbs.len();
        let (before, words) = &verbs[which];
        match before {
            Before::Running => _ = at.sublet(&texts(&verbs[1].1)).ok(),
            Before::Ended => _ = at.sublet(&texts(&verbs[0].1)).ok(),
            _ => {}
        }
        let began = Instant::now();
        let running = at.sublet(&texts(words)).spawn();
        let Some(longest) = longest.get_mut(&which) else {
            running.wait().ok();
            longest.insert(which, began.elapsed());
            is_whole(&at, &format!("{words:?}"));
            continue;
        };
        let moment = moments.within(*longest);
        std::thread::sleep(moment);
        running.signal(libc::SIGKILL);
        let done = running.wait();
        let is_killed = done.status.signal() == Some(libc::SIGKILL);
        assert!(is_killed || done.code() == 0, "{words:?}: {}", done.stderr);
        killed += usize::from(is_killed);
        // The first took longer than others do, or not as long: nobody is killed
        // after his end, and the last moments before it are tried too.
        *longest = match is_killed {
            true => longest.mul_f64(1.02),
            false => began.elapsed().min(*longest),
        };
        is_whole(&at, &format!("{words:?} after {moment:?}"));
    }
    let tries = attempts() - verbs.len();
    assert!(killed * 4 >= tries, "only {killed} of {tries} were killed");
}

fn texts(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Whenever it is killed there is a container that is lost, or there was none;
/// and nothing of it goes on.
#[test]
fn supervisors() {
    requires!();
    let at = At::new();
    let script = goes_on(&at);
    let mut moments = Moments::new();
    let (mut early, mut late) = (0, 0);
    for _ in 0..attempts() {
        let running = at.run(&["-d", "--name", "web"]).args(["sh", "-c", &script]).spawn();
        let command = running.pid();
        // It is the command's only child.
        let made = || children(command).first().copied().or(has_ended(command).then_some(0));
        let supervisor = at_once(made);
        let moment = moments.within(Duration::from_millis(20));
        std::thread::sleep(moment);
        end(match supervisor {
            0 => parent(at.payload("web")),
            pid => pid,
        });
        let done = running.wait();
        match done.code() {
            0 => late += 1,
            _ => {
                early += 1;
                done.explained(&["the supervisor has ended before the container ran"]);
            }
        }
        let settled = || ["", "supervisor-lost"].contains(&status(&at).as_str()).then_some(());
        eventually(30.0, settled).unwrap_or_else(|| panic!("{}", status(&at)));
        is_whole(&at, &format!("a supervisor after {moment:?}"));
    }
    println!("{early} before it ran, {late} while it did");
}

/// The command hears that it ended so, or that it was killed as it began.
#[test]
fn first_processes() {
    requires!();
    let at = At::new();
    let script = goes_on(&at);
    let mut moments = Moments::new();
    let (mut early, mut late) = (0, 0);
    for attempt in 0..attempts() {
        let init: &[&str] = if attempt % 2 == 0 { &["--init"] } else { &[] };
        let options = [&["-d", "--name", "web", "--userns", "single"], init].concat();
        let running = at.run(&options).args(["sh", "-c", &script]).spawn();
        let command = running.pid();
        let made = || {
            let supervisor = children(command).first().copied();
            let first = supervisor.and_then(|pid| children(pid).first().copied());
            first.or(has_ended(command).then_some(0))
        };
        let first = at_once(made);
        let moment = moments.within(Duration::from_millis(3));
        std::thread::sleep(moment);
        end(match first {
            0 => at.payload("web"),
            pid => pid,
        });
        let done = running.wait();
        match done.code() {
            0 => {
                late += 1;
                let ended = || (status(&at) == "exited").then_some(());
                eventually(30.0, ended).unwrap_or_else(|| panic!("{}", status(&at)));
                assert_eq!(at.inspect("web")["State"]["ExitCode"], 137);
            }
            code => {
                early += 1;
                assert_eq!(code, 137, "{}", done.stderr);
                done.explained(&["its first process was killed while it was started"]);
            }
        }
        is_whole(&at, &format!("a first process after {moment:?}"));
    }
    println!("{early} before it ran, {late} while it did");
}
