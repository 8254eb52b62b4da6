//! System calls, sockets, namespaces of its own, keys (C27, C29-C33).

use std::sync::Mutex;

use serde_json::{Value, json};

use super::{Fired, Launcher, Subject, class, other_than};
use crate::common::*;

/// What the filter answers.
const REFUSED: [&str; 2] = ["ENOSYS", "EPERM"];

class! {
    /// C29: calls that no payload needs and that have been ways out.
    c29_system_calls(super::system_calls) needs []
    weak "seccomp" []
    bubblewrap [] []
}

class! {
    /// C31: the gate of 32-bit programs is shut.
    c31_other_architectures(super::other_architectures) needs []
    weak "seccomp" [ia32]
    bubblewrap [] [ia32]
}

class! {
    /// C32: local and internet sockets, and of netlink the harmless part.
    c32_sockets(super::sockets) needs []
    weak "seccomp" []
    bubblewrap [] []
}

class! {
    /// C33: no namespace can be made, and none joined.
    c33_namespaces(super::namespaces) needs []
    weak "seccomp" []
    bubblewrap [] []
}

class! {
    /// C27: keys belong to the user, not to the container.
    c27_keys(super::keys) needs [keyring]
    weak "seccomp" []
    bubblewrap [] []
}

/// Calls that have to be refused, by the filter and not by chance.
const FORBIDDEN: &[(&str, i64)] = &[
    ("acct", libc::SYS_acct),
    ("add_key", libc::SYS_add_key),
    ("bpf", libc::SYS_bpf),
    ("clock_settime", libc::SYS_clock_settime),
    ("clone3", libc::SYS_clone3),
    ("delete_module", libc::SYS_delete_module),
    ("finit_module", libc::SYS_finit_module),
    ("fsconfig", libc::SYS_fsconfig),
    ("fsmount", libc::SYS_fsmount),
    ("fsopen", libc::SYS_fsopen),
    ("fspick", libc::SYS_fspick),
    ("init_module", libc::SYS_init_module),
    ("io_uring_enter", libc::SYS_io_uring_enter),
    ("io_uring_register", libc::SYS_io_uring_register),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("ioperm", libc::SYS_ioperm),
    ("iopl", libc::SYS_iopl),
    ("kcmp", libc::SYS_kcmp),
    ("kexec_file_load", libc::SYS_kexec_file_load),
    ("kexec_load", libc::SYS_kexec_load),
    ("keyctl", libc::SYS_keyctl),
    ("listmount", 458),
    ("listns", 470),
    ("lookup_dcookie", libc::SYS_lookup_dcookie),
    ("mount", libc::SYS_mount),
    ("mount_setattr", libc::SYS_mount_setattr),
    ("move_mount", libc::SYS_move_mount),
    ("name_to_handle_at", libc::SYS_name_to_handle_at),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("open_tree", libc::SYS_open_tree),
    ("open_tree_attr", 467),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("pivot_root", libc::SYS_pivot_root),
    ("process_madvise", libc::SYS_process_madvise),
    ("quotactl", libc::SYS_quotactl),
    ("quotactl_fd", libc::SYS_quotactl_fd),
    ("reboot", libc::SYS_reboot),
    ("request_key", libc::SYS_request_key),
    ("setns", libc::SYS_setns),
    ("settimeofday", libc::SYS_settimeofday),
    ("statmount", 457),
    ("swapoff", libc::SYS_swapoff),
    ("swapon", libc::SYS_swapon),
    ("syslog", libc::SYS_syslog),
    ("umount2", libc::SYS_umount2),
    ("unshare", libc::SYS_unshare),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("vmsplice", libc::SYS_vmsplice),
];

fn system_calls(subject: &Subject) -> Fired {
    let seen = subject.probe(&[], &["syscalls"]);
    FORBIDDEN
        .iter()
        .filter_map(|(name, number)| {
            let outcome = seen[number.to_string()].as_str().expect("an outcome");
            (!REFUSED.contains(&outcome)).then(|| format!("{name}: {outcome}"))
        })
        .collect()
}

fn other_architectures(subject: &Subject) -> Fired {
    let seen = subject.probe(&[], &["int80"]);
    // A kernel without 32-bit support answers with a signal.
    other_than(&["ENOSYS", "EPERM", "signal 11"], &seen)
}

/// From linux/netlink.h.
const ROUTE: u64 = 0;
const KOBJECT_UEVENT: u64 = 15;
const GENERIC: u64 = 16;

fn sockets(subject: &Subject) -> Fired {
    let seen = subject.probe(&[], &["sockets"]);
    let number = |word: &Value| word.as_u64().expect("a number");
    let opened = seen["opened"].as_array().expect("a list").iter().filter(|triple| {
        let [family, kind, protocol] = [0, 1, 2].map(|at| number(&triple[at]));
        match i32::try_from(family).expect("small") {
            libc::AF_UNIX => false,
            // A raw socket takes a capability that is not among the eleven.
            libc::AF_INET | libc::AF_INET6 => kind == 3 || kind == 10,
            libc::AF_NETLINK => ![ROUTE, KOBJECT_UEVENT, GENERIC].contains(&protocol),
            _ => true,
        }
    });
    let pairs = seen["pairs"].as_array().expect("a list").iter();
    let pairs = pairs.filter(|family| number(family) != libc::AF_UNIX as u64);
    opened
        .map(|triple| format!("socket {triple}"))
        .chain(pairs.map(|family| format!("socketpair of {family}")))
        .collect()
}

fn namespaces(subject: &Subject) -> Fired {
    other_than(&REFUSED, &subject.probe(&[], &["clone-flags"]))
}

