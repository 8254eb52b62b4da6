//! What people and programs get wrong, and the words they get back.

use std::fs;
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::common::*;

fn run(scratch: &Scratch, options: &[&str]) -> Program {
    Program::run_in(scratch).args(options).within(5.0)
}

/// Each set of options is refused with all of these words.
fn refused(options: &[&str], words: &[&str]) {
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    run(&scratch, options).arg(root.path()).arg("true").refused(words);
    Leaks::of(&scratch).none();
}

// ---- the root

#[test]
fn a_root_that_is_not_there() {
    requires!();
    let scratch = Scratch::new();
    run(&scratch, &["/no/such/root", "true"]).refused(&["/no/such/root"]);
    run(&scratch, &["./no-such-root", "true"]).refused(&["no-such-root"]);
}

#[test]
fn a_root_that_is_a_word() {
    requires!();
    let scratch = Scratch::new();
    run(&scratch, &["alpine", "true"]).refused(&["alpine", "host", "podman export"]);
    run(&scratch, &["", "true"]).refused(&["root"]);
}

#[test]
fn a_root_that_is_no_directory() {
    requires!();
    let scratch = Scratch::new();
    let file = scratch.file("file", "x");
    run(&scratch, &[&file, "true"]).refused(&[&file, "directory"]);
    let fifo = scratch.text("fifo");
    nix::unistd::mkfifo(fifo.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    run(&scratch, &[&fifo, "true"]).refused(&[&fifo, "directory"]);
    symlink("loop", scratch.join("loop")).unwrap();
    run(&scratch, &[&scratch.text("loop"), "true"]).refused(&["loop"]);
}

#[test]
fn a_root_that_cannot_be_entered() {
    requires!(ordinary_user);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o000)).unwrap();
    let done = run(&scratch, &[root.text(), "true"]).run();
    // Its owner is container root, whom the mode does not stop.
    if done.code() != 0 {
        done.explained(&[root.text()]);
    }
    let closed = scratch.dir("closed/root");
    fs::set_permissions(scratch.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    run(&scratch, &[&closed, "true"]).refused(&[&closed]);
}

#[test]
fn a_root_of_somebody_else() {
    requires!(ordinary_user);
    let scratch = Scratch::new();
    run(&scratch, &["/root", "true"]).refused(&["/root"]);
}

#[test]
fn a_root_without_a_shell() {
    requires!();
    let scratch = Scratch::new();
    let empty = scratch.dir("empty");
    run(&scratch, &[&empty]).run().exits(127).explained(&["/bin/sh"]);
}

#[test]
fn no_root_at_all() {
    requires!();
    let scratch = Scratch::new();
    let done = run(&scratch, &[]).run();
    done.exits(125);
    assert!(done.stderr.contains("ROOT"), "{}", done.stderr);
}

/// Options behind ROOT would be the name of a program.
#[test]
fn options_behind_the_root() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let words = ["\"-it\" is no program", "options of sublet come before ROOT"];
    run(&scratch, &[root.text(), "-it", "sh"]).refused(&words);
    Program::sublet(&scratch).args(["create", root.text(), "-it", "sh"]).refused(&words);
    Leaks::of(&scratch).none();
}

#[test]
fn a_directory_is_no_program() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let done = run(&scratch, &[root.text(), "/bin"]).run();
    done.exits(126).explained(&["permission denied", "not a directory"]);
}

// ---- volumes

#[test]
fn a_volume_without_its_source() {
    requires!();
    refused(&["-v", "/no/such/source:/v"], &["/no/such/source"]);
}

/// A directory on a file, or the other way around.
#[test]
fn a_volume_of_another_kind_than_its_target() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let (directory, file) = (scratch.dir("directory"), scratch.file("file", ""));
    for volume in [format!("{directory}:/bin/busybox"), format!("{file}:/bin")] {
        let words = ["-v", &volume, root.text(), "true"];
        run(&scratch, &words).refused(&["mount a directory on a directory and a file on a file"]);
    }
}

#[test]
fn a_device_that_is_not_there() {
    requires!();
    refused(&["--device", "/dev/no-such"], &["/dev/no-such", "this machine has no such device"]);
}

#[test]
fn a_volume_that_is_not_well_formed() {
    requires!();
    for volume in
        ["", ":", ":/v", "/etc:", "/etc", "/etc:v", "/etc:/v:ro:ro", "/etc:/v:rw,ro", "/etc:/"]
    {
        refused(&["-v", volume], &["volume"]);
    }
}

