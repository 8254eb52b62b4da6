//! `-t`: a terminal of the container's own, and the caller's as it was.
//!
//! What a terminal shows is compared to the letter where ids can be had as
//! usual: elsewhere the launcher first says that there is only one.

use serde_json::Value;

use crate::common::*;

fn run(scratch: &Scratch, root: &Root, words: &[&str]) -> Program {
    Program::run_in(scratch).args(["-i", "-t"]).arg(root.path()).args(words)
}

#[test]
fn the_payload_has_a_terminal_of_its_own() {
    requires!(subuid);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let mut terminal = run(&scratch, &root, &["/probe", "tty"]).on_terminal();
    terminal.resize(33, 121);
    assert!(terminal.wait().success(), "{}", terminal.shown());
    let seen: Value = serde_json::from_str(terminal.shown().trim()).expect("JSON");
    for fd in ["0", "1", "2"] {
        assert_eq!(seen[fd]["path"], "/dev/pts/0", "{seen}");
        assert_eq!(seen[fd]["terminal"], true, "{seen}");
    }
    assert_eq!((&seen["controlling"], &seen["foreground"]), (&"ok".into(), &true.into()), "{seen}");
}

#[test]
fn without_it_there_is_none() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let seen = Program::run_in(&scratch).arg(root.path()).args(["/probe", "tty"]).json();
    assert_eq!(seen["controlling"], "ENXIO");
    assert_eq!(seen["0"]["terminal"], false);
}

#[test]
fn the_exit_code_comes_through() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let mut terminal = run(&scratch, &root, &["sh", "-c", "exit 42"]).on_terminal();
    assert_eq!(terminal.wait().code(), Some(42));
    let mut terminal = run(&scratch, &root, &["/no/such"]).on_terminal();
    assert_eq!(terminal.wait().code(), Some(127));
    assert!(terminal.shown().contains("/no/such"), "{}", terminal.shown());
}

#[test]
fn what_is_typed_arrives_and_is_echoed_once() {
    requires!(subuid);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let script = "echo ready; read line; echo got $line";
    let mut terminal = run(&scratch, &root, &["sh", "-c", script]).on_terminal();
    terminal.expect("ready\r\n");
    terminal.send("typed\n");
    assert!(terminal.wait().success());
    assert_eq!(terminal.shown(), "ready\r\ntyped\r\ngot typed\r\n");
}

#[test]
fn ctrl_c_and_ctrl_d_are_the_payloads() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let script = "trap 'echo caught; cat; exit 6' INT; echo ready; while :; do sleep 0.1; done";
    let mut terminal = run(&scratch, &root, &["sh", "-c", script]).on_terminal();
    terminal.expect("ready");
    terminal.send("\x03");
    terminal.expect("caught");
    terminal.send("\x04");
    assert_eq!(terminal.wait().code(), Some(6), "{}", terminal.shown());
}

#[test]
fn the_window_size_is_known_and_followed() {
    requires!(subuid);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let script =
        "stty size; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done";
    let mut terminal = run(&scratch, &root, &["sh", "-c", script]).on_terminal();
    assert_eq!(terminal.expect("ready").trim(), "24 80");
    terminal.resize(50, 132);
    terminal.expect("50 132");
    assert!(terminal.wait().success());
}

/// The line discipline's settings, for comparison.
fn settings(terminal: &Terminal) -> String {
    format!("{:?}", terminal.settings())
}

#[test]
fn the_callers_terminal_is_raw_meanwhile_and_put_back() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let ends =
        [("exit 0", 0), ("exit 3", 3), ("stty -echo raw; exit 4", 4), ("kill -9 $$; exit 5", 5)];
    for (end, code) in ends {
        let script = format!("echo ready; read line; {end}");
        let program = run(&scratch, &root, &["sh", "-c", &script]);
        // The wait is for the settings to be read.
        let mut terminal = program.inside(r#"set +e; read go; "$@"; echo code $?"#).on_terminal();
        let before = settings(&terminal);
        terminal.send("\n");
        terminal.expect("ready");
        assert_ne!(settings(&terminal), before, "not raw while it runs");
        terminal.send("\n");
        // A pid 1 cannot kill itself.
        terminal.expect(&format!("code {code}"));
        assert_eq!(settings(&terminal), before, "after {end:?}");
    }
}

#[test]
fn the_callers_terminal_is_put_back_after_a_violent_end() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    // Who gets which signal, and the exit code: the probe does not handle it.
    for (whom, signal, code) in [("payload", libc::SIGKILL, 137), ("launcher", libc::SIGTERM, 143)]
    {
        let mark = format!("{}-{whom}", scratch.mark());
        let program = run(&scratch, &root, &["/probe", "sleep", "100", &mark]);
        let script = r#"set +e; read go; "$@"; echo code $?"#;
        let mut terminal = program.inside(script).on_terminal();
        let before = settings(&terminal);
        terminal.send("\n");
        terminal.expect("ready");
        let first_word = if whom == "payload" { "/probe".into() } else { launcher() };
        let processes = leaks::processes_with(&mark);
        let found =
            processes.iter().filter(|(_, line)| line.starts_with(first_word.to_str().unwrap()));
        // The launcher's helper process came later.
        let pid = found.map(|(pid, _)| *pid).min().expect("a process");
        spawn::kill(pid, signal).expect("kill");
        terminal.expect(&format!("code {code}"));
        assert_eq!(settings(&terminal), before, "after {whom} got {signal}");
    }
}

