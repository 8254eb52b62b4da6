//! Capabilities, privilege by exec, groups (C21, C23, C26).

use serde_json::{Value, json};

use super::{Fired, Launcher, Subject, class};
use crate::common::*;

class! {
    /// C21: eleven capabilities for root, none for anybody else, and nothing
    /// that an exec could turn into more.
    c21_capabilities(super::capabilities) needs []
    weak "caps" []
    bubblewrap ["--cap-add", "ALL"] []
}

class! {
    /// C26: a set-user-ID program of the root gives nothing.
    c26_set_user_id(super::set_user_id) needs [subuid]
    weak "nnp" []
}

class! {
    /// C26: the flag itself.
    c26_no_new_privileges(super::no_new_privileges) needs []
    weak "nnp" []
}

class! {
    /// C23: none of the caller's groups arrives with a range.
    c23_groups(super::groups) needs [subuid, ordinary_user, supplementary_group]
    weak "groups" []
}

/// CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP
/// NET_BIND_SERVICE SYS_CHROOT SETFCAP, by their bits.
const ELEVEN: &str = "00000000800405fb";
const NONE: &str = "0000000000000000";

fn capabilities(subject: &Subject) -> Fired {
    let seen = subject.probe(&[], &["caps"]);
    let mut expected = vec![("inheritable", NONE), ("ambient", NONE)];
    // bubblewrap keeps none at all unless it is asked to.
    expected.extend(["permitted", "effective", "bounding"].map(|set| (set, ELEVEN)));
    let other = expected.iter().filter(|(set, bits)| seen[*set] != *bits);
    other.map(|(set, bits)| format!("{set} is {} and not {bits}", seen[*set])).collect()
}

fn set_user_id(subject: &Subject) -> Fired {
    let path = subject.root.join("gain");
    spawn::place(|| std::fs::copy(probe(), &path));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    std::fs::set_permissions(&path, mode).expect("set a mode");
    let seen = subject.program(&["-u", "1000:1000"], &["/gain", "ids"]).json();
    if seen["uid"] == json!([1000, 1000, 1000]) {
        Vec::new()
    } else {
        vec![seen["uid"].to_string()]
    }
}

fn no_new_privileges(subject: &Subject) -> Fired {
    let seen = subject.probe(&[], &["caps"]);
    if seen["no_new_privs"] == "1" { Vec::new() } else { vec![seen.to_string()] }
}

fn groups(subject: &Subject) -> Fired {
    let seen = subject.probe(&[], &["ids"]);
    let groups = seen["groups"].as_array().expect("a list");
    groups.iter().filter(|group| **group != 0).map(ToString::to_string).collect()
}

fn caps(options: &[&str]) -> Value {
    Subject::new(Launcher::Sublet).probe(options, &["caps"])
}

#[test]
fn c21_another_user_has_none() {
    requires!(subuid);
    let seen = caps(&["-u", "1000:1000"]);
    for set in ["inheritable", "permitted", "effective", "ambient"] {
        assert_eq!(seen[set], NONE, "{set} of {seen}");
    }
    assert_eq!(seen["bounding"], ELEVEN);
}

#[test]
fn c21_what_is_added_and_dropped() {
    requires!();
    let added = caps(&["--cap-add", "NET_RAW", "--cap-drop", "CAP_CHOWN"]);
    for set in ["permitted", "effective", "bounding"] {
        assert_eq!(added[set], "00000000800425fa", "{set} of {added}");
    }
    assert_eq!((&added["inheritable"], &added["ambient"]), (&json!(NONE), &json!(NONE)));
    let dropped = caps(&["--cap-drop", "all"]);
    for set in ["inheritable", "permitted", "effective", "bounding", "ambient"] {
        assert_eq!(dropped[set], NONE, "{set} of {dropped}");
    }
    let one = caps(&["--cap-drop", "ALL", "--cap-add", "kill"]);
    assert_eq!(one["effective"], "0000000000000020");
}

#[test]
fn c21_an_unknown_capability_is_refused() {
    requires!();
    let subject = Subject::new(Launcher::Sublet);
    subject.program(&["--cap-add", "NO_SUCH"], &["true"]).refused(&["NO_SUCH"]);
}

#[test]
fn c26_the_flag_can_be_left_out() {
    requires!();
    let seen = caps(&["--security-opt", "no-new-privileges=false"]);
    assert_eq!(seen["no_new_privs"], "0");
}

/// C23, CVE-2014-8989: a group that a file's mode shuts out must not be left
/// without privilege.
#[test]
fn c23_one_id_cannot_leave_its_groups() {
    requires!(ordinary_user);
    let subject = Subject::new(Launcher::Sublet);
    let seen = subject.probe(&["--userns", "single"], &["ids"]);
    assert_eq!(seen["setgroups"], "deny");
    let kept = seen["groups"].as_array().unwrap().len();
    assert_eq!(kept, nix::unistd::getgroups().unwrap().len(), "{seen}");
}