/// The kernel counts keys by user: tests that make some, or count, take turns.
static KEYS: Mutex<()> = Mutex::new(());

fn keys(subject: &Subject) -> Fired {
    let _turn = KEYS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // The canary goes into the user's own keyring, which every process of
    // that user possesses, in whatever namespace.
    Program::new(probe()).args(["keyring", "sublet-canary"]).ok();
    other_than(&REFUSED, &subject.probe(&[], &["keyring", "sublet-canary"]))
}

#[test]
fn c27_containers_make_no_keys() {
    requires!(keyring);
    let _turn = KEYS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let subject = Subject::new(Launcher::Sublet);
    let count = || {
        let all = std::fs::read_to_string("/proc/key-users").unwrap();
        let own = format!("{}:", caller().0);
        let line = all.lines().find(|line| line.trim_start().starts_with(&own));
        // uid: usage keys/instantiated ...
        line.and_then(|line| line.split_whitespace().nth(2)?.split('/').next()?.parse::<u32>().ok())
    };
    let before = count();
    for _ in 0..20 {
        subject.program(&[], &["true"]).ok();
    }
    assert!(count() <= before, "from {before:?} to {:?}", count());
}

/// C29 the other way round: what programs live on is let through, and what is
/// not known yet is answered as an old kernel would.
#[test]
fn c29_what_programs_need_is_let_through() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    let seen = subject.probe(&[], &["syscalls"]);
    let open = subject.probe(&["--security-opt", "seccomp=unconfined"], &["syscalls"]);
    let needed = [
        libc::SYS_read,
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_mmap,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_futex,
        libc::SYS_epoll_wait,
        libc::SYS_epoll_pwait2,
        libc::SYS_ptrace,
        libc::SYS_statx,
        libc::SYS_getrandom,
        libc::SYS_memfd_create,
        libc::SYS_copy_file_range,
        libc::SYS_close_range,
        libc::SYS_faccessat2,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_landlock_create_ruleset,
        libc::SYS_seccomp,
        libc::SYS_chroot,
        libc::SYS_rseq,
        libc::SYS_setresuid,
        libc::SYS_setgroups,
        libc::SYS_sched_setaffinity,
        libc::SYS_prctl,
        libc::SYS_splice,
        libc::SYS_inotify_add_watch,
        libc::SYS_fchmodat2,
        libc::SYS_membarrier,
    ];
    for number in needed {
        let number = number.to_string();
        assert_eq!(seen[&number], open[&number], "call {number} is not let through");
    }
    for number in 480..=600 {
        assert_eq!(seen[number.to_string()], "ENOSYS", "call {number}");
    }
}

#[test]
fn c31_x32_numbers_are_unknown() {
    requires!();
    let seen = Subject::new(Launcher::Sublet).probe(&[], &["x32"]);
    assert_eq!(seen, json!({ "getpid": "ENOSYS" }));
}

/// C33: glibc falls back from clone3 to clone only where it is unknown.
#[test]
fn c33_the_errors_are_those_that_libraries_expect() {
    requires!();
    let seen = Subject::new(Launcher::Sublet).probe(&[], &["clone-flags"]);
    for (tried, outcome) in seen.as_object().unwrap() {
        let expected = if tried.starts_with("clone3") { "ENOSYS" } else { "EPERM" };
        assert_eq!(outcome, expected, "{tried}");
    }
}

/// C33: opening up for containers inside opens no more than that.
#[test]
fn c33_nested_opens_namespaces_and_little_else() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    let seen = subject.probe(&["--nested"], &["clone-flags"]);
    for tried in ["unshare user", "clone user"] {
        assert_eq!(seen[tried], "ok", "{seen}");
    }
    let sockets = subject.probe(&["--nested"], &["sockets"]);
    for triple in sockets["opened"].as_array().unwrap() {
        let (family, protocol) = (&triple[0], &triple[2]);
        assert!([1, 2, 10, 16].iter().any(|known| family == known), "{triple}");
        // NETLINK_XFRM and NETLINK_NETFILTER.
        assert!(family != 16 || (protocol != 6 && protocol != 12), "{triple}");
    }
    let keys = subject.probe(&["--nested"], &["keyring", "none"]);
    assert_eq!(other_than(&REFUSED, &keys), [""; 0]);
}

/// C32: libraries that look whether auditing is on have to be told that it is
/// not, and not that they lack a right.
#[test]
fn c32_audit_looks_as_if_the_kernel_had_none() {
    requires!();
    let seen = Subject::new(Launcher::Sublet).probe(&[], &["sockets"]);
    let refused = seen["refused"]["16"].to_string();
    assert!(!refused.contains("EPERM") && !refused.contains("EACCES"), "{refused}");
    let alg = seen["refused"]["38"].to_string();
    assert!(!alg.contains("ok"), "{alg}");
}

#[test]
fn a_filter_of_the_callers_is_used() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42 }],
    });
    let file = subject.scratch.file("profile.json", profile.to_string());
    let seen = subject.probe(&["--security-opt", &format!("seccomp={file}")], &["cwd"]);
    assert_eq!(seen["getcwd"], "ENOMSG");
}

#[test]
fn a_filter_that_cannot_be_used_is_refused() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    let no_json = subject.scratch.file("no.json", "{");
    let no_action = subject.scratch.file("action.json", r#"{"defaultAction":"SCMP_ACT_NONSENSE"}"#);
    for file in [no_json.as_str(), no_action.as_str(), "/no/such"] {
        let option = format!("seccomp={file}");
        subject.program(&["--security-opt", &option], &["true"]).refused(&[file]);
    }
}
