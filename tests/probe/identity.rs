//! Who the payload is: ids, maps, capabilities, namespaces.

use std::fs;

use nix::unistd::{getgid, getgroups, getresgid, getresuid, getuid};
use serde_json::{Map, Value, json};

use crate::Report;

/// `caps`: the five sets, no_new_privs and the seccomp mode.
pub fn caps(_: &[String]) -> Report {
    let status = fs::read_to_string("/proc/self/status").expect("read /proc/self/status");
    let field = |name: &str| -> String {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in /proc/self/status")).trim().to_owned()
    };
    json!({
        "inheritable": field("CapInh"),
        "permitted": field("CapPrm"),
        "effective": field("CapEff"),
        "bounding": field("CapBnd"),
        "ambient": field("CapAmb"),
        "no_new_privs": field("NoNewPrivs"),
        "seccomp": field("Seccomp"),
    })
    .into()
}

/// `ids`: what the process is and what its namespace maps.
pub fn ids(_: &[String]) -> Report {
    let uid = getresuid().expect("getresuid");
    let gid = getresgid().expect("getresgid");
    let groups: Vec<u32> = getgroups().expect("getgroups").iter().map(|gid| gid.as_raw()).collect();
    assert_eq!((getuid(), getgid()), (uid.real, gid.real));
    json!({
        "uid": [uid.real.as_raw(), uid.effective.as_raw(), uid.saved.as_raw()],
        "gid": [gid.real.as_raw(), gid.effective.as_raw(), gid.saved.as_raw()],
        "groups": groups,
        "uid_map": id_map("/proc/self/uid_map"),
        "gid_map": id_map("/proc/self/gid_map"),
        "setgroups": fs::read_to_string("/proc/self/setgroups").expect("setgroups").trim(),
    })
    .into()
}

/// Lines of inside, outside, count.
fn id_map(path: &str) -> Vec<Vec<u32>> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("read {path}: {error}"));
    let words =
        |line: &str| line.split_whitespace().map(|word| word.parse().expect("id")).collect();
    text.lines().map(words).collect()
}

/// `ns`: the links in /proc/self/ns.
pub fn namespaces(_: &[String]) -> Report {
    let mut links = Map::new();
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        let link = fs::read_link(format!("/proc/self/ns/{name}")).expect("read a namespace link");
        links.insert(name.to_owned(), Value::from(link.to_string_lossy()));
    }
    Value::from(links).into()
}
