//! `sublet why`.

use std::fs;

use serde_json::{Value, json};

use super::{HOSTILE, SLEEP, harmless};
use crate::common::*;

/// What is told of a container: for programs, and for people in one line.
fn told(at: &At, name: &str) -> (Value, String) {
    let json = at.sublet(&["why", "--json", name]).json()[0].take();
    let text = at.sublet(&["why", name]).ok();
    harmless(&text);
    (json, text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn a_code_and_who_has_sent_a_signal() {
    requires!();
    let at = At::new();
    at.run(&["--name", "web"]).args(["sh", "-c", "exit 3"]).run().exits(3);
    let (json, text) = told(&at, "web");
    assert_eq!((&json["Reason"], &json["ExitCode"]), (&json!("exited"), &json!(3)));
    assert!(
        text.contains("web (") && text.contains("It ended by itself with the code 3,"),
        "{text}"
    );
    let newest = at.sublet(&["why", "--json"]).json()[0].take();
    assert_eq!(newest["Id"], json["Id"], "it is the newest");
    assert!(newest["Id"].is_string());

    let running = at.start("db", &[], SLEEP);
    assert_eq!(told(&at, "db").0["Reason"], "running");
    let pid = running.pid().to_string();
    let sends = Program::new("sh").args(["-c", "kill -TERM $1; read over", "sh", &pid]);
    let (over, stays) = std::io::pipe().expect("a pipe");
    let sender = sends.inherit(over, 0).spawn();
    running.wait().exits(143);
    drop(stays);
    sender.wait();
    let (json, text) = told(&at, "db");
    assert_eq!((&json["Reason"], &json["Signal"]), (&json!("signal"), &json!("SIGTERM")));
    assert!(text.contains("sent by sh (process "), "{text}");

    let stays = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    for (words, told_so, script) in [
        (&["stop", "-t", "1"][..], "sublet stop sent it, for it had not ended in the time", stays),
        (&["kill"], "sublet kill sent it.", SLEEP),
        (&["kill", "-s", "TERM"], "It was sent by sublet kill (process", SLEEP),
    ] {
        let running = at.start("cache", &["--replace"], script);
        at.sublet(&[words, &["cache"]].concat()).ok();
        running.wait();
        let (_, text) = told(&at, "cache");
        assert!(text.contains(told_so), "{words:?}: {text}");
    }
    // The kernel tells either signal, whichever came first.
    let running = at.start("cache", &["--replace"], SLEEP);
    at.sublet(&["stop", "-t", "0", "cache"]).ok();
    running.wait();
    let (_, text) = told(&at, "cache");
    assert!(text.contains("sublet stop (process") || text.contains("sublet stop sent"), "{text}");

    let running = at.start("cache", &["--replace"], SLEEP);
    let payload = at.inspect("cache")["State"]["Pid"].to_string();
    Program::new("kill").args(["-KILL", &payload]).ok();
    running.wait().exits(137);
    assert!(told(&at, "cache").1.contains("sent from outside of the container"));

    let lost = at.start("lost", &[], SLEEP);
    lost.signal(libc::SIGKILL);
    lost.wait();
    let (json, text) = told(&at, "lost");
    assert_eq!((&json["Reason"], &json["ExitCode"]), (&json!("supervisor-lost"), &Value::Null));
    assert!(text.contains("Its launcher was killed"), "{text}");
    at.sublet(&["why", "none"]).run().exits(1).explained(&["no container none"]);
}

/// Those that end it without a word of anybody's, or that don't begin it again.
#[test]
fn a_health_check_and_starts_that_are_used_up() {
    requires!();
    let at = At::new();
    for action in ["kill", "stop"] {
        let name = ["-d", "--name", "web", "--replace", "--health-cmd", "false"];
        let health = ["--health-interval", "50ms", "--health-retries", "1"];
        let options = [&name[..], &health, &["--health-on-failure", action]].concat();
        at.run(&options).args(["sh", "-c", SLEEP]).ok();
        at.sublet(&["wait", "web"]).within(60.0).ok();
        let (_, text) = told(&at, "web");
        let cause = format!("its health check failed, and --health-on-failure {action} had it end");
        assert!(text.contains(&cause) && !text.contains("not seen"), "{text}");
        assert!(!text.contains("No command") && !text.contains("While it ran"), "{text}");
    }
    at.run(&["-d", "--name", "job", "--restart", "on-failure:2"]).args(["sh", "-c", "exit 1"]).ok();
    assert_eq!(at.sublet(&["wait", "job"]).within(60.0).ok(), "1");
    let (_, text) = told(&at, "job");
    assert!(text.contains("started again twice before") && text.contains("no more"), "{text}");
}

#[test]
fn time_that_was_over() {
    requires!();
    let at = At::new();
    at.run(&["--name", "slow", "--timeout", "1"]).args(["sleep", "600"]).run().exits(255);
    let (json, text) = told(&at, "slow");
    assert_eq!(json["Reason"], "timed-out");
    assert!(text.contains("--timeout") && text.contains("hint: "), "{text}");
}

/// As docker has it, and with the cause: created, and 127. The name is the
/// next one's all the same.
#[test]
fn a_start_that_failed() {
    requires!();
    let at = At::new();
    let file = at.scratch.text("id");
    at.run(&["--name", "web", "--cidfile", &file]).arg("/no/such").run().exits(127);
    let (json, text) = told(&at, "web");
    assert_eq!((&json["Reason"], &json["ExitCode"]), (&json!("not-started"), &json!(127)));
    assert_eq!(fs::read_to_string(&file).expect("an id"), at.scratch.container("web"));
    for word in ["never ran", "127", "execute \"/no/such\"", "hint: ", "looked up inside the root"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    let state = &at.inspect("web")["State"];
    assert_eq!((&state["Status"], &state["ExitCode"]), (&json!("created"), &json!(127)));
    assert!(state["Error"].as_str().is_some_and(|error| error.contains("no such file")), "{state}");
    assert_eq!(at.sublet(&["wait", "web"]).ok(), "127");
    assert_eq!(at.names(&["-a"]), ["web"]);
    // A step of the set-up, by its name.
    let volume = format!("{}:/x", at.scratch.text("missing"));
    at.run(&["--name", "web", "-v", &volume]).arg("true").run().exits(125);
    let (json, text) = told(&at, "web");
    assert_eq!(json["ExitCode"], 125);
    assert!(text.contains("125: sublet could not set it up") && text.contains("missing"), "{text}");
    assert_eq!(at.left().len(), 1, "one record a name");
    at.run(&["--name", "web"]).arg("true").ok();
    assert_eq!(told(&at, "web").0["Reason"], "exited");
    at.run(&["--name", "bad"]).arg("/no/such").run().exits(127);
    at.sublet(&["prune", "-f"]).ok();
    assert!(at.left().is_empty(), "{:?}", at.left());
}

/// The first bytes of a program for this machine, whose loader is `loader`.
fn program(loader: &str) -> Vec<u8> {
    let machine: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let mut file = vec![0; 64 + 56];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16] = 2;
    file[18..20].copy_from_slice(&machine.to_le_bytes());
    (file[20], file[32], file[52], file[54], file[56]) = (1, 64, 64, 56, 1);
    (file[64], file[72]) = (3, 120);
    let length = loader.len() as u64 + 1;
    file[96..104].copy_from_slice(&length.to_le_bytes());
    file[104..112].copy_from_slice(&length.to_le_bytes());
    file.extend_from_slice(loader.as_bytes());
    file.push(0);
    file
}

#[test]
fn the_file_that_a_program_lacks_is_named() {
    requires!();
    let at = At::new();
    let mut foreign = program("/lib/ld.so.2");
    // s390x, which has no other byte order.
    (foreign[5], foreign[18], foreign[19]) = (2, 0, 22);
    let files: [(&str, Vec<u8>, i32, &[&str]); 5] = [
        ("dynamic", program("/lib/ld-none.so.2"), 127, &["its loader", "/lib/ld-none.so.2"]),
        ("script", b"#!/no/perl -w\n".to_vec(), 127, &["its interpreter", "/no/perl"]),
        ("windows", b"#!/bin/sh\r\n".to_vec(), 127, &["carriage return", "sed -i"]),
        ("foreign", foreign, 126, &["program for s390x", "qemu-user"]),
        ("text", b"echo hello\n".to_vec(), 126, &["without a #! line", "#!/bin/sh"]),
    ];
    for (name, content, code, words) in files {
        let path = at.root.join(name);
        fs::write(&path, content).expect("write it");
        Program::new("chmod").args(["755".as_ref(), path.as_os_str()]).ok();
        let done = at.run(&["--name", name]).arg(format!("/{name}")).run();
        done.exits(code).explained(words);
        let (json, text) = told(&at, name);
        assert_eq!(json["ExitCode"], code, "{name}");
        for word in words {
            assert!(text.contains(word), "{name}: {word}: {text}");
        }
    }
    // In a volume, whose loader the root would have to have.
    let volume = format!("{}:/work", at.root.text());
    let done = at.run(&["-v", &volume]).arg("/work/dynamic").run();
    done.exits(127).explained(&["/lib/ld-none.so.2"]);
}

const PROFILE: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#;

#[test]
fn a_filter_that_killed_is_named() {
    requires!();
    let at = At::new();
    let profile = at.scratch.file("profile.json", PROFILE);
    let seccomp = format!("seccomp={profile}");
    let options = ["--name", "web", "--security-opt", &seccomp];
    let done = at.run(&options).args(["mkdir", "/tmp/x"]).run();
    done.exits(159);
    assert!(done.stderr.contains("a system call filter has killed the command"), "{}", done.stderr);
    let (json, text) = told(&at, "web");
    assert_eq!((&json["Reason"], &json["Signal"]), (&json!("system-call"), &json!("SIGSYS")));
    assert!(text.contains(&profile) && text.contains("SCMP_ACT_ERRNO"), "{text}");
    // Which call it was only the kernel's log has.
    let named = text.contains("when it called mkdir");
    assert!(named || text.contains("dmesg | grep type=1326"), "{text}");
}

/// One that lets nothing through ends the launcher's own child, which could say
/// nothing.
#[test]
fn a_filter_that_lets_no_start_through_is_told() {
    requires!();
    let at = At::new();
    for action in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_ERRNO"] {
        let text = format!(r#"{{"defaultAction": "{action}", "syscalls": []}}"#);
        let seccomp = format!("seccomp={}", at.scratch.file("profile.json", &text));
        let done = at.run(&["--security-opt", &seccomp]).arg("true").run();
        assert!(done.code() > 128, "{action}: {}", done.stderr);
        let told =
            "sublet: the command was not started: the system call filter does not let execve";
        assert!(done.stderr.contains(told), "{action}: {}", done.stderr);
    }
}

#[test]
fn who_may_read_the_kernels_log_hears_the_call() {
    requires!(root, kernel_log);
    let at = At::new();
    let profile = at.scratch.file("profile.json", PROFILE);
    let seccomp = format!("seccomp={profile}");
    at.run(&["--name", "web", "--security-opt", &seccomp])
        .args(["mkdir", "/tmp/x"])
        .run()
        .exits(159);
    let (_, text) = told(&at, "web");
    assert!(text.contains("killed it when it called mkdir"), "{text}");
}

#[test]
fn memory_and_processes_that_ran_out() {
    requires!(user_manager);
    let at = At::new();
    let greedy = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];
    at.run(&["-m", "64m", "--name", "greedy"]).args(greedy).run().exits(137);
    let (json, text) = told(&at, "greedy");
    assert_eq!(json["Reason"], "out-of-memory");
    for word in ["out of memory, 137", "limit 64 MiB, peak 6", "killed 1 process", "called dd"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let script = "i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done 2>/dev/null; exit 4";
    at.run(&["--pids-limit", "10", "--name", "many"]).args(["sh", "-c", script]).run();
    let (_, text) = told(&at, "many");
    assert!(text.contains("it could make no further process"), "{text}");
    assert!(text.contains("--pids-limit"), "{text}");
}

#[test]
fn nothing_typed_reaches_the_terminal() {
    requires!();
    let at = At::new();
    at.run(&["--name", "web"]).args(["sh", "-c", "exit 1", HOSTILE]).run().exits(1);
    told(&at, "web");
    at.run(&["--name", "bad"]).arg(format!("/no{HOSTILE}")).run().exits(127);
    told(&at, "bad");
}