#[test]
fn a_target_that_goes_up() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let source = scratch.dir("source");
    // Up from the root is the root; outside there is nothing.
    let unchanged = Canary::of(scratch.dir("beside"));
    for target in ["/../../v", "/../beside", "/a/../../../beside"] {
        let done = run(&scratch, &["-v", &format!("{source}:{target}")])
            .arg(root.path())
            .args(["echo", "works"])
            .run();
        if done.code() != 0 {
            done.refused(&[".."]);
        }
        unchanged.untouched();
    }
}

#[test]
fn a_name_with_a_newline_or_a_comma() {
    requires!();
    refused(&["-v", "/no/such\nsource:/v"], &["/no/such\\nsource"]);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    for name in ["a,b", "a\nb", "a,ro"] {
        let source = scratch.dir(name);
        fs::write(scratch.join(name).join("file"), "seen").unwrap();
        let words = ["-v", &format!("{source}:/v"), root.text(), "cat", "/v/file"];
        assert_eq!(run(&scratch, &words).ok(), "seen");
        let words = ["-v", &format!("{}:/{name}", scratch.dir("plain")), root.text(), "true"];
        run(&scratch, &words).ok();
    }
    // There a comma separates; it cannot be part of a name.
    let mount = format!("type=bind,src={},dst=/v", scratch.text("a,b"));
    run(&scratch, &["--mount", &mount, root.text(), "true"]).refused(&["b"]);
}

#[test]
fn two_things_at_one_place() {
    requires!();
    refused(&["--tmpfs", "/x", "-v", "/etc:/x"], &["/x"]);
    refused(&["-v", "/etc:/x", "-v", "/usr:/x/"], &["/x"]);
}

// ---- words

#[test]
fn users_that_are_none() {
    requires!();
    for user in ["4294967296", "-1", "0x0", "1000:", ""] {
        refused(&[&format!("--user={user}")], &["user"]);
    }
}

#[test]
fn names_that_are_none() {
    requires!();
    let long = "x".repeat(300);
    for name in ["a/b", "..", "", "-x", "a b", "a\nb", "a\u{1b}[2J", &long] {
        refused(&[&format!("--name={name}")], &["name"]);
    }
}

#[test]
fn hostnames_that_are_none() {
    requires!();
    let long = "x".repeat(300);
    for name in ["a/b", "..", "", "a b", "a\nb", "a\u{1b}[2J", "-x", &long] {
        refused(&[&format!("--hostname={name}")], &["host"]);
    }
}

#[test]
fn variables_that_are_none() {
    requires!();
    for variable in ["=x", "", "=", "a b\n=x"] {
        refused(&["-e", variable], &["--env"]);
    }
    refused(&["--env-file", "/no/such/file"], &["/no/such/file"]);
}

#[test]
fn a_variable_without_a_value_is_the_callers() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let words = ["-e", "IN", "-e", "OUT", root.text(), "sh", "-c", "echo $IN${OUT-none}"];
    assert_eq!(run(&scratch, &words).env("IN", "mine-").ok(), "mine-none");
}

#[test]
fn working_directories_that_are_none() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    for directory in ["/proc/self/fd/7", "relative", ""] {
        let option = format!("--workdir={directory}");
        run(&scratch, &[&option]).arg(root.path()).arg("true").refused(&[directory]);
    }
}

#[test]
fn numbers_that_are_none() {
    requires!();
    refused(&["--ulimit", "nofile"], &["ulimit"]);
    refused(&["--ulimit", "nofile=x"], &["nofile"]);
    refused(&["--ulimit", "nofile=10:5"], &["nofile"]);
    refused(&["--ulimit", "nosuch=1"], &["nosuch"]);
    refused(&["--umask", "9"], &["umask"]);
    refused(&["--umask", "7777777"], &["umask"]);
    refused(&["--shm-size", "much"], &["shm"]);
    refused(&["--shm-size=-1"], &["shm"]);
    refused(&["--oom-score-adj", "2000"], &["oom"]);
    refused(&["--tmpfs", "/x:size=99999999999999999999g"], &["size"]);
    refused(&["--uidmap", "0:x:1"], &["uidmap"]);
    refused(&["--uidmap", "4294967295:0:2"], &["uidmap"]);
    refused(&["--preserve-fds", "x"], &["preserve-fds"]);
}

