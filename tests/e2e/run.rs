//! `sublet run`: the command, its words, its surroundings, its end.

use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use crate::common::leaks::processes_with;
use crate::common::spawn::{self, Before};
use crate::common::*;

/// `sublet run OPTIONS... ROOT`, ready for the command's words.
fn run(scratch: &Scratch, root: &Root, options: &[&str]) -> Program {
    Program::run_in(scratch).args(options).arg(root.path())
}

#[test]
fn ends_with_the_payloads_code() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    for code in [0, 1, 2, 42, 125, 126, 127, 255] {
        run(&scratch, &root, &[]).args(["/probe", "exit", &code.to_string()]).run().exits(code);
    }
}

#[test]
fn a_command_that_is_not_there_is_127() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    for command in ["/not/there", "not-there", "./not-there"] {
        run(&scratch, &root, &[]).arg(command).run().exits(127).explained(&[command]);
    }
}

#[test]
fn a_script_without_its_interpreter_is_127() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch).write("script", "#!/no/interpreter\n").mode("script", 0o755);
    run(&scratch, &root, &[]).arg("/script").run().exits(127).explained(&["/script"]);
}

#[test]
fn a_command_that_cannot_be_executed_is_126() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch)
        .write("plain", "no program\n")
        .write("nonsense", [0x7f, b'E', b'L', b'F', 0, 0, 0, 0])
        .mode("nonsense", 0o755);
    for command in ["/plain", "/etc", "/nonsense"] {
        run(&scratch, &root, &[]).arg(command).run().exits(126).explained(&[command]);
    }
}

#[test]
fn a_payload_that_crashes_is_128_and_the_signal() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    run(&scratch, &root, &[]).args(["/probe", "crash"]).run().exits(128 + libc::SIGSEGV);
    run(&scratch, &root, &["--init"]).args(["/probe", "crash"]).run().exits(128 + libc::SIGSEGV);
}

#[test]
fn a_payload_that_is_killed_is_137() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let mut running =
        run(&scratch, &root, &[]).args(["/probe", "sleep", "100", scratch.mark()]).spawn();
    assert_eq!(running.line(), "ready");
    spawn::kill(payload(&scratch), libc::SIGKILL).expect("kill the payload");
    running.wait().exits(137);
    Leaks::of(&scratch).none();
}

#[test]
fn under_init_a_signal_that_nobody_handles_kills() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    run(&scratch, &root, &["--init"]).args(["sh", "-c", "kill -TERM $$"]).run().exits(143);
}

/// The process that carries the mark as a word of the probe's.
fn payload(scratch: &Scratch) -> u32 {
    let found = processes_with(scratch.mark());
    let (pid, _) = found.iter().find(|(_, line)| line.starts_with("/probe")).expect("the payload");
    *pid
}

#[test]
fn words_arrive_as_they_are() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let words = ["", "a b", "'q' \"q\"", "$HOME", "new\nline", "-x", "--rm", "--", "é", "\\", "*"];
    let seen = run(&scratch, &root, &[]).args(["/probe", "args"]).args(words).json();
    assert_eq!(seen, json!(words));
}

/// The runtime specification is JSON, which holds text only: such a word is
/// refused and not changed on the way.
#[test]
fn words_that_are_no_text_are_refused() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let word = std::ffi::OsStr::from_bytes(b"a\xff\xfeb");
    run(&scratch, &root, &[]).args(["printf", "%s"]).arg(word).refused(&["UTF-8"]);
}

#[test]
fn without_a_command_it_is_a_shell() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let done = run(&scratch, &root, &["-i"]).input("echo from $0; exit 7\n").run();
    assert_eq!(done.exits(7).stdout(), "from /bin/sh\n");
}

#[test]
fn the_command_is_found_on_the_containers_path() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch).script("usr/bin/tool", "echo usual");
    std::fs::create_dir(root.join("opt")).unwrap();
    let root = root.script("opt/tool", "echo special");
    let path = ["-e", "PATH=/opt:/bin"];
    assert_eq!(run(&scratch, &root, &[]).arg("tool").ok(), "usual");
    assert_eq!(run(&scratch, &root, &path).arg("tool").ok(), "special");
}

