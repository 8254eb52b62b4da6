//! Every verb, killed at each system call that changes something.
//!
//! strace does the killing, in the command and in all that it has started: each
//! process is killed at its own nth of those calls. Whatever is left then has to
//! be whole, told truly, and gone by `rm -f`.

use std::collections::BTreeMap;
use std::fs;

use crate::common::leaks::processes_with;
use crate::common::program::Done;
use crate::common::*;

/// What changes records, processes or namespaces.
const CALLS: &str = "mkdirat,openat,fcntl,symlinkat,renameat,renameat2,unlinkat,flock,ftruncate,\
                     write,clone,clone3,sendmsg,sendto,connect,setns,unshare,pivot_root,execve,\
                     execveat,pidfd_send_signal,kill";

/// One id: the helpers that map more gain no privilege where they are traced.
const ONE: [&str; 3] = ["--userns", "single", "--name"];

/// What is there when a verb is called.
#[derive(Clone, Copy, PartialEq)]
pub enum Before {
    Nothing,
    Prepared,
    Running,
    Ended,
}

/// Kills the verb at every step, or in a slow machine at some of them.
#[track_caller]
fn is_killed(before: Before, words: &[&str]) {
    requires!(strace);
    let first = traced(before, words, None);
    assert!(first.told.code() == 0, "{words:?}: {}", first.told.stderr);
    is_whole(&first.at, &format!("{words:?}"));
    let steps = first.steps();
    let some = if is_slow() { 2 } else { races().div_ceil(3) };
    let every = steps.len().div_ceil(some);
    let mut killed = 0;
    let mut tried = 0;
    for step in steps.iter().step_by(every) {
        let traced = traced(before, words, Some(step));
        killed += usize::from(traced.log.contains("killed by SIGKILL"));
        tried += 1;
        is_whole(&traced.at, &format!("{words:?}, {} no. {}", step.0, step.1));
    }
    // Not all takes the same way each time.
    assert!(killed * 2 >= tried, "{words:?}: killed at {killed} of {tried} steps");
}

/// A verb that strace has looked on.
struct Traced {
    at: At,
    told: Done,
    log: String,
}

impl Traced {
    /// Each call, as often as the process that makes most of them makes it.
    fn steps(&self) -> Vec<(String, usize)> {
        let mut counts = BTreeMap::<(&str, &str), usize>::new();
        for line in self.log.lines() {
            let Some((pid, rest)) = line.split_once(' ') else { continue };
            let call = rest.trim_start().split('(').next().unwrap_or_default();
            if CALLS.split(',').any(|known| known == call) {
                *counts.entry((call, pid)).or_default() += 1;
            }
        }
        let mut most = BTreeMap::<&str, usize>::new();
        for ((call, _), count) in counts {
            let most = most.entry(call).or_default();
            *most = count.max(*most);
        }
        let each =
            most.into_iter().flat_map(|(call, most)| (1..=most).map(move |when| (call, when)));
        each.map(|(call, when)| (call.to_owned(), when)).collect()
    }
}

/// Calls the verb; in `words` are ROOT and MARK for the root and for a script
/// that goes on.
fn traced(before: Before, words: &[&str], step: Option<&(String, usize)>) -> Traced {
    let at = At::new();
    let mark = format!("exec sleep 600; : {}", at.scratch.mark());
    let root = at.root.path().to_str().expect("a path").to_owned();
    let prepared = |verb: &[&str], payload: &[&str]| {
        let words = [verb, &ONE, &["web", "--network", "none", &root], payload].concat();
        at.sublet(&words).ok()
    };
    match before {
        Before::Nothing => {}
        Before::Prepared => _ = prepared(&["create"], &["sh", "-c", &mark]),
        Before::Running => _ = prepared(&["run", "-d"], &["sh", "-c", &mark]),
        Before::Ended => _ = prepared(&["run"], &["true"]),
    }
    let words = words.iter().map(|word| match *word {
        "ROOT" => &*root,
        "MARK" => &*mark,
        word => word,
    });
    let words: Vec<&str> = words.collect();
    let log = at.scratch.join("strace").display().to_string();
    let inject = step.map_or_else(String::new, |(call, when)| {
        format!("-e inject={call}:signal=KILL:when={when}")
    });
    // As a child of what it traces (-D), so that the verb's own end is seen; away
    // from its output, which it would keep open.
    let script = format!(
        "exec strace -D -f -q -o {log} -e trace={CALLS} {inject} \"$@\" >{log}.out 2>{log}.err"
    );
    let told = at.sublet(&words).inside(&script).within(60.0).run();
    let read = |path: String| fs::read_to_string(path).unwrap_or_default();
    let told = Done { stderr: read(format!("{log}.err")), ..told };
    // strace is another process, which may not have written it all by now.
    let whole = || {
        let text = read(log.clone());
        let verb = text.split_whitespace().next()?.to_owned();
        let ended = |line: &str| line.starts_with(&verb) && line.contains(" +++ ");
        text.lines().any(ended).then_some(text)
    };
    let log = eventually(10.0, whole).expect("strace has seen the end of the verb");
    Traced { at, told, log }
}

