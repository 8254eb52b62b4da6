//! Defaults from files, and who wins.

use std::fs;

use crate::common::*;

/// A scratch directory whose user has these settings.
fn with(text: &str) -> (Scratch, String) {
    let scratch = Scratch::new();
    let file = scratch.join("config/sublet/config.toml");
    fs::create_dir_all(file.parent().expect("a directory")).expect("make it");
    fs::write(&file, text).expect("write the file");
    (scratch, file.display().to_string())
}

#[test]
fn a_setting_holds_unless_the_command_line_says_otherwise() {
    requires!();
    let (scratch, _) = with("[run]\nshm-size = \"1m\"\nuserns = \"single\"\n");
    let root = Root::busybox(&scratch);
    let size = |options: &[&str]| {
        let run = Program::run_in(&scratch).args(options).arg(root.path());
        run.args(["sh", "-c", "df -k /dev/shm | tail -n 1; cat /proc/self/uid_map"]).ok()
    };
    let (blocks, uids) = (|text: &str| text.split_whitespace().nth(1).map(str::to_owned), 1);
    let told = size(&[]);
    assert_eq!(blocks(&told).as_deref(), Some("1024"), "{told}");
    assert_eq!(told.lines().skip(1).count(), uids, "{told}");
    let told = size(&["--shm-size", "2m"]);
    assert_eq!(blocks(&told).as_deref(), Some("2048"), "{told}");
}

#[test]
fn info_shows_who_said_what() {
    requires!();
    let (scratch, file) = with("# mine\n\n[run]\nmemory = \"1g\"\n");
    let info = Program::sublet(&scratch).args(["info", "--json"]).json();
    let settings = &info["settings"];
    assert_eq!(settings["memory"]["value"], "1g");
    assert_eq!(settings["memory"]["origin"], format!("{file}:4"));
    assert_eq!(settings["network"]["origin"], "default");
    assert_eq!(info["config"][0]["path"], file);
    assert_eq!(info["config"][0]["there"], true);
    assert!(info["rungs"]["ids"].as_str().is_some_and(|ids| ids.starts_with("map uids ")));
    let page = Program::sublet(&scratch).arg("info").ok();
    assert!(page.contains(&format!("{file}:4")) && page.contains("SETTING"), "{page}");
}

#[test]
fn the_users_settings_come_before_those_of_the_machine() {
    requires!(unshare);
    let (scratch, file) = with("[run]\nmemory = \"1g\"\n");
    let script = r#"
        mount -t tmpfs none /etc; mkdir /etc/sublet
        printf '[run]\nmemory = "2g"\ncpus = 2\n' >/etc/sublet/config.toml
        exec "$@""#;
    let info = Program::sublet(&scratch).args(["info", "--json"]).inside_namespaces(script).json();
    assert_eq!(info["settings"]["memory"]["origin"], format!("{file}:2"));
    assert_eq!(info["settings"]["cpus"]["origin"], "/etc/sublet/config.toml:3");
    assert_eq!(info["settings"]["cpus"]["value"], "2");
}

#[test]
fn a_mistake_is_an_error_with_its_line() {
    requires!();
    for (text, line, words) in [
        ("[run]\nmemroy = \"1g\"\n", 2, "there is no setting \"memroy\", but there is memory"),
        ("[run]\n\nmemory = \"much\"\n", 3, "--memory"),
        ("[runs]\n", 1, "but there is run"),
        ("[run\n", 1, "expected a right bracket"),
        ("[run]\nnetwork = none\n", 2, "a text stands in quotes: network = \"none\""),
    ] {
        let (scratch, file) = with(text);
        let place = format!("{file}:{line}");
        Program::run_in(&scratch).args(["host", "true"]).refused(&[&place, words]);
        Program::sublet(&scratch).arg("info").refused(&[&place, words]);
        // Only run has settings: what helps still works.
        Program::sublet(&scratch).args(["help", "files"]).ok();
    }
}

#[test]
fn a_file_that_is_none_is_an_error() {
    requires!();
    let (scratch, file) = with("");
    fs::remove_file(&file).expect("remove it");
    fs::create_dir(&file).expect("make a directory");
    Program::run_in(&scratch).args(["host", "true"]).refused(&[&file, "not a regular file"]);
    fs::remove_dir(&file).expect("remove it");
    nix::unistd::mkfifo(file.as_str(), nix::sys::stat::Mode::S_IRWXU).expect("make a pipe");
    Program::run_in(&scratch).args(["host", "true"]).refused(&[&file, "not a regular file"]);
}

#[test]
fn an_address_for_published_ports_is_a_setting() {
    requires!();
    let (scratch, _) = with("[run]\npublish-address = \"127.0.0.2\"\n");
    let run = |port: &str| {
        let run = Program::run_in(&scratch).args(["--network", "loopback", "-p", port]);
        let run = run.args(["host", "true"]).run();
        run.exits(0);
        run.stderr
    };
    assert!(run("80").contains("published 127.0.0.2:"), "{}", run("80"));
    assert!(run("127.0.0.3::80").contains("published 127.0.0.3:"));
}

/// How much of a log is kept; one that has none is not disturbed by it.
#[test]
fn logs_are_as_large_as_the_settings_say() {
    requires!();
    let (scratch, _) = with("[run]\nlog-max-size = \"64k\"\nlog-max-file = 2\n");
    let root = Root::busybox(&scratch);
    let script = "head -c 400000 /dev/zero | tr '\\0' '\\n'";
    let run = |options: &[&str], script: &str| {
        let run = Program::run_in(&scratch).args(options).arg(root.path());
        let id = run.args(["sh", "-c", script]).ok();
        Program::sublet(&scratch).args(["wait", &id]).within(60.0).ok();
        id
    };
    let id = run(&["-d"], script);
    let directory = scratch.join("state/sublet/logs");
    let mut logs: Vec<_> = fs::read_dir(&directory).expect("logs").flatten().collect();
    logs.sort_by_key(fs::DirEntry::file_name);
    let names: Vec<_> = logs.iter().map(|file| file.file_name().into_string().unwrap()).collect();
    assert_eq!(names, [format!("{id}.log"), format!("{id}.log.1")]);
    assert!(logs.iter().all(|file| file.metadata().expect("a file").len() <= 64 << 10));
    run(&["-d", "--log-driver", "none"], "true");
    assert_eq!(fs::read_dir(&directory).expect("logs").count(), 2);
    let larger = run(&["-d", "--log-max-size", "1m"], script);
    let larger = fs::metadata(directory.join(format!("{larger}.log"))).expect("a file");
    assert!(larger.len() > 64 << 10, "the command line comes first");
    Program::run_in(&scratch)
        .args(["-d", "--log-max-file", "0", "host", "true"])
        .refused(&["--log-max-file", "1 to 1000"]);
}
