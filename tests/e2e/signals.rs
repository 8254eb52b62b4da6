//! Signals on their way in, and what is left when somebody dies.

use std::time::{Duration, Instant};

use crate::common::leaks::processes_with;
use crate::common::*;

fn run(scratch: &Scratch, root: &Root, options: &[&str]) -> Program {
    Program::run_in(scratch).args(options).arg(root.path())
}

/// Signals that can be caught and that mean something to whoever sends them.
/// Left out: SIGCHLD, which every launcher gets for itself, and those that a
/// faulty instruction sends.
fn signals() -> impl Iterator<Item = i32> {
    let plain = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGCONT,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGURG,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGWINCH,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGPIPE,
        libc::SIGXCPU,
        libc::SIGXFSZ,
    ];
    plain.into_iter().chain([libc::SIGRTMIN(), libc::SIGRTMIN() + 3, libc::SIGRTMAX()])
}

/// As fork(3) and posix_spawn(3) do, over and over.
#[test]
fn who_blocks_signals_for_moments_ends_as_well() {
    requires!(python3);
    let scratch = Scratch::new();
    let script = "import signal, time\nprint('ready', flush=True)\n\
                  while True:\n for how in signal.SIG_BLOCK, signal.SIG_UNBLOCK:\n  \
                  signal.pthread_sigmask(how, [signal.SIGTERM])\n  time.sleep(0.004)";
    for _ in 0..10 {
        let program = Program::run_in(&scratch).args(["host", "python3", "-c", script]);
        let mut running = program.spawn();
        assert_eq!(running.line(), "ready");
        // Who wakes of himself in the moment of the signal seems to wait for it.
        std::thread::sleep(patience(0.3));
        running.signal(libc::SIGTERM);
        running.wait().exits(143);
    }
}

fn are_forwarded(options: &[&str], way: &str) {
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let last = libc::SIGTERM.to_string();
    let mut running = run(&scratch, &root, options).args(["/probe", "signals", way, &last]).spawn();
    assert_eq!(running.line(), "ready");
    for signal in signals() {
        running.signal(signal);
        assert_eq!(running.line(), signal.to_string());
    }
    running.signal(libc::SIGTERM);
    assert_eq!(running.line(), last);
    running.wait().exits(0);
}

/// As nohup(1) has it: the launcher neither dies of it nor passes it on.
#[test]
fn what_the_caller_ignores_is_left_alone() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let ignoring = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"];
    let payload = "echo ready; sleep 0.3; echo done";
    let mut running =
        run(&scratch, &root, &[]).args(["sh", "-c", payload]).under(&ignoring).spawn();
    assert_eq!(running.line(), "ready");
    running.signal(libc::SIGHUP);
    assert_eq!(running.line(), "done");
    running.wait().exits(0);
}

#[test]
fn all_that_can_be_caught_are_forwarded() {
    requires!();
    are_forwarded(&[], "handle");
}

#[test]
fn init_forwards_them_too() {
    requires!();
    are_forwarded(&["--init"], "handle");
}

/// While a process waits for signals it does not look as if it blocked them
/// (rt_sigtimedwait(2)), but it gets them.
#[test]
fn a_payload_that_waits_for_signals_gets_them() {
    requires!();
    are_forwarded(&[], "wait");
    are_forwarded(&["--init"], "wait");
}

/// Who is none of the container's ids may not look what its threads wait for.
#[test]
fn a_payload_of_other_ids_gets_them_and_is_ended_all_the_same() {
    requires!(subuid);
    are_forwarded(&["--userns", "nomap"], "wait");
    let scratch = Scratch::new();
    for script in ["echo ready; sleep 100; true", "echo ready; while :; do :; done"] {
        let options = ["--userns", "nomap", "host", "sh", "-c", script];
        let mut running = Program::run_in(&scratch).args(options).within(60.0).spawn();
        assert_eq!(running.line(), "ready");
        running.signal(libc::SIGTERM);
        running.wait().exits(143);
    }
}

/// The kernel keeps pid 1 from signals that it does not handle; people do not
/// expect that of what they have started.
#[test]
fn a_payload_that_does_not_handle_it_is_ended() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1] {
        let program = run(&scratch, &root, &[]).args(["sh", "-c", "echo ready; exec sleep 100"]);
        let mut running = program.spawn();
        assert_eq!(running.line(), "ready");
        // What arrives during the exec, when handlers go, is lost to any
        // pid 1: one second is a long time for it.
        std::thread::sleep(Duration::from_secs(1));
        running.signal(signal);
        running.wait().exits(128 + signal);
    }
}

#[test]
fn a_signal_that_kills_shows_in_the_exit_code() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let program = run(&scratch, &root, &["--init"]).args(["/probe", "sleep", "100"]);
        let mut running = program.spawn();
        assert_eq!(running.line(), "ready");
        running.signal(signal);
        running.wait().exits(128 + signal);
    }
}

