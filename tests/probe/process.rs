//! Being a process: arguments, limits, signals, children.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use serde_json::{Map, Value, json};

use crate::{Report, raw};

/// `args [ARG]...`: the words as they arrived.
pub fn args(args: &[String]) -> Report {
    json!(args).into()
}

/// `env`: the whole environment.
pub fn env(_: &[String]) -> Report {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let all: BTreeMap<String, String> =
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    json!(all).into()
}

/// `exit CODE`
pub fn exit(args: &[String]) -> Report {
    Report::Code(args[0].parse().expect("a code"))
}

/// `crash`: ends by SIGSEGV, which kills pid 1 of a namespace too.
pub fn crash(_: &[String]) -> Report {
    raw::fault()
}

/// `limits`: soft and hard value of each limit, `null` for none; the umask,
/// the OOM score and the nice value beside.
pub fn limits(_: &[String]) -> Report {
    let limits = [
        ("core", Resource::RLIMIT_CORE),
        ("cpu", Resource::RLIMIT_CPU),
        ("data", Resource::RLIMIT_DATA),
        ("fsize", Resource::RLIMIT_FSIZE),
        ("memlock", Resource::RLIMIT_MEMLOCK),
        ("nofile", Resource::RLIMIT_NOFILE),
        ("nproc", Resource::RLIMIT_NPROC),
        ("stack", Resource::RLIMIT_STACK),
    ];
    let finite = |value: u64| (value != libc::RLIM_INFINITY).then_some(value);
    let mut facts: Map<String, Value> = limits
        .iter()
        .map(|(name, resource)| {
            let (soft, hard) = getrlimit(*resource).expect("getrlimit");
            ((*name).to_owned(), json!([finite(soft), finite(hard)]))
        })
        .collect();
    let umask = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    facts.insert("umask".to_owned(), json!(format!("{:04o}", umask.bits())));
    let score = fs::read_to_string("/proc/self/oom_score_adj").expect("oom_score_adj");
    facts.insert("oom_score_adj".to_owned(), json!(score.trim()));
    Value::from(facts).into()
}

/// `signals handle|wait LAST`: prints `ready`, then the number of every signal
/// that arrives, until LAST has. They arrive in a handler, or are blocked and
/// waited for, as a program with a thread for signals does.
pub fn signals(args: &[String]) -> Report {
    let last: i32 = args[1].parse().expect("a signal number");
    let mut next: Box<dyn FnMut() -> i32> = match args[0].as_str() {
        "handle" => {
            let mut arriving = raw::handle_signals();
            Box::new(move || {
                let mut number = [0];
                while arriving.read_exact(&mut number).is_err() {}
                i32::from(number[0])
            })
        }
        _ => {
            raw::block_signals();
            Box::new(raw::next_signal)
        }
    };
    say("ready");
    loop {
        let signal = next();
        say(&signal.to_string());
        if signal == last {
            return Report::Code(0);
        }
    }
}

/// `sleep SECONDS [WORD]...`: prints `ready` and sleeps. The word
/// `uid=NUMBER` changes its uid first and `forget` drops the signal that the
/// parent's death would send; other words mark it in a process list.
pub fn sleep(args: &[String]) -> Report {
    let seconds = args[0].parse().expect("seconds");
    for word in &args[1..] {
        if let Some(uid) = word.strip_prefix("uid=") {
            raw::set_uid(uid.parse().expect("a uid")).expect("change the uid");
        } else if word == "forget" {
            raw::clear_parent_death_signal();
        }
    }
    say("ready");
    std::thread::sleep(Duration::from_secs(seconds));
    Report::Code(0)
}

/// `orphans COUNT`: leaves COUNT grandchildren behind that exit at once, and
/// says how many of them are zombies when no other process is left or, where it
/// is pid 1 itself and reaps nobody, when all of them are; or after a minute.
pub fn orphans(args: &[String]) -> Report {
    let count: u32 = args[0].parse().expect("a count");
    if raw::fork() {
        for _ in 0..count {
            if raw::fork() {
                std::process::exit(0);
            }
        }
        std::process::exit(0);
    }
    // Its own child it waits for; the grandchildren are for pid 1.
    nix::sys::wait::wait().expect("wait for the child");
    let start = Instant::now();
    let is_first = std::process::id() == 1;
    loop {
        let (others, zombies) = others();
        let is_over = others == 0 || is_first && zombies == count as usize;
        if is_over || start.elapsed() > Duration::from_secs(60) {
            return json!({ "zombies": zombies, "pid": std::process::id() }).into();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How many processes there are beside pid 1 and this one, and how many of
/// them are in state Z (proc_pid_stat(5): the field after the last bracket).
fn others() -> (usize, usize) {
    let own = std::process::id().to_string();
    let stats: Vec<String> = fs::read_dir("/proc")
        .expect("list /proc")
        .flatten()
        .filter(|entry| entry.file_name() != *"1" && entry.file_name() != *own)
        .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .collect();
    let zombie =
        |stat: &&String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
    (stats.len(), stats.iter().filter(zombie).count())
}

fn say(word: &str) {
    println!("{word}");
    std::io::stdout().flush().expect("write to the standard output");
}
