//! Profiles as docker, podman and bundles write them, good and bad.

use std::fs;
use std::os::unix::fs::symlink;

use super::super::bpf::Flags;
use super::super::{Program, from_file, from_oci};
use super::interpreter::check;
use super::*;
use crate::error::report;

const HERE: Circumstances = Circumstances {
    arch: Arch::X86_64,
    caps: CapSet::DEFAULT,
    nesting: Nesting::Refused,
    kernel: KERNEL,
};

/// A profile that allows nothing but for these entries.
fn filter(entries: &str) -> Filter {
    filter_here(entries, &HERE)
}

fn filter_here(entries: &str, here: &Circumstances) -> Filter {
    let json = format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [{entries}]}}"#
    );
    Filter::new(&json, here)
}

fn refused(json: &str) -> String {
    let error = match serde_json::from_str(json) {
        Ok(profile) => Policy::settle(&profile, &HERE).unwrap_err(),
        Err(error) => error.into(),
    };
    report(&error)
}

fn refused_entry(entry: &str) -> String {
    refused(&format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{entry}]}}"#))
}

#[test]
fn every_action_has_its_word() {
    let file = filter(
        r#"{"names": ["read"], "action": "SCMP_ACT_KILL"},
           {"names": ["write"], "action": "SCMP_ACT_KILL_THREAD"},
           {"names": ["open"], "action": "SCMP_ACT_KILL_PROCESS"},
           {"names": ["close"], "action": "SCMP_ACT_TRAP"},
           {"names": ["stat"], "action": "SCMP_ACT_ERRNO"},
           {"names": ["fstat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
           {"names": ["lstat"], "action": "SCMP_ACT_ERRNO", "errno": "EACCES"},
           {"names": ["poll"], "action": "SCMP_ACT_TRACE", "errnoRet": 500},
           {"names": ["lseek"], "action": "SCMP_ACT_LOG"},
           {"names": ["mmap"], "action": "SCMP_ACT_ALLOW"},
           {"names": ["brk"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
           {"names": ["bind"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4095}"#,
    );
    for (name, verdict) in [
        ("read", "kill-thread"),
        ("write", "kill-thread"),
        ("open", "kill-process"),
        ("close", "trap"),
        ("stat", "EPERM"),
        ("fstat", "EACCES"),
        ("lstat", "EACCES"),
        ("poll", "trace-500"),
        ("lseek", "log"),
        ("mmap", "allow"),
        ("brk", "errno-0"),
        ("bind", "errno-4095"),
        ("munmap", "ENOSYS"),
    ] {
        assert_eq!(file.judge(name, &[]), verdict, "{name}");
    }
}

#[test]
fn dockers_form_is_read_as_docker_reads_it() {
    let json = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null}
        ],
        "syscalls": [
            {"names": ["read", "fstat64", "socketcall"], "action": "SCMP_ACT_ALLOW"},
            {"name": "write", "action": "SCMP_ACT_ALLOW", "args": null},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["mseal"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "9.0"}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}],
             "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "mips3l64n32"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 1, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}],
             "comment": "other order", "includes": {"arches": ["s390", "s390x"]},
             "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone", "mount"], "action": "SCMP_ACT_ALLOW",
             "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["chroot"], "action": "SCMP_ACT_ALLOW",
             "includes": {"caps": ["CAP_SYS_CHROOT", "CAP_SYS_ADMIN"]}}
        ]
    }"#;
    let usual = Filter::new(json, &HERE);
    let admin = CapSet::DEFAULT.or(caps("SYS_ADMIN"));
    let privileged = Filter::new(json, &Circumstances { caps: admin, ..HERE });
    const NEWUSER: u64 = 0x1000_0000;
    for (name, args, usually, with_admin) in [
        ("read", 0, "allow", "allow"),
        ("write", 0, "allow", "allow"),
        ("ptrace", 0, "allow", "allow"),
        ("mseal", 0, "EPERM", "EPERM"),
        ("clone", 0x11, "allow", "allow"),
        ("clone", NEWUSER, "EPERM", "allow"),
        ("mount", 0, "EPERM", "allow"),
        ("chroot", 0, "EPERM", "allow"),
        ("openat", 0, "EPERM", "EPERM"),
    ] {
        assert_eq!(usual.judge(name, &[args]), usually, "{name}");
        assert_eq!(privileged.judge(name, &[args]), with_admin, "{name}");
    }
}