#[test]
fn output_that_comes_last_is_not_lost() {
    requires!(subuid);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo the end";
    let mut terminal = run(&scratch, &root, &["sh", "-c", script]).on_terminal();
    assert!(terminal.wait().success());
    assert!(terminal.shown().ends_with("line 1999\r\nthe end\r\n"), "{:?}", terminal.shown().len());
    assert_eq!(terminal.shown().lines().count(), 2001);
}

#[test]
fn there_is_no_other_terminal() {
    requires!(subuid);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let mut terminal = run(&scratch, &root, &["ls", "/dev/pts"]).on_terminal();
    assert!(terminal.wait().success());
    let shown = terminal.shown();
    assert_eq!(shown.split_whitespace().collect::<Vec<_>>(), ["0", "ptmx"]);
}

// ---- through a terminal that people use

/// A tmux server of the test's own.
pub struct Tmux<'a> {
    scratch: &'a Scratch,
}

impl<'a> Tmux<'a> {
    pub fn start(scratch: &'a Scratch, program: &str) -> Self {
        let tmux = Self { scratch };
        tmux.command(&["new-session", "-d", "-x", "100", "-y", "30", program]).ok();
        tmux
    }

    pub fn command(&self, words: &[&str]) -> Program {
        // The path of a socket is short, so it is given relative.
        let base = ["-f", "/dev/null", "-S", "tmux"];
        let program = Program::new("tmux").at_home(self.scratch).env("TERM", "screen");
        program.directory(self.scratch.path()).args(base).args(words)
    }

    pub fn keys(&self, keys: &[&str]) {
        self.command(&[&["send-keys"], keys].concat()).ok();
    }

    /// Waits until a line of the screen ends with `text`.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        let mut screen = String::new();
        let found = eventually(10.0, || {
            screen = self.command(&["capture-pane", "-p"]).run().stdout();
            screen.lines().any(|line| line.trim_end().ends_with(text)).then_some(())
        });
        assert!(found.is_some(), "no line {text:?} on the screen:\n{screen}");
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.command(&["kill-server"]).run();
    }
}

#[test]
fn a_shell_with_job_control() {
    requires!(tmux);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let environment: String =
        scratch.environment().iter().map(|(n, path)| format!("{n}={} ", path.display())).collect();
    let line = format!(
        "env -u TMUX {environment} {} run --name web --network none -i -t -e PS1='$ ' {} sh",
        launcher().display(),
        root.text()
    );
    let tmux = Tmux::start(&scratch, &line);
    tmux.keys(&["echo shell is $$", "Enter"]);
    tmux.shows("shell is 1");
    let told = Program::sublet(&scratch).args(["inspect", "web"]).json();
    let shell = told[0]["State"]["Pid"].as_u64().expect("a pid") as u32;
    // Waits until the job, which is no copy of the shell any more, is as it should
    // be by its fields in proc_pid_stat(5) from the state on.
    let becomes = |is: fn(&[&str]) -> bool| {
        let so = |job: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{job}/stat")).unwrap_or_default();
            let (name, fields) = stat.rsplit_once(") ")?;
            let fields: Vec<&str> = fields.split(' ').collect();
            (name.ends_with("(sleep") && is(&fields)).then_some(())
        };
        let job = || processes::children(shell).into_iter().find_map(so);
        eventually(10.0, job).expect("a job in that state");
    };
    // Its group is the terminal's, and what is typed is for it: its line is shown
    // before that.
    let in_front = |fields: &[&str]| fields[2] == fields[5];
    // A foreground job is stopped, goes on in the background, comes back and
    // is ended by the keyboard.
    tmux.keys(&["sleep 100", "Enter"]);
    tmux.shows("$ sleep 100");
    becomes(in_front);
    tmux.keys(&["C-z"]);
    tmux.shows("Stopped                    sleep 100");
    tmux.keys(&["bg", "Enter"]);
    // The shell loses what it writes at the moment at which it hears of that.
    becomes(|fields| fields[0] == "S");
    tmux.keys(&["jobs", "Enter"]);
    tmux.shows("Running                    sleep 100");
    tmux.keys(&["fg", "Enter"]);
    becomes(in_front);
    tmux.keys(&["C-c"]);
    tmux.keys(&["echo code $?", "Enter"]);
    tmux.shows("code 130");
    // The window's size, and another one.
    tmux.keys(&["stty size", "Enter"]);
    tmux.shows("30 100");
    tmux.command(&["resize-window", "-x", "90", "-y", "20"]).ok();
    tmux.keys(&["clear; stty size", "Enter"]);
    tmux.shows("20 90");
    tmux.keys(&["echo > /tmp/done; exit", "Enter"]);
    let done = eventually(5.0, || root.join("tmp/done").exists().then_some(()));
    assert!(done.is_some(), "the shell did not go on");
    drop(tmux);
    Leaks::of(&scratch).none();
}
