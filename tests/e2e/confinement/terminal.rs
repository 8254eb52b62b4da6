//! Terminals (C30, C34, C35).

use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use super::{Fired, Launcher, Subject, class, other_than};
use crate::common::*;

class! {
    /// C34, C30: nothing can be typed into the caller's terminal.
    c34_pushed_input(super::pushed_input) needs []
    weak "session,seccomp" [legacy_tiocsti]
    bubblewrap [] [legacy_tiocsti]
}

class! {
    /// C34: nor where the filter alone stands in the way.
    c34_pushed_input_into_its_own(super::pushed_into_its_own) needs []
    weak "seccomp" []
}

class! {
    /// C34: the caller's terminal is not the session's.
    c34_session(super::session) needs []
    weak "session" []
    bubblewrap [] []
}

class! {
    /// C35: the terminal belongs to the container's own devpts.
    c35_own_terminal(super::own_terminal) needs []
    bubblewrap [] []
}

/// Runs a probe in the foreground of a terminal; its answer, and how many
/// bytes have been typed meanwhile by nobody.
fn in_foreground(subject: &Subject, options: &[&str], words: &[&str]) -> (Value, usize) {
    let mut terminal = {
        let words = [&["/probe"], words].concat();
        // The wait gives the test the time to set the terminal up.
        let program = subject.program(options, &words);
        program.inside(r#"read go; exec "$@""#).on_terminal()
    };
    terminal.make_raw();
    terminal.send("\n");
    assert!(terminal.wait().success(), "{}", terminal.shown());
    let shown = terminal.shown();
    // What has been pushed in is echoed around the answer.
    let answer = shown.find('{').zip(shown.rfind('}')).map(|(start, end)| &shown[start..=end]);
    let answer = answer.unwrap_or_else(|| panic!("no answer: {shown}"));
    (serde_json::from_str(answer).expect("JSON"), terminal.unread())
}

/// Errors that mean that there was nothing to push into.
const NO_TERMINAL: [&str; 4] = ["EPERM", "ENOTTY", "ENXIO", "ENOSYS"];

fn pushed_input(subject: &Subject) -> Fired {
    let (seen, typed) = in_foreground(subject, &["-i"], &["tiocsti"]);
    let mut fired = other_than(&NO_TERMINAL, &seen);
    // TIOCLINUX is for consoles; a pty says that the argument is wrong.
    fired.retain(|line| !line.ends_with("\"EINVAL\""));
    if typed > 0 {
        fired.push(format!("{typed} bytes typed"));
    }
    fired
}

fn pushed_into_its_own(subject: &Subject) -> Fired {
    let (seen, typed) = in_foreground(subject, &["-i", "-t"], &["tiocsti"]);
    let mut fired = other_than(&["EPERM"], &seen);
    if typed > 0 {
        fired.push(format!("{typed} bytes typed"));
    }
    fired
}

fn session(subject: &Subject) -> Fired {
    let (seen, _) = in_foreground(subject, &["-i"], &["tty"]);
    if seen["controlling"] == "ENXIO" { Vec::new() } else { vec![seen.to_string()] }
}

fn own_terminal(subject: &Subject) -> Fired {
    let (seen, _) = in_foreground(subject, &["-i", "-t"], &["pty"]);
    let host = std::fs::metadata("/dev/pts").map(|facts| facts.dev()).ok();
    let dev = seen["dev"].as_u64();
    let facts = [
        ("/dev/pts is no devpts", seen["devpts"] == true),
        ("/dev/pts is the host's", dev.is_some() && dev != host),
        ("standard input lies elsewhere", seen["stdin"].as_u64() == dev),
        ("a new terminal lies elsewhere", seen["new dev"].as_u64() == dev),
        ("there are others", seen["entries"] == serde_json::json!(["0", "ptmx"])),
    ];
    let wrong = facts.iter().filter(|(_, right)| !right);
    wrong.map(|(what, _)| format!("{what}: {seen}")).collect()
}

/// C02 with a terminal: the control end stays outside.
#[test]
fn c02_no_descriptor_of_the_terminals_control_end() {
    requires!(subuid);
    let subject = Subject::new(Launcher::Sublet);
    let terminal = subject.program(&["-i", "-t"], &["/probe", "fds"]);
    let mut terminal = terminal.on_terminal();
    assert!(terminal.wait().success());
    let fds: Value = serde_json::from_str(terminal.shown().trim()).expect("JSON");
    let targets: Vec<&Value> = fds.as_array().unwrap().iter().map(|fd| &fd["target"]).collect();
    assert_eq!(targets, ["/dev/pts/0"; 3]);
}
