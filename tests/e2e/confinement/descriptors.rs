//! Descriptors, the working directory, and the launcher's own file (C01-C03).

use std::fs::File;
use std::io::{IoSliceMut, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use super::{Fired, Launcher, Subject, class};
use crate::common::*;

/// Where the host's directories are handed to the launcher.
const HANDED: i32 = 60;

class! {
    /// C02: nothing of what the caller has open arrives.
    c02_descriptors(super::descriptors) needs []
    weak "fds" []
    bubblewrap [] []
}

class! {
    /// C02 with a reaper of ours as pid 1.
    c02_descriptors_under_init(super::descriptors_under_init) needs []
    weak "fds" []
}

class! {
    /// C03: the working directory is inside, whatever it is called.
    c03_working_directory(super::working_directory) needs []
    weak "cwd,fds" []
    bubblewrap [] []
}

class! {
    /// C01: nobody can write to the launcher when it has ended.
    c01_own_file(super::own_file) needs []
    weak "exe" []
    bubblewrap [] []
}

fn descriptors(subject: &Subject) -> Fired {
    open_inside(subject, &[])
}

fn descriptors_under_init(subject: &Subject) -> Fired {
    open_inside(subject, &["--init"])
}

/// Everything above the standard descriptors, the host's root fifty times
/// among it.
fn open_inside(subject: &Subject, options: &[&str]) -> Fired {
    let host = File::open("/").expect("open the host's root");
    let program = subject.program(options, &["/probe", "fds"]);
    let fds = (HANDED..HANDED + 50).fold(program, |program, at| program.inherit(&host, at)).json();
    let beyond = |fd: &&serde_json::Value| {
        fd["fd"].as_i64().expect("a number") > 2 || fd["kind"] == "directory"
    };
    fds.as_array().expect("a list").iter().filter(beyond).map(ToString::to_string).collect()
}

fn working_directory(subject: &Subject) -> Fired {
    let canary = Canary::new(&subject.scratch);
    let outside = File::open(canary.path()).expect("open the canary");
    let up = format!("{}{}/file", "../".repeat(12), &canary.path().to_str().expect("text")[1..]);
    let mut names: Vec<String> =
        (3..20).chain([HANDED]).map(|fd| format!("/proc/self/fd/{fd}")).collect();
    for (link, target) in [
        ("link", format!("/proc/self/fd/{HANDED}")),
        ("link-up", format!("/proc/self/fd/{HANDED}/../..")),
        ("link-out", canary.path().display().to_string()),
    ] {
        std::os::unix::fs::symlink(target, subject.root.join(link)).expect("make a link");
        names.push(format!("/{link}"));
    }
    names.push(format!("/proc/self/fd/{HANDED}/../../.."));
    let mut fired = Vec::new();
    for name in names {
        let words = ["/probe", "cwd", "file", &up];
        let program = subject.program(&["-w", &name], &words);
        let done = program.inherit(&outside, HANDED).run();
        // Refused, which is well.
        if done.code() != 0 {
            continue;
        }
        let seen = done.json();
        let inside = seen["getcwd"].as_str().is_some_and(|path| path.starts_with('/'));
        let reached = seen["reached"].as_object().expect("an object");
        if !inside || reached.values().any(|outcome| outcome == "ok") {
            fired.push(format!("-w {name}: {seen}"));
        }
    }
    fired
}

/// What is executed cannot be written, so the payload hands a descriptor of
/// it to an accomplice outside, who waits for the launcher's end. Where that
/// one opens the file again, it is the launcher's, and can be written.
fn own_file(subject: &Subject) -> Fired {
    let shared = subject.scratch.dir("shared");
    let listener = UnixListener::bind(subject.scratch.join("shared/socket")).expect("listen");
    let volume = format!("{shared}:/shared");
    let words = ["/probe", "pass-exe", "/shared/socket"];
    let passed = subject.program(&["--init", "-v", &volume], &words).json();
    if passed["passed"] != "ok" {
        return Vec::new();
    }
    let Some(file) = receive(&listener) else { return Vec::new() };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let target = std::fs::read_link(&path).expect("read a link");
    // The payload itself is pid 1 of a container without a reaper.
    if target.ends_with("probe") {
        return Vec::new();
    }
    // The kernel may take a moment to let go of the last process.
    let written = eventually(1.0, || {
        let mut file = File::options().append(true).open(&path).ok()?;
        file.write_all(b"overwritten").ok()
    });
    written.map(|()| format!("{} was written", target.display())).into_iter().collect()
}

/// The descriptor that came with the first message.
fn receive(listener: &UnixListener) -> Option<OwnedFd> {
    let (connection, _) = listener.accept().expect("accept");
    let mut word = [0; 8];
    let mut parts = [IoSliceMut::new(&mut word)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(connection.as_raw_fd(), &mut parts, Some(&mut space), flags)
        .expect("receive");
    message.cmsgs().expect("control messages").find_map(|control| match control {
        ControlMessageOwned::ScmRights(fds) => fds.first().map(|fd| spawn::own(*fd)),
        _ => None,
    })
}

/// C01 by exec: the launcher's own file as the payload.
#[test]
fn c01_the_launcher_as_its_own_payload() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    let copy = subject.file();
    let unchanged = Canary::of(&copy);
    let root = Root::named(&subject.scratch, "other").with_probe("probe");
    spawn::place(|| std::fs::write(root.join("entry"), "#!/proc/self/exe\n"));
    let root = root.mode("entry", 0o755);
    for words in [&["/entry"][..], &["/proc/self/exe", "run", "/", "/probe", "write-exe", "50"]] {
        let program = Program::new(&copy).at_home(&subject.scratch).args(RUN).arg(root.path());
        let done = program.args(words).run();
        assert!(!done.stdout().contains(r#""ok""#), "{}", done.stdout());
        unchanged.untouched();
    }
}

/// C01 from inside, again and again, with a reaper to look at.
#[test]
fn c01_no_process_inside_can_be_opened_for_writing() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    let seen = subject.probe(&["--init"], &["write-exe", "200"]);
    let opened: Vec<&String> =
        seen.as_object().unwrap().keys().filter(|line| line.ends_with(": ok")).collect();
    assert!(opened.is_empty(), "{seen}");
}

/// C02: fifty descriptors do not stand in the way of those that are asked for.
#[test]
fn c02_only_what_is_asked_for_is_kept() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    let host = File::open("/").unwrap();
    let file = File::open(subject.scratch.file("kept", "")).unwrap();
    let program = subject.program(&["--preserve-fds", "2"], &["/probe", "fds"]);
    let program = program.inherit(&file, 3).inherit(&file, 4);
    let program = (5..55).fold(program, |program, at| program.inherit(&host, at));
    let fds = program.json();
    let numbers: Vec<i64> =
        fds.as_array().unwrap().iter().filter_map(|fd| fd["fd"].as_i64()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
}