#[test]
fn descriptors_that_are_not_open_cannot_be_kept() {
    requires!();
    refused(&["--preserve-fds", "5"], &["descriptor"]);
    // What the supervisor itself has open is not the caller's.
    refused(&["-d", "--preserve-fds", "3"], &["descriptor 3"]);
}

#[test]
fn modes_that_are_none() {
    requires!();
    refused(&["--userns", "no-such"], &["no-such"]);
    refused(&["--userns", "keep-id:uid=x"], &["keep-id"]);
    refused(&["--network", "no-such"], &["no-such"]);
    refused(&["--pid", "no-such"], &["no-such"]);
    refused(&["--ipc", "no-such"], &["no-such"]);
    refused(&["--cgroupns", "no-such"], &["no-such"]);
    refused(&["--security-opt", "no-such=1"], &["no-such"]);
    refused(&["--no-such-option"], &["--no-such-option"]);
}

#[test]
fn options_that_contradict_each_other() {
    requires!();
    refused(&["--userns", "single", "--uidmap", "0:0:1"], &["uidmap"]);
    refused(&["--uts", "host", "--hostname", "x"], &["hostname"]);
}

/// What is asked for and cannot be had is an error, never silently dropped.
#[test]
fn protections_that_cannot_be_had() {
    requires!();
    refused(&["--security-opt", "apparmor=no-such-profile"], &["apparmor"]);
    refused(&["--security-opt", "label=type:no_such_t"], &["label"]);
}

#[test]
fn a_terminal_that_is_not_one() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    // As docker: -t together with input that is no terminal cannot work.
    let done = run(&scratch, &["-i", "-t", root.text(), "true"]).input("").run();
    if done.code() != 0 {
        done.refused(&["terminal"]);
    }
}

// ---- what the machine runs out of

#[test]
fn fifty_descriptors_are_no_hindrance() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let host = fs::File::open("/").unwrap();
    let program = run(&scratch, &[root.text(), "sh", "-c", "ls /proc/self/fd | wc -l"]);
    let program = (10..60).fold(program, |program, at| program.inherit(&host, at));
    // 0, 1, 2, and the one that reads the directory.
    assert_eq!(program.ok(), "4");
}

/// A directory that is no root is left as it is.
#[test]
fn a_directory_of_other_things() {
    requires!();
    let at = At::new();
    let root = at.root.text();
    let directory = at.scratch.path().join("project");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("make"), "all:").unwrap();
    let typed = directory.to_str().unwrap();
    let throw_away = format!("{typed}:O");
    let words = ["is no root filesystem", "\"ls\"", "host ls", "podman export"];
    let cache = format!("{root}/tmp:/cache");
    for options in [&["run"][..], &["run", "-d"], &["run", "-v", &cache]] {
        for typed in [typed, &throw_away] {
            let done = at.sublet(&[options, &[typed, "ls"]].concat()).run();
            done.explained(&words);
            done.exits(127);
        }
    }
    at.sublet(&["run", "--rm", typed]).run().explained(&["is no root filesystem", "\"/bin/sh\""]);
    let names: Vec<_> =
        fs::read_dir(&directory).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["make"]);
    assert_eq!(at.sublet(&["ps", "-aq"]).ok(), "");
    // It may be filled until it is started.
    at.sublet(&["create", "--name", "later", typed, "ls"]).ok();
    at.sublet(&["start", "later"]).run().explained(&["is no root filesystem"]);
    at.sublet(&["rm", "later"]).ok();
    // A program alone is enough, there or mounted.
    let bin = format!("{root}/bin:/elsewhere");
    let script = ["sh", "-c", "echo works"];
    let run =
        |options: &[&str]| at.sublet(&[&["run", "--rm"], options, &script[1..]].concat()).ok();
    assert_eq!(run(&["-v", &bin, typed, "/elsewhere/sh"]), "works");
    fs::hard_link(at.root.path().join("bin/busybox"), directory.join("sh")).unwrap();
    assert_eq!(run(&[typed, "./sh"]), "works");
    assert_eq!(run(&[typed, "/sh"]), "works");
}