#[test]
fn podmans_form_is_read_as_podman_reads_it() {
    let json = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
        "syscalls": [
            {"names": ["vmsplice"], "action": "SCMP_ACT_ERRNO", "args": [], "comment": "",
             "includes": {}, "excludes": {}, "errnoRet": 1, "errno": "EPERM"},
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "errno": "EINVAL",
             "args": [{"index": 0, "value": 16, "valueTwo": 0, "op": "SCMP_CMP_EQ"},
                      {"index": 2, "value": 9, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
             "excludes": {"caps": ["CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL"]}},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 2, "value": 9, "valueTwo": 0, "op": "SCMP_CMP_NE"}]},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "errno": "", "errnoRet": null}
        ]
    }"#;
    let filter = Filter::new(json, &HERE);
    assert_eq!(filter.judge("vmsplice", &[]), "EPERM");
    assert_eq!(filter.judge("socket", &[16, 3, 9]), "EINVAL");
    assert_eq!(filter.judge("socket", &[16, 3, 0]), "allow");
    assert_eq!(filter.judge("socket", &[2, 3, 9]), "ENOSYS");
    assert_eq!(filter.judge("bpf", &[]), "allow");
    let either = Circumstances { caps: caps("AUDIT_CONTROL"), ..HERE };
    assert_eq!(Filter::new(json, &either).judge("socket", &[16, 3, 9]), "ENOSYS");
}

#[test]
fn the_first_entry_that_matches_decides() {
    let file = filter(
        r#"{"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
            "args": [{"index": 1, "op": "SCMP_CMP_EQ", "value": 7}]},
           {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2,
            "args": [{"index": 1, "op": "SCMP_CMP_LE", "value": 9}]},
           {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW"},
           {"names": ["ioctl"], "action": "SCMP_ACT_KILL"}"#,
    );
    for (request, verdict) in [(7, "EPERM"), (9, "ENOENT"), (10, "allow"), (7 << 32, "allow")] {
        assert_eq!(file.judge("ioctl", &[0, request]), verdict);
    }
}

#[test]
fn arguments_are_joined_by_and_and_the_same_one_by_or() {
    let file = filter(
        r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1},
                     {"index": 1, "op": "SCMP_CMP_EQ", "value": 2}]},
           {"names": ["write"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1},
                     {"index": 0, "op": "SCMP_CMP_EQ", "value": 2}]}"#,
    );
    assert_eq!(file.judge("read", &[1, 2]), "allow");
    assert_eq!(file.judge("read", &[1, 3]), "ENOSYS");
    assert_eq!(file.judge("write", &[1]), "allow");
    assert_eq!(file.judge("write", &[2]), "allow");
    assert_eq!(file.judge("write", &[3]), "ENOSYS");
}

#[test]
fn our_condition_is_whether_containers_are_made_inside() {
    let entries = r#"{"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"nested": true}},
                     {"names": ["reboot"], "action": "SCMP_ACT_ALLOW", "excludes": {"nested": true}}"#;
    let inside = Circumstances { nesting: Nesting::Allowed, ..HERE };
    assert_eq!(filter(entries).judge("mount", &[]), "ENOSYS");
    assert_eq!(filter(entries).judge("reboot", &[]), "allow");
    assert_eq!(filter_here(entries, &inside).judge("mount", &[]), "allow");
    assert_eq!(filter_here(entries, &inside).judge("reboot", &[]), "ENOSYS");
}

