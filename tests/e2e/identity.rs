//! Who the payload is, inside and outside.

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::common::root::GROUP;
use crate::common::*;

fn ids(scratch: &Scratch, root: &Root, options: &[&str]) -> Value {
    run(scratch, root, options).args(["/probe", "ids"]).json()
}

fn run(scratch: &Scratch, root: &Root, options: &[&str]) -> Program {
    Program::run_in(scratch).args(options).arg(root.path())
}

/// The ids that a container with a range can use from 1 on.
fn ranges() -> [(u32, u32); 2] {
    ["/etc/subuid", "/etc/subgid"].map(|file| subordinate(file).expect("a line in it"))
}

#[test]
fn a_range_with_the_caller_as_container_root() {
    requires!(subuid, ordinary_user);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let (uid, gid) = caller();
    let [(uids, uid_count), (gids, gid_count)] = ranges();
    let ids = ids(&scratch, &root, &[]);
    assert_eq!(ids["uid_map"], json!([[0, uid, 1], [1, uids, uid_count]]));
    assert_eq!(ids["gid_map"], json!([[0, gid, 1], [1, gids, gid_count]]));
    assert_eq!(ids["uid"], json!([0, 0, 0]));
    assert_eq!(ids["gid"], json!([0, 0, 0]));
    assert_eq!(ids["setgroups"], "allow");
    // No group of the caller's, which would show as the unmapped 65534.
    assert!(ids["groups"] == json!([]) || ids["groups"] == json!([0]), "{ids}");
}

#[test]
fn files_belong_to_the_ids_that_the_map_says() {
    requires!(subuid, ordinary_user);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let [(uids, _), (gids, _)] = ranges();
    run(&scratch, &root, &[]).args(["touch", "/tmp/by-root"]).ok();
    run(&scratch, &root, &["-u", "1000:2000"]).args(["touch", "/tmp/by-user"]).ok();
    let owner = |path| {
        let facts = std::fs::metadata(root.join(path)).unwrap();
        (facts.uid(), facts.gid())
    };
    assert_eq!(owner("tmp/by-root"), caller());
    assert_eq!(owner("tmp/by-user"), (uids + 999, gids + 1999));
}

#[test]
fn one_id_when_asked() {
    requires!(ordinary_user);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let (uid, gid) = caller();
    let ids = ids(&scratch, &root, &["--userns", "single"]);
    assert_eq!(ids["uid_map"], json!([[0, uid, 1]]));
    assert_eq!(ids["gid_map"], json!([[0, gid, 1]]));
    assert_eq!(ids["setgroups"], "deny");
    assert_eq!(ids["uid"], json!([0, 0, 0]));
}

#[test]
fn one_id_where_the_helpers_cannot_gain_privilege() {
    requires!(ordinary_user, setpriv);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let program = run(&scratch, &root, &[]).args(["/probe", "ids"]);
    let done = program.under(&["setpriv", "--no-new-privs"]).run();
    assert_eq!(done.json()["uid_map"], json!([[0, caller().0, 1]]));
}

#[test]
fn which_rung_was_taken_is_told() {
    requires!(ordinary_user, setpriv);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let plan = run(&scratch, &root, &["--dry-run"]).arg("true");
    let told = plan.under(&["setpriv", "--no-new-privs"]).ok();
    assert!(told.contains("no_new_privs"), "{told}");
}

