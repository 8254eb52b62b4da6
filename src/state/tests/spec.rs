//! What was asked for, as it is kept.

use serde_json::Value;

use super::files::{RECORD, SPEC};
use super::*;
use crate::cli::asked_words;
use crate::error::report;
use crate::spec::Spec;

/// Words of `run` that use every kind of thing that a Spec has.
const LINES: [&str; 8] = [
    "host",
    "-it --init --rm -h box --user 5:staff --group-add wheel --umask 077 ./root:O sh -c x",
    "--userns keep-id:uid=5 --group-add keep-groups -e A=b -e LANG -w /x --ulimit nofile=9 host",
    "--uidmap 0:1000:1 --gidmap 0:100:1 --cap-add SYS_TIME,NET_RAW --cap-drop ALL host",
    "-v /a:/b:ro --tmpfs /t:size=1m --device /dev/null --read-only --nested /root",
    "-m 64m --cpus 0.5 --pids-limit 9 --cgroup-conf memory.high=1M --cgroup-parent a.slice host",
    "--network slirp4netns:mtu=1500,cidr=10.1.0.0/16,ipv6=true --dns 1.1.1.1 --add-host a:::1 host",
    "--network pasta:-4 -p 8080:80 -p [::1]::53/udp -p fd:web:1 --timeout 1m30s \
     --security-opt seccomp=./p.json --label a=b host",
];

fn asked(words: &[&str], id: &str, named: Option<&str>, afterwards: Afterwards) -> Spec {
    let mut spec = asked_words(words).unwrap().spec;
    spec.beside.id = self::id(id);
    spec.beside.name = named.map(name);
    spec.beside.known.remove = afterwards == Afterwards::Remove;
    spec
}

/// A container that runs, with what was asked for.
pub(super) fn run_asked(
    store: &Store,
    text: &str,
    named: Option<&str>,
    afterwards: Afterwards,
) -> Reserved {
    let mut reserved = store.reserve(&id(text), named.map(name)).unwrap();
    reserved.ask(&asked(&["host"], text, named, afterwards), afterwards).unwrap();
    reserved.commit(&record(text, named, afterwards)).unwrap();
    reserved.edit(|record| record.life = running()).unwrap();
    reserved
}

/// Keeps what `line` asks for; what is read back is compared with that.
fn kept(scratch: &Scratch, line: &str) -> (Reserved, Spec) {
    let spec = asked(&line.split_whitespace().collect::<Vec<_>>(), "a", None, Afterwards::Keep);
    let mut record = record("a", None, Afterwards::Keep);
    record.asked.limits = spec.oci.linux().as_ref().unwrap().resources().clone();
    let mut reserved = scratch.store().reserve(&id("a"), None).unwrap();
    reserved.ask(&spec, Afterwards::Keep).unwrap();
    reserved.commit(&record).unwrap();
    (reserved, spec)
}

#[test]
fn it_is_read_as_it_was_meant() {
    for line in LINES {
        let scratch = Scratch::new();
        let (_reserved, spec) = kept(&scratch, line);
        let store = scratch.store();
        let read = store.spec(&store.find("a").unwrap()).unwrap();
        assert_eq!(read, spec, "{line}");
    }
}

#[test]
fn it_is_the_owners_alone_and_no_path_in_it_is_relative() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let (_reserved, _) = kept(&scratch, LINES[7]);
    let file = scratch.at("a").join(SPEC);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(file).unwrap();
    let json: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(json["version"], 1);
    let here = std::env::current_dir().unwrap().join("p.json");
    assert_eq!(json["beside"]["seccomp"]["file"], here.to_str().unwrap());
}

#[test]
fn name_and_limits_are_as_they_are_by_now() {
    let scratch = Scratch::new();
    let (reserved, spec) = kept(&scratch, LINES[5]);
    reserved
        .edit(|record| {
            record.name = Some(name("late"));
            record.asked.limits = None;
        })
        .unwrap();
    let store = scratch.store();
    let mut read = store.spec(&store.find("a").unwrap()).unwrap();
    assert_eq!(read.beside.name.take(), Some(name("late")));
    assert_eq!(read.oci.linux().as_ref().unwrap().resources(), &None);
    assert_eq!(read.beside, spec.beside);
}

#[test]
fn what_is_damaged_is_not_believed() {
    let scratch = Scratch::new();
    let (_reserved, _) = kept(&scratch, "host");
    let (store, file) = (scratch.store(), scratch.at("a").join(SPEC));
    let record = store.find("a").unwrap();
    let whole = fs::read(&file).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&file, bytes).unwrap();
        let told = report(&store.spec(&record).expect_err(what));
        assert!(told.contains("what was asked for of container a"), "{told}");
        told
    };
    for at in 0..whole.len() {
        refused(&whole[..at], "cut");
        let mut changed = whole.clone();
        changed[at] ^= 1;
        refused(&changed, "changed");
    }
    for text in ["{}", "[]", r#"{"version":1}"#, r#"{"version":1,"oci":{},"beside":{}}"#] {
        refused(&seal::seal(text.into()), text);
    }
    let text = String::from_utf8(seal::unseal(&whole).unwrap().into()).unwrap();
    let changed = |from: &str, to: &str| seal::seal(text.replacen(from, to, 1).into_bytes());
    let told = refused(&changed("\"version\":1", "\"version\":2"), "later");
    assert!(told.contains("version 2: another sublet wrote it"), "{told}");
    refused(&changed("\"init\":", "\"unheard-of\":true,\"init\":"), "more than is known");
    refused(&changed("\"id\":\"a\"", "\"id\":\"b\""), "another's");
    fs::remove_file(&file).unwrap();
    let told = report(&store.spec(&record).unwrap_err());
    assert!(told.contains("it was not written down"), "{told}");
    assert!(fs::exists(scratch.at("a").join(RECORD)).unwrap(), "the record is as it was");
}

#[test]
fn a_path_that_json_can_not_hold_is_told() {
    use std::os::unix::ffi::OsStringExt;
    let scratch = Scratch::new();
    let mut spec = asked(&["host"], "a", None, Afterwards::Keep);
    let path = std::ffi::OsString::from_vec(b"/\xff".to_vec());
    spec.beside.root = crate::spec::Root::Directory(path.into());
    let reserved = scratch.store().reserve(&id("a"), None).unwrap();
    assert!(report(&reserved.ask(&spec, Afterwards::Keep).unwrap_err()).contains("UTF-8"));
    drop(reserved);
    assert!(scratch.tree().is_empty());
}