#[test]
fn no_descriptors_left() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    // Enough to start, too few for the work; with a helper that may be started,
    // and then ends with the container.
    let mut refused = 0;
    for most in 6..50 {
        let program = Program::run_usual(&scratch).args(["--rm", root.text(), "echo", "works"]);
        let done = program.inside(&format!(r#"ulimit -n {most}; exec "$@""#)).run();
        match done.code() {
            0 => assert_eq!(done.stdout(), "works\n", "{most}"),
            _ => {
                refused += 1;
                // The C library has its own words for the cause.
                done.refused(&["ulimit -n"]);
                assert!(!done.stderr.contains("killed"), "{most}: {}", done.stderr);
            }
        }
    }
    assert!(refused > 5, "only {refused}");

    // As many of the user's are under way as there may be (unix(7)): nobody waits
    // for one that was not sent. Here, for they count for all that runs.
    let at = At::new();
    let running = at.start("web", &[], "echo ready; exec sleep 600");
    let (ours, _theirs) = UnixDatagram::pair().unwrap();
    let file = fs::File::open("/").unwrap();
    let all = [file.as_raw_fd(); 100];
    sendmsg::<()>(
        ours.as_raw_fd(),
        &[IoSlice::new(b"x")],
        &[ControlMessage::ScmRights(&all)],
        MsgFlags::empty(),
        None,
    )
    .unwrap();
    let done = at.sublet(&["exec", "web", "true"]).inside(r#"ulimit -n 50; exec "$@""#).run();
    done.refused(&["Too many references", "unix(7)", "ulimit -n"]);
    drop(ours);
    at.sublet(&["rm", "-f", "web"]).ok();
    running.wait();
}

#[test]
fn no_namespaces_left() {
    requires!(unshare);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    for limit in ["max_user_namespaces", "max_mnt_namespaces", "max_net_namespaces"] {
        let script = format!(r#"echo 0 >/proc/sys/user/{limit}; exec "$@""#);
        let program = run(&scratch, &[root.text(), "true"]);
        // ENOSPC, which is "No space left on device" and has nothing to do
        // with a device.
        let done = program.inside_namespaces(&script).run();
        done.refused(&[&format!("user.{limit}")]);
        assert!(!done.stderr.contains("No space left"), "{}", done.stderr);
    }
}

#[test]
fn no_processes_left() {
    requires!(ordinary_user, unshare);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    // The limit is counted in each user namespace, so this one's is not the
    // other tests'.
    let program = run(&scratch, &[root.text(), "true"]);
    let done = program.inside_namespaces(r#"exec prlimit --nproc=1 "$@""#).run();
    if done.code() != 0 {
        done.refused(&["processes"]);
    }
}

/// A disk of 64 KiB, full, for everything that the launcher writes.
#[test]
fn a_full_disk_for_its_own_files() {
    requires!(unshare);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let script = r#"
        for d in "$XDG_RUNTIME_DIR" "$XDG_STATE_HOME" "$XDG_DATA_HOME" "$XDG_CACHE_HOME" "$TMPDIR"; do
            mount -t tmpfs -o size=64k,nr_inodes=4 none "$d"
            dd if=/dev/zero of="$d/full" bs=1k count=64 2>/dev/null || :
            touch "$d/1" "$d/2" 2>/dev/null || :
        done
        exec "$@""#;
    let program = run(&scratch, &["-h", "box", root.text(), "cat", "/etc/hostname"]);
    let done = program.inside_namespaces(script).run();
    match done.code() {
        0 => assert_eq!(done.stdout(), "box\n"),
        _ => drop(done.refused(&["full"])),
    }
}

/// The root itself on a full disk, and without a single place to mount on.
#[test]
fn a_full_disk_for_the_root() {
    requires!(unshare);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let full = scratch.dir("full");
    let script = r#"
        mount -t tmpfs -o size=4m none "$FULL"
        mkdir "$FULL/bin"; cp "$BUSYBOX" "$FULL/bin/busybox"; ln -s busybox "$FULL/bin/true"
        dd if=/dev/zero of="$FULL/rest" bs=4k 2>/dev/null || :
        exec "$@""#;
    let program = run(&scratch, &[&full, "true"]);
    let program = program.env("FULL", &full).env("BUSYBOX", root.join("bin/busybox"));
    let done = program.inside_namespaces(script).run();
    if done.code() != 0 {
        done.refused(&["/proc"]);
    }
}

#[test]
fn full_output_is_the_payloads_affair() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let program = run(&scratch, &[root.text(), "sh", "-c", "echo x || exit 4"]);
    program.inside(r#"exec "$@" >/dev/full"#).run().exits(4);
}