#[test]
fn one_id_inside_a_namespace_of_one_id() {
    requires!(unshare);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    // As root of another container: there is no range to hand on.
    let program = run(&scratch, &root, &[]).args(["/probe", "ids"]);
    let ids = program.inside_namespaces(r#"exec "$@""#).json();
    assert_eq!(ids["uid_map"], json!([[0, 0, 1]]));
    assert_eq!(ids["uid"], json!([0, 0, 0]));
}

#[test]
fn keep_id_keeps_the_number() {
    requires!(subuid, ordinary_user);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let (uid, gid) = caller();
    let kept = ids(&scratch, &root, &["--userns", "keep-id"]);
    assert_eq!(kept["uid"], json!([uid, uid, uid]));
    assert_eq!(kept["gid"], json!([gid, gid, gid]));
    assert_eq!(outside(&kept["uid_map"], uid), Some(uid));
    assert_eq!(outside(&kept["gid_map"], gid), Some(gid));
    assert!(outside(&kept["uid_map"], 0).is_some(), "no root inside: {kept}");
    let given = ids(&scratch, &root, &["--userns", "keep-id:uid=5,gid=6"]);
    assert_eq!(given["uid"], json!([5, 5, 5]));
    assert_eq!(given["gid"], json!([6, 6, 6]));
    assert_eq!(outside(&given["uid_map"], 5), Some(uid));
    assert_eq!(outside(&given["gid_map"], 6), Some(gid));
}

/// What an id inside is outside, by the lines of a map.
fn outside(map: &Value, id: u32) -> Option<u32> {
    map.as_array()?.iter().find_map(|line| {
        let word = |at: usize| line[at].as_u64().map(|word| word as u32);
        let (inside, outside, count) = (word(0)?, word(1)?, word(2)?);
        (inside..inside + count).contains(&id).then(|| outside + (id - inside))
    })
}

#[test]
fn nomap_leaves_the_caller_out() {
    requires!(subuid, ordinary_user);
    let scratch = Scratch::new();
    let root = complete(Root::probed(&scratch));
    let ids = ids(&scratch, &root, &["--userns", "nomap"]);
    let [(uids, _), _] = ranges();
    assert_eq!(outside(&ids["uid_map"], 0), Some(uids));
    let covers_caller = |line: &Value| {
        let [first, count] = [1, 2].map(|at| line[at].as_u64().unwrap());
        (first..first + count).contains(&u64::from(caller().0))
    };
    assert!(!ids["uid_map"].as_array().unwrap().iter().any(covers_caller), "{ids}");
    // So a file that only the caller may read is out of reach.
    let root = root.write("etc/private", "x").mode("etc/private", 0o600);
    let done = run(&scratch, &root, &["--userns", "nomap"]).args(["cat", "/etc/private"]).run();
    done.exits(1);
}

/// Root with every file that the launcher mounts over: nobody inside a
/// container that does not map the owner may make them.
fn complete(root: Root) -> Root {
    root.write("etc/hosts", "").write("etc/hostname", "").write("etc/resolv.conf", "")
}

#[test]
fn maps_are_taken_as_the_host_has_the_ids() {
    requires!(subuid, ordinary_user);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let (uid, gid) = caller();
    let [(uids, _), (gids, _)] = ranges();
    let maps = [
        format!("--uidmap=0:{uid}:1"),
        format!("--uidmap=10:{uids}:5"),
        format!("--gidmap=0:{gid}:1"),
        format!("--gidmap=20:{gids}:7"),
    ];
    let ids = ids(&scratch, &root, &maps.each_ref().map(String::as_str));
    assert_eq!(ids["uid_map"], json!([[0, uid, 1], [10, uids, 5]]));
    assert_eq!(ids["gid_map"], json!([[0, gid, 1], [20, gids, 7]]));
}

#[test]
fn a_map_of_somebody_elses_ids_is_refused() {
    requires!(subuid, ordinary_user);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let (uid, gid) = caller();
    let own = [format!("--uidmap=0:{uid}:1"), format!("--gidmap=0:{gid}:1")];
    let options = [&own[0], &own[1], "--uidmap=1:0:1"];
    run(&scratch, &root, &options).arg("true").refused(&["/etc/subuid"]);
}

#[test]
fn users_and_groups_by_name_and_number() {
    requires!(subuid);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    // What is asked for; uid, gid and other groups that it gives.
    let cases = [
        ("user", 1000, 1000, vec![2000]),
        ("1000", 1000, 1000, vec![2000]),
        ("01000", 1000, 1000, vec![2000]),
        ("user:extra", 1000, 2000, vec![]),
        ("user:77", 1000, 77, vec![]),
        ("1234", 1234, 0, vec![]),
        ("1234:5678", 1234, 5678, vec![]),
        ("0", 0, 0, vec![]),
        ("root:user", 0, 1000, vec![]),
    ];
    for (user, uid, gid, more) in cases {
        let ids = ids(&scratch, &root, &["-u", user]);
        assert_eq!(ids["uid"], json!([uid, uid, uid]), "--user {user}: {ids}");
        assert_eq!(ids["gid"], json!([gid, gid, gid]), "--user {user}: {ids}");
        let mut groups: Vec<u64> =
            ids["groups"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        // The primary group may be among them or not.
        groups.retain(|group| *group != gid);
        assert_eq!(groups, more, "--user {user}: {ids}");
    }
}

#[test]
fn the_users_home_is_known() {
    requires!(subuid);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let env = run(&scratch, &root, &["-u", "user"]).args(["/probe", "env"]).json();
    assert_eq!(env["HOME"], "/home");
}

#[test]
fn names_that_the_root_does_not_have_are_refused() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    run(&scratch, &root, &["-u", "nobody-here"])
        .arg("true")
        .refused(&["nobody-here", "/etc/passwd"]);
    run(&scratch, &root, &["-u", "0:no-group"]).arg("true").refused(&["no-group", "/etc/group"]);
    run(&scratch, &root, &["--group-add", "no-group"])
        .arg("true")
        .refused(&["no-group", "/etc/group"]);
}

#[test]
fn an_id_outside_the_map_is_refused() {
    requires!(ordinary_user);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    run(&scratch, &root, &["--userns", "single", "-u", "1000"]).arg("true").refused(&["1000"]);
    run(&scratch, &root, &["--userns", "single", "-u", "0:7"]).arg("true").refused(&["7"]);
}

#[test]
fn groups_can_be_added() {
    requires!(subuid);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let ids = ids(&scratch, &root, &["--group-add", "extra", "--group-add", "77"]);
    let groups = ids["groups"].as_array().unwrap();
    assert!(groups.contains(&json!(2000)) && groups.contains(&json!(77)), "{ids}");
}

#[test]
fn the_callers_groups_stay_when_asked() {
    requires!(subuid, ordinary_user, supplementary_group);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let mine = nix::unistd::getgroups().unwrap().len();
    let kept = ids(&scratch, &root, &["--group-add", "keep-groups"]);
    let kept = kept["groups"].as_array().unwrap();
    assert!(kept.len() >= mine - 1 && kept.contains(&json!(65534)), "{kept:?}");
}

/// CVE-2024-40635, CVE-2026-30892 and their kind: what looks like a number and
/// is none may not be looked up as a name.
#[test]
fn hostile_users_never_become_root() {
    requires!(subuid);
    let scratch = Scratch::new();
    let users = [
        "4294967296",
        "4294967295",
        "18446744073709551616",
        "-1",
        "-0",
        "+0",
        "0x0",
        "0x3e8",
        "1e3",
        "1000:",
        ":",
        ":0",
        "",
        " ",
        "1000 ",
        " 1000",
        "٠",
        "root\n",
        "roo\tt",
        "1000:abc",
        "1000:-1",
        "1000:4294967296",
        "a:b:c",
        "/etc/passwd",
    ];
    let everybody_is_root: String =
        users.iter().map(|user| format!("{user}:x:0:0::/root:/bin/sh\n")).collect();
    let root = Root::probed(&scratch)
        .write("etc/passwd", everybody_is_root)
        .write("etc/group", format!("{GROUP}abc:x:0:\n-1:x:0:\n4294967296:x:0:\n"));
    for user in users {
        let done = run(&scratch, &root, &[&format!("--user={user}")]).args(["/probe", "ids"]).run();
        if user == "1000:abc" {
            // The one that is well formed: a number, and a group by name.
            assert_eq!(done.json()["uid"], json!([1000, 1000, 1000]));
        } else {
            done.refused(&[]);
        }
    }
}

/// The user database of a root is hostile input: each of these ends at once,
/// and a user who stands behind the garbage is not found by accident.
#[test]
fn hostile_user_databases_end_in_an_error() {
    requires!();
    let scratch = Scratch::new();
    let long_line = format!("a:{}\n", "x".repeat(70_000));
    let many = "x:x:1:1::/:/bin/sh\n".repeat(200_000);
    for (name, content) in [
        ("long-line", long_line.into_bytes()),
        ("many-lines", many.into_bytes()),
        ("zeros", vec![0; 3 << 20]),
        ("broken", b"user\nuser:\nuser:x\nuser:x:\nuser:x:one:2::/:\n\xff\xfe\n".to_vec()),
    ] {
        let root = Root::named(&scratch, name).write("etc/passwd", content);
        let done = run(&scratch, &root, &["-u", "user"]).arg("true").run();
        done.refused(&["/etc/passwd"]).took_at_most(5.0);
    }
}

#[test]
fn root_itself_can_run_one() {
    requires!(root);
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let ids = ids(&scratch, &root, &[]);
    assert_eq!(ids["uid"], json!([0, 0, 0]));
    assert_ne!(ids["uid_map"], Value::Null);
}
