//! Who would get more than a container is to have.

use std::fs::{self, File};
use std::io::{Read, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde_json::json;

use super::bundle::Bundle;
use crate::common::*;

#[test]
fn ids_are_names_of_directories_and_nothing_else() {
    requires!();
    let bundle = Bundle::new(&["true"]);
    let long = "x".repeat(65);
    for id in ["..", ".", "", "a/../../x", "/etc", "a b", "a\nb", "\u{1b}[2J", "é", &long] {
        for verb in ["state", "start", "delete", "kill"] {
            bundle.oci(&[verb, id]).exits(1).explained(&["invalid container id"]);
        }
        bundle.oci(&["delete", "--force", id]).exits(1).explained(&["invalid container id"]);
        bundle.create(id).exits(1).explained(&["invalid container id"]);
    }
    // What looks like an option is none of ours.
    bundle.oci(&["state", "-rf"]).exits(1);
    assert_eq!(bundle.left(), 0);
}

/// It waits for who knows how long, and a process of the same pid namespace may
/// be hostile.
#[test]
fn who_waits_can_not_be_looked_into() {
    requires!(ordinary_user);
    let bundle = Bundle::new(&["sleep", "600"]);
    bundle.create("web").exits(0);
    let pid = bundle.state("web")["pid"].as_i64().expect("a pid");
    for file in ["environ", "maps"] {
        let opened = File::open(format!("/proc/{pid}/{file}"));
        let read = opened.and_then(|mut file| file.read_to_end(&mut Vec::new()));
        assert!(read.is_err(), "/proc/{pid}/{file} can be read");
    }
    assert!(fs::read_dir(format!("/proc/{pid}/fd")).is_err());
    bundle.oci(&["start", "web"]).ok();
    let shown = || fs::read_dir(format!("/proc/{pid}/fd")).is_ok().then_some(());
    eventually(10.0, shown).expect("the payload is the caller's own");
}

/// conmon and others leave descriptors open: one that a container that waits
/// held would keep a pipe from its end, or be a way out.
#[test]
fn who_waits_holds_nothing_of_the_callers() {
    requires!();
    let bundle = Bundle::new(&["ls", "/proc/self/fd"]);
    let (mut reader, writer) = pipe().expect("a pipe");
    let words = ["create", "--bundle", &bundle.path(), "web"];
    let script = "exec \"$@\" >/dev/null 2>&1";
    bundle.command(&words).inside(script).inherit(&writer, 9).run().exits(0);
    drop(writer);
    assert_eq!(bundle.state("web")["status"], "created");
    assert_eq!(reader.read(&mut [0]).expect("its end"), 0);
    bundle.oci(&["delete", "-f", "web"]).ok();
    // But what is handed down, it has.
    let file = File::open(bundle.scratch.file("handed", "down\n")).expect("a file");
    let bundle = bundle.set("/process/args", json!(["sh", "-c", "cat <&3; cat <&4"]));
    let words = ["run", "--preserve-fds", "1", "--bundle", &bundle.path(), "web"];
    let done = bundle.command(&words).inherit(&file, 3).inherit(&file, 4).run();
    assert!(done.stdout() == "down\n" && done.code() != 0, "{} {}", done.stdout(), done.stderr);
    let words = ["run", "--preserve-fds", "3", "--bundle", &bundle.path(), "web"];
    bundle.command(&words).run().exits(1).explained(&["--preserve-fds"]);
}

/// With /proc/self/exe a payload gets at what has executed it (CVE-2019-5736),
/// and no process of ours stays that would keep that busy.
#[test]
fn a_runtime_of_the_callers_own_executes_a_copy() {
    requires!(ordinary_user);
    let bundle = Bundle::new(&["sh", "-c", "exec sleep 600"]);
    let program = bundle.scratch.join("mine");
    spawn::place(|| fs::copy(launcher(), &program));
    let link = bundle.scratch.join("sublet-oci");
    fs::remove_file(&link).expect("the link");
    std::os::unix::fs::symlink(&program, &link).expect("a link");
    bundle.create("web").exits(0);
    // Nobody could write to a file that is executed (ETXTBSY), until its last
    // process has ended: the one that waits executes another.
    File::options().write(true).open(&program).expect("a file that nobody executes");
    bundle.oci(&["start", "web"]).ok();
}

/// `--root` may be any directory of the caller's, and an id what is there.
#[test]
fn what_others_have_beside_the_containers_stays() {
    requires!();
    let bundle = Bundle::new(&["sleep", "600"]);
    let place = bundle.scratch.dir("place");
    let bundle = bundle.globally(&["--root", &place]);
    fs::create_dir_all(format!("{place}/web/deep")).expect("a directory");
    fs::create_dir_all(format!("{place}/.dead-web/deep")).expect("a directory");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = bundle.path();
    let create = bundle.oci(&["create", "--bundle", &path, "web"]);
    create.exits(1).explained(&["web", "exists and is not sublet-oci's", "--root"]);
    let delete = bundle.oci(&["delete", "--force", "web"]);
    delete.exits(1).explained(&["web", "exists and is not sublet-oci's"]);
    bundle.oci(&["list"]).ok();
    for kept in ["web/deep", ".dead-web/deep"] {
        assert!(fs::exists(format!("{place}/{kept}")).expect("a look"), "{kept} is gone");
    }
    let mode = fs::metadata(&place).expect("it").permissions().mode();
    assert_eq!(mode & 0o777, 0o755, "the directory is the caller's");
}

/// Such as a command that was stopped on its way.
#[test]
fn who_says_nothing_at_the_doorstep_keeps_nobody_out() {
    requires!();
    let bundle = Bundle::new(&["sleep", "600"]);
    bundle.create("web").exits(0);
    let directory = File::open(bundle.scratch.join("run/sublet-oci/web")).expect("its directory");
    let flags = SockFlag::SOCK_CLOEXEC;
    let visitor = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).expect("a socket");
    let address = format!("/proc/self/fd/{}/doorstep", directory.as_raw_fd());
    let address = UnixAddr::new(address.as_str()).expect("an address");
    connect(visitor.as_raw_fd(), &address).expect("somebody listens");
    for _ in 0..30 {
        assert_eq!(bundle.state("web")["status"], "created");
    }
    bundle.oci(&["start", "web"]).ok();
    assert_eq!(bundle.state("web")["status"], "running");
}

#[test]
fn a_descriptor_of_a_directory_is_no_stream() {
    requires!();
    let bundle = Bundle::new(&["true"]);
    let words = ["create", "--bundle", &bundle.path(), "web"];
    let done = bundle.command(&words).inside("exec \"$@\" </").run();
    done.exits(1).explained(&["standard input is a directory"]);
}