#[test]
fn nothing_of_the_callers_environment_is_inside() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let env = run(&scratch, &root, &[])
        .env("SECRET", "host")
        .env("LD_PRELOAD", "/no/such.so")
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/no/such")
        .args(["/probe", "env"])
        .json();
    let known = ["HOME", "HOSTNAME", "PATH", "TERM", "USER", "container"];
    for name in env.as_object().unwrap().keys() {
        assert!(known.contains(&name.as_str()), "{name} in {env}");
    }
    assert_eq!(env["HOME"], "/root");
    assert!(env["PATH"].as_str().unwrap().contains("/usr/bin"), "{env}");
}

#[test]
fn variables_are_given_imported_and_dropped() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let options =
        ["-e", "A=1", "-e", "A=2 = two", "--env", "EMPTY=", "-e", "FROM_ME", "-e", "NOT_SET"];
    let env = run(&scratch, &root, &options).env("FROM_ME", "mine").args(["/probe", "env"]).json();
    assert_eq!(env["A"], "2 = two");
    assert_eq!(env["EMPTY"], "");
    assert_eq!(env["FROM_ME"], "mine");
    assert_eq!(env.get("NOT_SET"), None);
}

#[test]
fn an_env_file_is_taken_literally() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let text = "# comment\nA=1\nB= spaced # no comment\nQUOTED=\"q\"\n\nFROM_ME\nNOT_SET\nEMPTY=\n";
    let file = scratch.file("env-file", text);
    let done = run(&scratch, &root, &["--env-file", &file, "-e", "A=later"])
        .env("FROM_ME", "mine")
        .args(["/probe", "env"])
        .run();
    let env = done.json();
    assert_eq!(env["A"], "later");
    assert_eq!(env["B"], " spaced # no comment");
    assert_eq!(env["QUOTED"], "\"q\"");
    assert_eq!(env["FROM_ME"], "mine");
    assert_eq!(env["EMPTY"], "");
    assert_eq!(env.get("NOT_SET"), None);
    assert!(done.stderr.contains("QUOTED"), "no warning about the quotes: {}", done.stderr);
}

#[test]
fn the_working_directory() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    assert_eq!(run(&scratch, &root, &[]).arg("pwd").ok(), "/");
    assert_eq!(run(&scratch, &root, &["-w", "/var/tmp"]).arg("pwd").ok(), "/var/tmp");
    assert_eq!(run(&scratch, &root, &["--workdir=/proc"]).arg("pwd").ok(), "/proc");
    run(&scratch, &root, &["-w", "/etc/passwd"]).arg("pwd").refused(&["/etc/passwd"]);
}

#[test]
fn an_entrypoint_goes_before_the_command() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let echo = run(&scratch, &root, &["--entrypoint", "/bin/echo"]);
    assert_eq!(echo.args(["a", "b"]).ok(), "a b");
    let none = run(&scratch, &root, &["--entrypoint", ""]);
    assert_eq!(none.args(["/bin/echo", "c"]).ok(), "c");
}

#[test]
fn limits_and_masks_of_the_process() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let options = ["--ulimit", "nofile=64:128", "--ulimit", "fsize=1000", "--umask", "0027"];
    let limits = run(&scratch, &root, &options).args(["/probe", "limits"]).json();
    assert_eq!(limits["nofile"], json!([64, 128]));
    assert_eq!(limits["fsize"], json!([1000, 1000]));
    assert_eq!(limits["umask"], "0027");
    let usual = run(&scratch, &root, &[]).args(["/probe", "limits"]).json();
    assert_eq!(usual["core"], json!([0, 0]), "a core dump would be handled by the host");
    assert_eq!(usual["umask"], "0022");
}

#[test]
fn the_oom_score_can_only_grow() {
    requires!(ordinary_user);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let limits =
        run(&scratch, &root, &["--oom-score-adj", "500"]).args(["/probe", "limits"]).json();
    assert_eq!(limits["oom_score_adj"], "500");
    // The launcher is not to be killed in the payload's place.
    let mut running = run(&scratch, &root, &["--oom-score-adj", "500"])
        .args(["/probe", "signals", "handle", &libc::SIGTERM.to_string()])
        .spawn();
    assert_eq!(running.line(), "ready");
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let launchers = format!("/proc/{}/oom_score_adj", running.pid());
    assert_eq!(std::fs::read_to_string(launchers).unwrap(), own);
    running.signal(libc::SIGTERM);
    running.wait().exits(0);
    run(&scratch, &root, &["--oom-score-adj", "-900"]).arg("true").refused(&["oom"]);
}