#[test]
fn ctrl_c_reaches_a_payload_without_a_terminal() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let last = libc::SIGINT.to_string();
    let mut terminal =
        run(&scratch, &root, &[]).args(["/probe", "signals", "handle", &last]).on_terminal();
    terminal.expect("ready");
    terminal.send("\x03");
    assert_eq!(terminal.wait().code(), Some(0), "{}", terminal.shown());
    assert!(terminal.shown().ends_with("2\r\n"), "{}", terminal.shown());
}

#[test]
fn ctrl_c_kills_under_init() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let mut terminal =
        run(&scratch, &root, &["--init"]).args(["/probe", "sleep", "100"]).on_terminal();
    terminal.expect("ready");
    terminal.send("\x03");
    assert_eq!(terminal.wait().code(), Some(130), "{}", terminal.shown());
}

/// The launcher is killed while the payload does as told.
fn takes_the_payload_along(options: &[&str], words: &[&str]) {
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let program = run(&scratch, &root, options).args(["/probe", "sleep", "100", scratch.mark()]);
    let mut running = program.args(words).spawn();
    assert_eq!(running.line(), "ready");
    let payload = || {
        let all = processes_with(scratch.mark());
        all.into_iter().filter(|(_, line)| line.starts_with("/probe")).count()
    };
    assert_eq!(payload(), 1, "the payload cannot be seen");
    running.signal(libc::SIGKILL);
    let killed = Instant::now();
    let gone = eventually(1.0, || (payload() == 0).then_some(()));
    assert!(gone.is_some(), "it lives on after {:?}", killed.elapsed());
    Leaks::of(&scratch).none();
}

#[test]
fn killed_it_takes_the_payload_along() {
    requires!();
    takes_the_payload_along(&[], &[]);
    takes_the_payload_along(&["--init"], &[]);
    takes_the_payload_along(&["--read-only", "--tmpfs", "/x"], &[]);
}

/// The signal for a parent's death can be dropped by whoever is to get it.
#[test]
fn also_one_that_has_forgotten_its_parent() {
    requires!();
    takes_the_payload_along(&[], &["forget"]);
    takes_the_payload_along(&["--init"], &["forget"]);
}

/// And the kernel drops it when the ids change.
#[test]
fn also_one_that_has_changed_its_uid() {
    requires!(subuid);
    takes_the_payload_along(&[], &["uid=1000"]);
    takes_the_payload_along(&["-u", "1000:1000"], &[]);
}

#[test]
fn also_in_the_hosts_pid_namespace() {
    requires!();
    takes_the_payload_along(&["--pid", "host"], &[]);
}

#[test]
fn killed_with_a_terminal_it_takes_the_payload_along() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let program = run(&scratch, &root, &["-i", "-t"]);
    let mut terminal = program.args(["/probe", "sleep", "100", scratch.mark()]).on_terminal();
    terminal.expect("ready");
    spawn::kill(terminal.pid(), libc::SIGKILL).expect("kill the launcher");
    terminal.wait();
    Leaks::of(&scratch).none();
}

/// Who has called the launcher is killed; the launcher ends with it, if asked.
#[test]
fn it_ends_with_its_caller_where_that_is_asked_for() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let started = |options: &[&str]| {
        let program = run(&scratch, &root, options);
        let program = program.args(["/probe", "sleep", "100", scratch.mark()]);
        let mut running = program.inside("\"$@\"; true").spawn();
        assert_eq!(running.line(), "ready");
        running
    };
    let payloads = || {
        let all = processes_with(scratch.mark());
        all.into_iter().filter(|(_, line)| line.starts_with("/probe")).collect::<Vec<_>>()
    };
    let bound = started(&["--die-with-parent"]);
    bound.signal(libc::SIGKILL);
    assert!(eventually(1.0, || payloads().is_empty().then_some(())).is_some());
    Leaks::of(&scratch).none();

    let free = started(&[]);
    free.signal(libc::SIGKILL);
    std::thread::sleep(Duration::from_millis(300));
    let left = payloads();
    assert_eq!(left.len(), 1);
    spawn::kill(left[0].0, libc::SIGKILL).expect("kill the payload");

    let program = run(&scratch, &root, &["-it", "--die-with-parent"]);
    let program = program.args(["/probe", "sleep", "100", scratch.mark()]);
    let mut terminal = program.inside("\"$@\"; true").on_terminal();
    terminal.expect("ready");
    spawn::kill(terminal.pid(), libc::SIGKILL).expect("kill the shell");
    terminal.wait();
    Leaks::of(&scratch).none();

    let done = run(&scratch, &root, &["-d", "--die-with-parent"]).arg("true").run();
    done.exits(125).explained(&["--detach", "--die-with-parent"]);
}

/// At any moment: what has been started is gone, whatever it was doing.
#[test]
fn killed_at_any_moment_it_leaves_nothing() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    for step in 0..60 {
        let program = run(&scratch, &root, &["--tmpfs", "/x"]);
        let running = program.args(["sleep", "100", scratch.mark()]).spawn();
        std::thread::sleep(Duration::from_micros(step * 250));
        running.signal(libc::SIGKILL);
        drop(running);
    }
    Leaks::of(&scratch).none();
}