/// What is left is told truly, and can be removed.
#[track_caller]
pub fn is_whole(at: &At, step: &str) {
    let running =
        || processes_with(at.scratch.mark()).iter().any(|(_, line)| line.contains("sleep 600"));
    // What a command had begun may only be recorded by now.
    let over = eventually(10.0, || {
        let list = at.sublet(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]).run();
        assert!(list.code() == 0 && list.stderr.is_empty(), "{step}: {}", list.stderr);
        for line in list.stdout().lines() {
            let (name, state) = line.split_once(' ').expect("a name and a state");
            assert!(["web", "www"].contains(&name), "{step}: {line}");
            match state {
                "running" | "created" | "exited" | "supervisor-lost" | "starting"
                | "restarting" => {}
                other => panic!("{step}: it is said to be {other}"),
            }
            let removed = at.sublet(&["rm", "-f", name]).run();
            assert!(removed.code() == 0, "{step}: {line}: {}", removed.stderr);
        }
        (!running() && at.left().is_empty()).then_some(())
    });
    assert!(over.is_some(), "{step}: {:?}, {:?}", at.left(), processes_with(at.scratch.mark()));
    let again =
        at.sublet(&["run", "--rm", "--userns", "single", "--name", "web", "--network", "none"]);
    let again = again.arg(at.root.path()).arg("true").run();
    assert!(again.code() == 0, "{step}: {}", again.stderr);
    Leaks::of(&at.scratch).none();
}

#[test]
fn run() {
    let words = ["run", "--userns", "single", "--network", "none", "--name", "web", "ROOT", "true"];
    is_killed(Before::Nothing, &words);
}

#[test]
fn run_in_the_background() {
    let options = ["run", "-d", "--userns", "single", "--network", "none", "--name", "web"];
    let words = [&options[..], &["ROOT", "sh", "-c", "MARK"]].concat();
    is_killed(Before::Nothing, &words);
}

#[test]
fn create() {
    let options = ["create", "--userns", "single", "--network", "none", "--name", "web"];
    is_killed(Before::Nothing, &[&options[..], &["ROOT", "sh", "-c", "MARK"]].concat());
}

#[test]
fn start() {
    is_killed(Before::Prepared, &["start", "web"]);
}

#[test]
fn exec() {
    is_killed(Before::Running, &["exec", "web", "true"]);
}

#[test]
fn stop() {
    is_killed(Before::Running, &["stop", "-t", "0", "web"]);
}

#[test]
fn restart() {
    is_killed(Before::Running, &["restart", "-t", "0", "web"]);
}

#[test]
fn rm() {
    is_killed(Before::Ended, &["rm", "web"]);
    is_killed(Before::Running, &["rm", "-f", "web"]);
}

#[test]
fn rename() {
    is_killed(Before::Ended, &["rename", "web", "www"]);
}

#[test]
fn cp() {
    is_killed(Before::Running, &["cp", "/etc/passwd", "web:/tmp/copied"]);
    is_killed(Before::Running, &["cp", "web:/etc/passwd", "-"]);
}