#[test]
fn the_hostname() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    assert_eq!(run(&scratch, &root, &["-h", "box.example"]).arg("hostname").ok(), "box.example");
    let own = run(&scratch, &root, &[]).arg("hostname").ok();
    let digits = own.bytes().filter(u8::is_ascii_hexdigit).count();
    assert_eq!((own.len(), digits), (12, 12), "not a short id: {own}");
}

#[test]
fn standard_input_is_the_callers_only_when_asked() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    assert_eq!(run(&scratch, &root, &["-i"]).arg("cat").input("to cat\n").ok(), "to cat");
    assert_eq!(run(&scratch, &root, &[]).arg("cat").input("to nobody\n").ok(), "");
}

#[test]
fn a_lot_of_output_arrives() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let words = ["dd", "if=/dev/zero", "bs=1M", "count=20"];
    let done = run(&scratch, &root, &[]).args(words).run();
    assert_eq!(done.exits(0).bytes.len(), 20 << 20);
    assert!(done.bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn output_and_errors_stay_apart() {
    requires!(subuid);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let done = run(&scratch, &root, &[]).args(["sh", "-c", "echo out; echo err >&2"]).run();
    assert_eq!((done.exits(0).stdout().as_str(), done.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn init_reaps_what_others_leave() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let orphans = ["/probe", "orphans", "50"];
    let with = run(&scratch, &root, &["--init"]).args(orphans).within(90.0).json();
    assert_eq!(with["zombies"], 0);
    assert_ne!(with["pid"], 1);
    // The payload itself is pid 1 here, and waits for nobody.
    let without = run(&scratch, &root, &[]).args(orphans).within(90.0).json();
    assert_eq!(without, json!({ "zombies": 50, "pid": 1 }));
}

#[test]
fn descriptors_are_handed_on_when_asked() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let file = std::fs::File::open(scratch.file("handed", "through 4\n")).unwrap();
    let done = run(&scratch, &root, &["--preserve-fds", "2"])
        .args(["sh", "-c", "cat <&4"])
        .inherit(&file, 3)
        .inherit(&file, 4)
        .run();
    assert_eq!(done.ok(), "through 4");
}

#[test]
fn works_with_no_environment_at_all() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    assert_eq!(run(&scratch, &root, &[]).args(["echo", "here"]).no_env().ok(), "here");
}

#[test]
fn works_with_standard_descriptors_closed() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    for closed in [vec![0], vec![1], vec![2], vec![0, 2], vec![0, 1, 2]] {
        let program = run(&scratch, &root, &[]).args(["/probe", "exit", "3"]);
        let close = |program: Program, fd: &i32| program.before(Before::Close(*fd));
        closed.iter().fold(program, close).run().exits(3);
    }
}

#[test]
fn the_callers_signal_settings_do_not_reach_the_payload() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let changes = [libc::SIGCHLD, libc::SIGPIPE, libc::SIGTERM]
        .into_iter()
        .flat_map(|signal| [Before::Ignore(signal), Before::Block(signal)]);
    let words = ["sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status; exit 9"];
    let program = run(&scratch, &root, &[]).args(words);
    let done = changes.fold(program, Program::before).run();
    assert_eq!(done.exits(9).stdout(), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

#[test]
fn a_relative_root_is_one_below_the_working_directory() {
    requires!();
    let scratch = Scratch::new();
    let _root = Root::busybox(&scratch);
    let program = Program::run_in(&scratch).directory(scratch.path());
    assert_eq!(program.args(["./root", "echo", "here"]).ok(), "here");
}

#[test]
fn many_at_once_do_not_disturb_each_other() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let all: Vec<Running> = (0..16)
        .map(|at| run(&scratch, &root, &[]).args(["sh", "-c", &format!("echo {at}")]).spawn())
        .collect();
    for (at, running) in all.into_iter().enumerate() {
        assert_eq!(running.wait().ok(), at.to_string());
    }
    Leaks::of(&scratch).none();
}

#[test]
fn it_leaves_nothing_behind() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    run(&scratch, &root, &["--tmpfs", "/mnt", "--read-only"]).args(["echo", scratch.mark()]).ok();
    run(&scratch, &root, &[]).arg("/no/such").run().exits(127);
    run(&scratch, &root, &["-v", "/no/such:/x"]).arg("true").run().exits(125);
    Leaks::of(&scratch).none();
}
