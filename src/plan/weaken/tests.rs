//! Each class takes away what it names, and nothing else.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Command;

use nix::libc;

use super::super::tests::case;
use super::*;
use crate::sys::path::{open_in_root, open_typed};

/// What becomes of the steps of a case: those that are gone, those that are
/// new, in words.
fn change(case_name: &str, class: &str) -> (Vec<String>, Vec<String>) {
    let words = |steps: &[Step]| steps.iter().map(Step::to_string).collect::<Vec<_>>();
    let before = words(&case(case_name).plan().steps);
    let mut steps = case(case_name).plan().steps;
    leave_out(class, &mut steps).unwrap();
    let after = words(&steps);
    let only = |these: &[String], those: &[String]| {
        let those: BTreeSet<&String> = those.iter().collect();
        these.iter().filter(|step| !those.contains(step)).cloned().collect()
    };
    (only(&before, &after), only(&after, &before))
}

/// A class that takes steps away and changes none.
#[track_caller]
fn takes_away(case_name: &str, class: &str, meant: impl Fn(&Step) -> bool) {
    let plan = case(case_name).plan();
    let meant: Vec<String> =
        plan.steps.iter().filter(|step| meant(step)).map(Step::to_string).collect();
    assert!(!meant.is_empty(), "{case_name} has nothing for {class}");
    assert_eq!(change(case_name, class), (meant, vec![]), "{class}");
}

fn weakened(case_name: &str, class: &str) -> Vec<Step> {
    let mut steps = case(case_name).plan().steps;
    leave_out(class, &mut steps).unwrap();
    steps
}

/// All attributes that a plan sets, with the slots they are set on.
fn attributes(steps: &[Step]) -> Vec<(Slot, u64)> {
    let attributes = |step: &Step| match step {
        Step::SetAttr { tree, attr, .. } => Some((*tree, attr.set)),
        Step::NewFilesystem { into, attrs, .. } => Some((*into, *attrs)),
        _ => None,
    };
    steps.iter().filter_map(attributes).collect()
}

#[test]
fn some_take_their_steps_away() {
    for name in ["directory", "terminal", "new-privileges"] {
        takes_away(name, "fds", |step| matches!(step, Step::CloseFrom(_)));
        takes_away(name, "seccomp", |step| matches!(step, Step::Seccomp { .. }));
        takes_away(name, "keyring", |step| matches!(step, Step::Seccomp { .. }));
        takes_away(name, "session", |step| matches!(step, Step::NewSession));
        takes_away(name, "nnp", |step| {
            matches!(step, Step::NoNewPrivileges | Step::Seccomp { .. })
        });
        takes_away(name, "masks", |step| matches!(step, Step::Mask { .. } | Step::Protect { .. }));
    }
}

#[test]
fn readonly_leaves_nothing_read_only_but_the_host() {
    for name in ["read-only", "volumes", "network-host"] {
        let set = attributes(&case(name).plan().steps);
        assert!(set.iter().any(|(_, set)| set & RDONLY != 0), "{name}");
        let steps = weakened(name, "readonly");
        assert!(attributes(&steps).iter().all(|(_, set)| set & RDONLY == 0), "{name}");
    }
    let set = attributes(&weakened("host", "readonly"));
    assert!(set.contains(&(Slot::ROOT, RDONLY | NODEV | NOSUID)));
    assert!(set.iter().all(|(slot, set)| *slot == Slot::ROOT || set & RDONLY == 0));
}

#[test]
fn nodev_leaves_devices_and_set_user_id_bits_everywhere() {
    for name in ["host", "directory", "overlay", "volumes", "mounts"] {
        let set = attributes(&weakened(name, "nodev"));
        assert!(set.iter().all(|(_, set)| set & (NODEV | NOSUID) == 0), "{name}");
    }
    let set = attributes(&weakened("host", "nodev"));
    assert!(set.contains(&(Slot::ROOT, RDONLY)));
}

#[test]
fn propagation_cuts_nothing_off() {
    for name in ["directory", "host", "volumes"] {
        for step in weakened(name, "propagation") {
            match step {
                Step::Propagation(kind) => assert_eq!(kind, libc::MS_SLAVE, "{name}"),
                Step::SetAttr { attr, .. } => assert_eq!(attr.propagation, 0, "{name}"),
                _ => {}
            }
        }
    }
}

#[test]
fn groups_and_caps_change_the_identity_alone() {
    let is_identity = |words: &[String]| matches!(words, [one] if one.starts_with("become uid"));
    for class in ["groups", "caps"] {
        let (gone, new) = change("user", class);
        assert!(is_identity(&gone) && is_identity(&new), "{class}: {gone:?} {new:?}");
    }
    let (_, new) = change("user", "groups");
    assert!(new[0].contains("with the caller's groups, 0 capabilities"), "{new:?}");
    let (_, new) = change("user", "caps");
    assert!(new[0].contains("groups [7], 41 capabilities of 41"), "{new:?}");
}

/// Runs the test of that name in a process of its own, where a switch that it
/// throws is nobody else's; true there.
fn alone(test: &str) -> bool {
    if std::env::var_os("ALONE").is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let path = module_path!().trim_start_matches("sublet::");
    command.args(["--exact", &format!("{path}::{test}")]).env("ALONE", "1");
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
    false
}

#[test]
fn resolve_lets_links_lead_out() {
    if !alone("resolve_lets_links_lead_out") {
        return;
    }
    let directory = std::env::temp_dir().join(format!("sublet-weaken.{}", std::process::id()));
    fs::create_dir_all(directory.join("root")).unwrap();
    fs::write(directory.join("canary"), "").unwrap();
    symlink(directory.join("canary"), directory.join("root/out")).unwrap();
    let root = CString::new(directory.join("root").as_os_str().as_bytes()).unwrap();
    let root = open_typed(&root, libc::O_PATH).unwrap();
    let opens = || open_in_root(root.as_fd(), c"/out", libc::O_RDONLY).is_ok();

    let before = opens();
    leave_out("resolve", &mut Vec::new()).unwrap();
    let after = opens();
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!((before, after), (false, true));
}

/// Where the working directory is checked and the reaper hidden is in the
/// child: the end-to-end tests see these fire.
#[test]
fn cwd_and_exe_are_switches_of_the_child() {
    takes_away("directory", "cwd", |step| matches!(step, Step::CloseFrom(_)));
    assert_eq!(change("init", "exe"), (vec![], vec![]));
}

#[test]
fn an_unknown_name_is_an_error() {
    assert!(leave_out("everything", &mut Vec::new()).is_err());
}