#[test]
fn names_that_only_others_know_are_told_and_have_no_effect() {
    let json = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["opne", "read", "socketcall", "spawn_template"], "action": "SCMP_ACT_KILL"},
        {"names": ["opne"], "action": "SCMP_ACT_KILL"}]}"#;
    let policy = Policy::settle(&serde_json::from_str(json).unwrap(), &HERE).unwrap();
    assert_eq!(policy.unknown.iter().collect::<Vec<_>>(), ["opne", "spawn_template"]);
    assert_eq!(policy.rules.len(), 1);
}

#[test]
fn what_cannot_be_honoured_is_an_error_that_names_it() {
    let action = |word: &str| format!(r#"{{"names": ["read"], "action": "{word}"}}"#);
    let arg = |arg: &str| {
        format!(r#"{{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{{{arg}}}]}}"#)
    };
    let only =
        |field: &str| format!(r#"{{"names": ["read"], "action": "SCMP_ACT_ALLOW", {field}}}"#);
    for (entry, said) in [
        (action("SCMP_ACT_FORBID"), "unknown variant `SCMP_ACT_FORBID`"),
        (action("SCMP_ACT_NOTIFY"), "SCMP_ACT_NOTIFY needs a listener"),
        (arg(r#""index": 0, "value": 1, "op": "SCMP_CMP_LIKE""#), "`SCMP_CMP_LIKE`"),
        (arg(r#""index": 6, "value": 1, "op": "SCMP_CMP_EQ""#), "there is no argument 6"),
        (arg(r#""index": 0, "value": -1, "op": "SCMP_CMP_EQ""#), "`-1`"),
        (only(r#""include": {}"#), "unknown field `include`"),
        (only(r#""includes": {"cap": []}"#), "unknown field `cap`"),
        (only(r#""includes": {"caps": ["CAP_FLY"]}"#), "there is no capability \"CAP_FLY\""),
        (only(r#""includes": {"minKernel": "new"}"#), "\"new\" is not a kernel version"),
        (only(r#""errnoRet": 1"#), "the action takes no errnoRet"),
        (only(r#""name": "write""#), "name and names cannot be given together"),
        (r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096}"#.into(), "4096"),
        (
            r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "EWHAT"}"#.into(),
            "\"EWHAT\"",
        ),
        (
            r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "EPERM", "errnoRet": 2}"#
                .into(),
            "errnoRet is 2, errno is 1",
        ),
        (r#"{"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536}"#.into(), "65536"),
    ] {
        let report = refused_entry(&entry);
        assert!(report.contains(said), "{entry}\n{report}");
    }
    for (json, said) in [
        (r#"{"syscalls": []}"#, "missing field `defaultAction`"),
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "SCMP_ACT_NOTIFY needs a listener"),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_VAX"]}"#,
            "there is no architecture \"SCMP_ARCH_VAX\"",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "amd64"}]}"#,
            "there is no architecture \"amd64\"",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
                "archMap": [{"architecture": "SCMP_ARCH_X86"}]}"#,
            "architectures and archMap cannot be given together",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_FAST"]}"#,
            "`SECCOMP_FILTER_FLAG_FAST`",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW",
                "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#,
            "goes with SCMP_ACT_NOTIFY",
        ),
        ("", "EOF"),
        ("[]", "invalid length"),
    ] {
        let report = refused(json);
        assert!(report.contains(said), "{json}\n{report}");
    }
}

#[test]
fn the_kernels_limit_is_kept() {
    let entries = |count: u64| {
        let entry = |value| {
            format!(
                r#"{{"names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
                     "args": [{{"index": 1, "op": "SCMP_CMP_EQ", "value": {value}}}]}}"#
            )
        };
        (0..count).map(|value| entry(value * 0x1_0000_0001)).collect::<Vec<_>>().join(",")
    };
    let file = filter(&entries(1000));
    check(&file.instructions);
    assert!(file.instructions.len() > 3 * 255);
    assert_eq!(file.judge("ioctl", &[0, 999 * 0x1_0000_0001]), "allow");
    assert_eq!(file.judge("ioctl", &[0, 999]), "ENOSYS");
    let long =
        format!(r#"{{"defaultAction": "SCMP_ACT_TRAP", "syscalls": [{}]}}"#, entries(50_000));
    let policy = Policy::settle(&serde_json::from_str(&long).unwrap(), &HERE).unwrap();
    let error = compile(&policy).unwrap_err().to_string();
    assert!(error.ends_with("instructions, the kernel takes 4096"), "{error}");
}

#[test]
fn a_bundles_object_means_what_the_file_means() {
    let json = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_X86"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"],
        "syscalls": [
            {"names": ["read", "opne"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["close"], "action": "SCMP_ACT_TRACE", "errnoRet": 3},
            {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "args": [
                {"index": 0, "value": 255, "valueTwo": 17, "op": "SCMP_CMP_MASKED_EQ"},
                {"index": 1, "value": 4, "op": "SCMP_CMP_GE"}]}
        ]
    }"#;
    let program: Program = from_oci(&serde_json::from_str(json).unwrap()).unwrap();
    let file = Filter::new(json, &Circumstances { arch: NATIVE, ..HERE });
    assert_eq!(*program.instructions, file.instructions);
    assert_eq!(program.flags, Flags::LOG | Flags::TSYNC);
    assert_eq!(program.unknown, ["opne"]);

    let notify = |listener: &str| {
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", {listener}
                "flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
                "syscalls": [{{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}}]}}"#
        );
        from_oci(&serde_json::from_str(&text).unwrap())
    };
    // The kernel takes it with others' threads, or with a listener.
    let flags = notify(r#""listenerPath": "/run/agent","#).unwrap().flags;
    assert_eq!(flags, Flags::NEW_LISTENER | Flags::WAIT_KILLABLE_RECV);
    assert_eq!(
        report(&notify("").unwrap_err()),
        "error: linux.seccomp: SCMP_ACT_NOTIFY needs a listener, and there is no listenerPath"
    );
}

#[test]
fn files_that_cannot_be_read_are_explained() {
    let dir = std::env::temp_dir().join(format!("sublet-seccomp-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let path = |name: &str| dir.join(name);
    fs::write(path("good"), r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
    fs::write(path("bad"), "{\n  \"defaultAction\": \"ALLOW\"\n}").unwrap();
    fs::write(path("binary"), [0xff, 0xfe]).unwrap();
    fs::File::create(path("huge")).unwrap().set_len(1 << 40).unwrap();
    symlink("loop", path("loop")).unwrap();
    let load = |name: &str| from_file(&path(name), CapSet::DEFAULT, Nesting::Refused);
    assert!(load("good").is_ok());
    for (name, said) in [
        ("bad", "line 2 column"),
        ("binary", "valid UTF-8"),
        ("huge", "larger than 1048576 bytes"),
        ("loop", "os error 40"),
        ("none", "No such file or directory"),
        (".", "Is a directory"),
    ] {
        let report = report(&load(name).unwrap_err());
        assert!(report.contains(said) && report.contains("seccomp profile"), "{report}");
    }
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn versions_are_read_as_the_kernel_writes_them() {
    use super::super::policy::kernel_version;
    for (text, version) in
        [("4.8", (4, 8)), ("6.18.4-arch1-1\n", (6, 18)), ("5.15-rc3", (5, 15)), ("7.0+", (7, 0))]
    {
        assert_eq!(kernel_version(text).unwrap(), version);
    }
    for text in ["", "6", "a.b", ".5", "99999999999.1"] {
        assert!(kernel_version(text).is_err(), "{text:?}");
    }
}
