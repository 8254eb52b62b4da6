//! The deed for real: a child in a new user namespace, as root and as an
//! ordinary user.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::error::report;
use crate::host::helper::Helper;
use crate::host::passwd::Passwd;
use crate::host::subid::Kind;
use crate::plan::idmap::{Ids, Rung, Why, here};
use crate::spec::Userns;

/// A process that waits in a user namespace of its own.
struct Waiting(Child);

impl Waiting {
    /// `None` with a word on it where this machine makes none.
    fn new() -> Option<Self> {
        let child = Command::new("unshare")
            .args(["--user", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!("skipped: unshare is not installed");
            return None;
        };
        let mut waiting = Self(child);
        let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/user"));
        let ours = namespace("self").unwrap();
        let pid = waiting.0.id().to_string();
        let started = Instant::now();
        while namespace(&pid).is_ok_and(|theirs| theirs == ours) {
            if waiting.0.try_wait().unwrap().is_some() || started.elapsed().as_secs() > 10 {
                eprintln!("skipped: no user namespace on this machine");
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Some(waiting)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).unwrap()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn own(size: u32) -> Idmap {
    let caller = Host::new().caller().unwrap().clone();
    Idmap {
        uids: vec![Mapping { inside: 0, outside: caller.euid, size }],
        gids: vec![Mapping { inside: 0, outside: caller.egid, size }],
        setgroups: Setgroups::Deny,
        writer: Writer::Direct,
        rung: Rung::Single(Why::Asked),
        default_user: Ids { uid: 0, gid: 0 },
    }
}

fn write(map: &Idmap, child: &Waiting) -> anyhow::Result<()> {
    let host = Host::new();
    begin(map, child.pid(), &host)?.finish()
}

#[test]
fn one_id_is_written_directly() {
    let Some(child) = Waiting::new() else { return };
    write(&own(1), &child).unwrap();
    assert_eq!(child.file("setgroups"), "deny\n");
    assert_eq!(parse_map(child.file("uid_map").as_bytes()).unwrap(), own(1).uids);
}

#[test]
fn a_map_is_written_once() {
    let Some(child) = Waiting::new() else { return };
    write(&own(1), &child).unwrap();
    let text = report(&write(&own(1), &child).unwrap_err());
    assert!(text.contains(&format!("/proc/{}/", child.0.id())), "{text}");
    assert!(text.contains("\n hint: "), "{text}");
}

#[test]
fn a_process_that_has_ended_is_said_so() {
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let host = Host::new();
    let (map, pid) = (own(1), Pid::from_raw(gone.id().cast_signed()));
    let text = report(&begin(&map, pid, &host).unwrap_err());
    assert!(text.starts_with(&format!("error: open /proc/{pid}: ")), "{text}");
}

#[test]
fn a_map_that_differs_from_the_plan_is_an_error() {
    let Some(child) = Waiting::new() else { return };
    let host = Host::new();
    let mut map = own(1);
    write(&map, &child).unwrap();
    map.uids[0].inside = 7;
    let process = Process::open(child.pid()).unwrap();
    let pending = Pending { map: &map, process: Some(process), helpers: Vec::new(), host: &host };
    let text = report(&pending.finish().unwrap_err());
    assert!(text.contains("and not the planned \"7 "), "{text}");
}

#[test]
fn what_a_helper_complains_of_is_the_error() {
    let Some(child) = Waiting::new() else { return };
    let host = Host::new();
    let Ok(newuidmap) = host.helper(Helper::Newuidmap).unwrap() else {
        eprintln!("skipped: newuidmap can't work here");
        return;
    };
    let gid = host.caller().unwrap().gid;
    if !host.account().unwrap().is_ok_and(|account| account.user.gid == gid) {
        eprintln!("skipped: newuidmap serves no caller without its primary group");
        return;
    }
    let mut map = own(1);
    map.setgroups = Setgroups::Allow;
    map.writer = Writer::Helpers { newuidmap: newuidmap.clone(), newgidmap: "/bin/false".into() };
    map.uids[0] = Mapping { inside: 0, outside: 4_000_000_000, size: 5 };
    let text = report(&write(&map, &child).unwrap_err());
    assert!(
        text.starts_with(&format!("error: run {}: newuidmap: ", newuidmap.display())),
        "{text}"
    );
    assert!(
        text.contains("not allowed") && text.contains("hint: newuidmap or newgidmap knows"),
        "{text}"
    );
    map.uids = own(1).uids;
    map.writer = Writer::Helpers { newuidmap: "/bin/true".into(), newgidmap: "/bin/false".into() };
    let text = report(&write(&map, &child).unwrap_err());
    assert!(text.starts_with("error: run /bin/false: exit status: 1"), "{text}");
    map.writer = Writer::Helpers { newuidmap: "/bin/true".into(), newgidmap: "/bin/true".into() };
    let text = report(&write(&map, &child).unwrap_err());
    assert!(text.contains("/uid_map holds \"\" and not the planned"), "{text}");
}

/// What this machine gives the caller, written and read back.
#[test]
fn what_is_decided_for_this_machine_is_written() {
    let keep_id = Userns::KeepId { uid: Some(7), gid: None };
    for userns in [Userns::Auto, Userns::Single, keep_id, Userns::NoMap] {
        let Some(child) = Waiting::new() else { return };
        match here(&userns, &[], &[]) {
            Ok(map) => {
                write(&map, &child).unwrap();
                eprintln!("wrote: {map}");
            }
            Err(why) => eprintln!("skipped: {}", report(&why)),
        }
    }
}

/// A range of users beside the own group alone: newgidmap denies setgroups.
#[test]
fn an_own_group_alone_denies_setgroups() {
    let Some(child) = Waiting::new() else { return };
    let host = Host::new();
    let Some(range) = host.subids(Kind::Uid).unwrap().ranges.first().copied() else {
        eprintln!("skipped: the caller has no range of ids");
        return;
    };
    let caller = host.caller().unwrap();
    let uids = [(0, range.start, range.count), (range.count, caller.euid, 1)];
    match here(&Userns::Custom, &uids, &[(5, caller.egid, 1)]) {
        Ok(map) => {
            write(&map, &child).unwrap();
            let expected = if caller.may_write_maps() { "allow\n" } else { "deny\n" };
            assert_eq!(child.file("setgroups"), expected);
        }
        Err(why) => eprintln!("skipped: {}", report(&why)),
    }
}

/// Root runs all of this again as the ordinary user `tester`, who has ranges.
#[test]
fn as_an_ordinary_user() {
    if !nix::unistd::geteuid().is_root() || std::env::var_os("SUBLET_TEST_AS_USER").is_some() {
        return;
    }
    let file = std::fs::File::open("/etc/passwd").unwrap();
    let Some(tester) = Passwd::read(file).unwrap().by_name("tester") else {
        eprintln!("skipped: there is no user tester");
        return;
    };
    let copy = std::env::temp_dir().join(format!("sublet-idmap-{}", std::process::id()));
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(&copy);
    command
        .args(["idmap::tests::", "--skip", "plan::", "--nocapture"])
        .env("SUBLET_TEST_AS_USER", "1")
        .current_dir("/")
        .uid(tester.uid)
        .gid(tester.gid);
    // A test beside this one may be between fork and exec, with the copy still
    // open for writing.
    let output = loop {
        match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            output => break output,
        }
    };
    std::fs::remove_file(&copy).unwrap();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{text}", String::from_utf8_lossy(&output.stdout));
    if Command::new("newuidmap").output().is_ok() {
        assert!(text.contains("a range of ids, you are root inside"), "{text}");
    }
}
