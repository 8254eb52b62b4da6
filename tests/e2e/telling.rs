//! What the launcher says about what it will do, did, and could not do.

use serde_json::Value;

use crate::common::*;

fn run(scratch: &Scratch, root: &Root, options: &[&str]) -> Program {
    Program::run_in(scratch).args(options).arg(root.path())
}

#[test]
fn a_dry_run_tells_the_plan_and_does_nothing() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let unchanged = Canary::of(root.path());
    let source = scratch.dir("source");
    let volume = format!("{source}:/v:ro");
    let options = ["--dry-run", "-v", &volume, "-h", "planned", "-e", "NAME=value", "-w", "/tmp"];
    let plan = run(&scratch, &root, &options).args(["touch", "/tmp/done"]).ok();
    for part in
        [root.text(), "/v", source.as_str(), "read-only", "planned", "/tmp/done", "pid", "user"]
    {
        assert!(plan.contains(part), "no {part:?} in {plan}");
    }
    // The map in numbers, and steps in the order in which they are done.
    assert!(plan.contains(&caller().0.to_string()), "{plan}");
    let at = |word: &str| plan.find(word).unwrap_or_else(|| panic!("no {word:?} in {plan}"));
    assert!(at("\"/v\"") < at("make it the root"), "{plan}");
    assert!(at("make it the root") < at("execute"), "{plan}");
    unchanged.untouched();
    Leaks::of(&scratch).none();
}

#[test]
fn a_dry_run_for_programs_is_json() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let plan = run(&scratch, &root, &["--dry-run=json"]).args(["true", "quote\"d"]).json();
    let steps = plan["steps"].as_array().expect("steps");
    assert!(steps.len() > 10, "{plan}");
    let last = steps.last().and_then(Value::as_str).expect("words");
    assert_eq!(last, r#"execute "true" as ["true", "quote\"d"]"#);
}

#[test]
fn a_dry_run_refuses_what_the_run_would() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    run(&scratch, &root, &["--dry-run", "-u", "1000:"]).arg("true").refused(&["user"]);
}

#[test]
fn timing_tells_where_the_time_went() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let done = run(&scratch, &root, &["--timing"]).args(["sh", "-c", "echo out; exit 3"]).run();
    assert_eq!(done.exits(3).stdout(), "out\n");
    for part in ["clone", "maps", "mount", "exec"] {
        assert!(done.stderr.contains(part), "no {part} in {}", done.stderr);
    }
}

#[test]
fn without_being_asked_it_says_nothing() {
    requires!(subuid);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let done = run(&scratch, &root, &[]).arg("true").run();
    assert_eq!((done.exits(0).stdout().as_str(), done.stderr.as_str()), ("", ""));
}

/// Mistakes that people make, and the word that would have helped.
#[test]
fn errors_say_what_would_help() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let cases: [(&[&str], &[&str]); 7] = [
        (&["/no/such/root", "true"], &["/no/such/root"]),
        (&["-v", "/no/such:/v", root.text(), "true"], &["/no/such"]),
        (&["-u", "nobody-here", root.text(), "true"], &["/etc/passwd"]),
        (
            &["--userns", "single", "-u", "5", root.text(), "true"],
            &["the container has one id", "--userns keep-id:uid=5,gid=0"],
        ),
        (&["--cap-add", "SYS_NO", root.text(), "true"], &["SYS_NO"]),
        (&["--network", "bridge", root.text(), "true"], &["none", "slirp4netns"]),
        (&["--ulimit", "files=5", root.text(), "true"], &["nofile"]),
    ];
    for (words, said) in cases {
        let done = Program::run_in(&scratch).args(words).run();
        done.refused(said);
        assert!(done.stderr.contains("\n hint: "), "no hint in {}", done.stderr);
    }
}

#[test]
fn a_missing_command_is_told_with_where_it_was_looked_for() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let done = run(&scratch, &root, &[]).arg("not-there").run();
    done.exits(127).explained(&["not-there", "PATH"]);
}

#[test]
fn version_and_help() {
    requires!();
    let scratch = Scratch::new();
    let version = Program::sublet(&scratch).arg("--version").ok();
    assert!(version.starts_with("sublet "), "{version}");
    let help = Program::run_in(&scratch).arg("--help").ok();
    for option in ["--volume", "--userns", "--dry-run", "--security-opt", "ROOT"] {
        assert!(help.contains(option), "no {option} in {help}");
    }
    let wrong = Program::sublet(&scratch).arg("no-such-verb").run();
    assert_eq!(wrong.exits(125).stdout(), "");
}

/// Words of the caller's in a message cannot move the cursor of whoever reads
/// it (C55).
#[test]
fn control_characters_are_shown_and_not_sent() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let nasty = "\u{1b}]0;title\u{7}\u{1b}[2Jx";
    for options in [
        vec![format!("--hostname={nasty}")],
        vec![format!("--user={nasty}")],
        vec![format!("--volume=/{nasty}:/v")],
        vec![format!("--workdir=/{nasty}")],
        vec![format!("--security-opt={nasty}")],
    ] {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        run(&scratch, &root, &options).arg("true").refused(&[]);
    }
    run(&scratch, &root, &[]).arg(nasty).run().exits(127).explained(&[]);
    let plan: String = run(&scratch, &root, &["--dry-run"]).arg(nasty).ok();
    assert!(plan.chars().all(|c| c == '\n' || !c.is_control()), "{plan:?}");
    let json: Value = run(&scratch, &root, &["--dry-run=json"]).arg(nasty).json();
    assert!(!json.is_null());
}
