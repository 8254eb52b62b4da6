//! The decision on made-up machines.

use oci_spec::runtime::LinuxIdMappingBuilder;

use super::*;
use crate::error::report;
use crate::host::caller::{CAP_SETGID, CAP_SETUID, Capabilities, NewPrivileges};
use crate::host::subid::{self, Subids};
use crate::host::{Facts, made_up};

/// What this machine gives, here and now.
pub(crate) fn here(userns: &Userns, uids: &[Triple], gids: &[Triple]) -> anyhow::Result<Idmap> {
    let (uids, gids) = (mappings(uids), mappings(gids));
    decide(Asked { userns, uids: &uids, gids: &gids }, &Host::new())
}

/// CONTAINER:HOST:SIZE.
type Triple = (u32, u32, u32);

fn map(userns: Userns, facts: Facts) -> anyhow::Result<Idmap> {
    decide(Asked { userns: &userns, uids: &[], gids: &[] }, &Host::from(facts))
}

fn facts(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = made_up::facts();
    change(&mut facts);
    facts
}

fn mapping(inside: u32, outside: u32, size: u32) -> Mapping {
    Mapping { inside, outside, size }
}

fn range(start: u32, count: u32) -> Range {
    Range { start, count }
}

fn mappings(triples: &[Triple]) -> Vec<LinuxIdMapping> {
    triples
        .iter()
        .map(|(inside, outside, size)| {
            LinuxIdMappingBuilder::default()
                .container_id(*inside)
                .host_id(*outside)
                .size(*size)
                .build()
                .unwrap()
        })
        .collect()
}

fn custom(uids: &[Triple], gids: &[Triple], facts: Facts) -> anyhow::Result<Idmap> {
    let (uids, gids) = (mappings(uids), mappings(gids));
    decide(Asked { userns: &Userns::Custom, uids: &uids, gids: &gids }, &Host::from(facts))
}

fn refusal<T: std::fmt::Debug>(result: anyhow::Result<T>) -> String {
    report(&result.unwrap_err())
}

/// Why the caller is alone in its map.
fn lowered(facts: Facts) -> Advice {
    let map = map(Userns::Auto, facts).unwrap();
    assert_eq!(map.uids, [mapping(0, 1000, 1)]);
    assert_eq!(map.gids, [mapping(0, 1000, 1)]);
    assert_eq!(map.setgroups, Setgroups::Deny);
    assert_eq!(map.writer, Writer::Direct);
    map.lowered().unwrap().clone()
}

fn root() -> Facts {
    facts(|facts| {
        facts.caller = made_up::root();
        facts.subuids = Subids::none(subid::Source::File, None);
        facts.subgids = Subids::none(subid::Source::File, None);
        if let Ok(account) = &mut facts.account {
            account.user.name = "root".to_owned();
            (account.user.uid, account.user.gid) = (0, 0);
        }
    })
}

#[test]
fn a_user_with_ranges_is_root_above_them() {
    let map = map(Userns::Auto, facts(|_| {})).unwrap();
    assert_eq!(
        map.to_string(),
        "map uids 0 -> 1000, 1-65536 -> 100000-165535, gids 0 -> 1000, 1-65536 -> 100000-165535 \
         through /usr/bin/newuidmap and /usr/bin/newgidmap, setgroups allowed: a range of ids, \
         you are root inside"
    );
    assert_eq!(map.default_user, Ids { uid: 0, gid: 0 });
    assert!(map.contains(Ids { uid: 33, gid: 65_534 }));
    assert!(!map.contains(Ids { uid: 65_537, gid: 0 }));
    assert_eq!(map.uid_outside(0), Some(1000));
    assert_eq!(map.gid_inside(100_000), Some(1));
}

#[test]
fn all_ranges_are_used_each_id_once() {
    let map = map(
        Userns::Auto,
        facts(|facts| {
            facts.subuids.ranges = vec![
                range(200_000, 10),
                range(100_000, 65_536),
                // The same again by uid, an own id, and a slip at 0.
                range(100_000, 65_536),
                range(998, 4),
                range(0, 5),
            ];
        }),
    );
    assert_eq!(
        map.unwrap().uids,
        [
            mapping(0, 1000, 1),
            mapping(1, 200_000, 10),
            mapping(11, 100_000, 65_536),
            mapping(65_547, 998, 2),
            mapping(65_549, 1001, 1),
            mapping(65_550, 1, 4),
        ]
    );
}

#[test]
fn every_lack_of_a_range_has_its_sentence() {
    let none = || Subids::none(subid::Source::File, None);
    let advice = lowered(facts(|facts| facts.subuids = none()));
    assert_eq!(advice.cause, "/etc/subuid has no range for anna");
    assert_eq!(advice.hint, "as root, once: usermod --add-subuids 100000-165535 anna");

    let advice = lowered(facts(|facts| facts.newuidmap.clear()));
    assert_eq!(advice.cause, "newuidmap is not installed");

    let stuck = facts(|facts| {
        facts.caller.new_privileges = NewPrivileges::Never;
        facts.newuidmap.clear();
    });
    assert!(lowered(stuck).cause.starts_with("no_new_privs is set"));

    let bare = facts(|facts| facts.newgidmap[0].mode = 0o755);
    assert_eq!(
        lowered(bare).cause,
        "/usr/bin/newgidmap has neither the set-user-id bit nor cap_setgid"
    );

    let newgrp = facts(|facts| (facts.caller.gid, facts.caller.egid) = (1000, 27));
    let map = map(Userns::Auto, newgrp).unwrap();
    assert_eq!(map.gids, [mapping(0, 27, 1)]);
    assert!(
        map.to_string().ends_with("real and effective ids differ, which newuidmap does not serve")
    );

    let module = facts(|facts| {
        facts.subgids = Subids::none(subid::Source::Module("sss".to_owned()), None);
    });
    assert_eq!(
        lowered(module).cause,
        "sss, which nsswitch.conf names for subid, has no gid range for anna"
    );

    let nameless = facts(|facts| {
        facts.account = Err(Advice::of_request("uid 1000 has no name", "give one"));
        facts.subuids = none();
        facts.subgids = none();
    });
    let told = lowered(nameless);
    assert_eq!(
        told.cause,
        "uid 1000 has no name; /etc/subuid has no range for 1000; /etc/subgid has no range for 1000"
    );
    assert_eq!(
        told.hint,
        "give one\nas root, once: echo 1000:100000:65536 >> /etc/subuid\n\
         as root, once: echo 1000:100000:65536 >> /etc/subgid"
    );
    let rows: Vec<_> = told.remedies.iter().map(|remedy| remedy.id).collect();
    assert_eq!(rows, ["range-missing-site", "range-missing-site"]);
}

#[test]
fn another_primary_group_is_told_before_newuidmap_is_tried() {
    let newgrp = facts(|facts| (facts.caller.gid, facts.caller.egid) = (27, 27));
    let map = map(Userns::Auto, newgrp).unwrap();
    assert_eq!(map.gids, [mapping(0, 27, 1)]);
    assert!(map.to_string().contains("your group is 27 and not 1000"), "{map}");
}

#[test]
fn one_id_asked_for_probes_nothing_and_blames_nobody() {
    let map = map(Userns::Single, facts(|_| {})).unwrap();
    assert_eq!(
        map.to_string(),
        "map uids 0 -> 1000, gids 0 -> 1000 directly, setgroups denied: one id, you are root inside"
    );
}

#[test]
fn root_with_a_range_writes_it_itself() {
    let with_range =
        Facts { subuids: made_up::facts().subuids, subgids: made_up::facts().subgids, ..root() };
    let with = map(Userns::Auto, with_range).unwrap();
    assert_eq!(with.uids, [mapping(0, 0, 1), mapping(1, 100_000, 65_536)]);
    assert_eq!((with.writer, with.rung), (Writer::Direct, Rung::Range));

    let without = map(Userns::Auto, root()).unwrap();
    assert_eq!(without.uids, [mapping(0, 0, 1)]);
    let advice = without.lowered().unwrap();
    assert!(advice.hint.contains("usermod --add-subuids 100000-165535 root"), "{}", advice.hint);
}

fn nested() -> Facts {
    let mut facts = root();
    facts.caller.uid_map = vec![mapping(0, 1000, 1), mapping(1, 100_000, 65_536)];
    facts.caller.gid_map = vec![mapping(0, 1000, 1), mapping(1, 100_000, 65_536)];
    facts
}

#[test]
fn root_of_a_container_hands_on_all_it_has() {
    let inner = map(Userns::Auto, nested()).unwrap();
    assert_eq!(inner.uids, [mapping(0, 0, 1), mapping(1, 1, 65_536)]);
    assert_eq!((inner.writer, inner.rung), (Writer::Direct, Rung::Nested));
    assert_eq!(inner.setgroups, Setgroups::Allow);

    let mut one = nested();
    one.caller.uid_map.truncate(1);
    one.caller.gid_map.truncate(1);
    one.caller.setgroups = Setgroups::Deny;
    let inner = map(Userns::Auto, one.clone()).unwrap();
    assert_eq!(inner.uids, [mapping(0, 0, 1)]);
    assert!(inner.to_string().ends_with("because the container we are in has one id itself"));
    assert!(refusal(map(Userns::NoMap, one)).contains("nomap needs a range of ids"));
}

#[test]
fn root_without_its_capabilities_is_told_so() {
    let mut bare = nested();
    bare.caller.effective = Capabilities(1 << CAP_SETUID | 1 << CAP_SETGID);
    for userns in [Userns::Auto, Userns::Single, Userns::KeepId { uid: None, gid: None }] {
        let text = refusal(map(userns, bare.clone()));
        assert!(text.contains("lost CAP_SETFCAP"), "{text}");
    }
    let free = map(Userns::NoMap, bare).unwrap();
    assert_eq!(free.uids, [mapping(0, 1, 65_536)]);
}

#[test]
fn a_user_in_a_container_uses_what_exists_there() {
    let inner = |start, count| {
        facts(|facts| {
            let parts = vec![mapping(0, 5000, 1001), mapping(1001, 100_000, 64_000)];
            (facts.caller.uid_map, facts.caller.gid_map) = (parts.clone(), parts);
            facts.subuids.ranges = vec![range(start, count)];
            facts.subgids.ranges = vec![range(start, count)];
        })
    };
    // An extent must lie in one extent of the parent, so it is cut at 1001.
    let map = map(Userns::Auto, inner(1, 65_536)).unwrap();
    assert_eq!(map.uids, [mapping(0, 1000, 1), mapping(1, 1, 999), mapping(1000, 1001, 64_000)]);
    let advice = lowered(inner(100_000, 65_536));
    assert!(
        advice.cause.starts_with(
            "the uids of anna, 100000-165535, do not exist in the container we are in"
        ),
        "{}",
        advice.cause
    );
}

#[test]
fn keep_id_fills_up_around_the_caller() {
    let keep = |uid, gid| Userns::KeepId { uid, gid };
    let own = map(keep(None, None), facts(|_| {})).unwrap();
    assert_eq!(
        own.uids,
        [mapping(0, 100_000, 1000), mapping(1000, 1000, 1), mapping(1001, 101_000, 64_536)]
    );
    assert_eq!(own.default_user, Ids { uid: 1000, gid: 1000 });

    let given = map(keep(Some(0), Some(70_000)), facts(|_| {})).unwrap();
    assert_eq!(given.uids, [mapping(0, 1000, 1), mapping(1, 100_000, 65_536)]);
    assert_eq!(given.gids, [mapping(0, 100_000, 65_536), mapping(70_000, 1000, 1)]);
    assert_eq!(given.default_user, Ids { uid: 0, gid: 70_000 });

    let last = map(keep(Some(u32::MAX - 1), None), facts(|_| {})).unwrap();
    assert_eq!(last.uid_inside(1000), Some(u32::MAX - 1));
    assert!(map(keep(Some(u32::MAX), None), facts(|_| {})).is_err());
}

#[test]
fn what_is_asked_for_is_never_lowered() {
    let bare = || facts(|facts| facts.newuidmap.clear());
    let text = refusal(map(Userns::KeepId { uid: Some(7), gid: None }, bare()));
    assert!(text.starts_with("error: keep-id needs a range of ids: newuidmap is not"), "{text}");
    assert!(text.contains("--uidmap 7:1000:1 --gidmap 1000:1000:1"), "{text}");
    let text = refusal(map(Userns::NoMap, bare()));
    assert!(text.starts_with("error: nomap needs a range of ids: newuidmap is not"), "{text}");
    let text = refusal(custom(&[(0, 100_000, 10)], &[], bare()));
    assert!(text.contains("needs newuidmap and newgidmap: newuidmap is not installed"), "{text}");
}

#[test]
fn nomap_leaves_the_caller_out() {
    let map = map(Userns::NoMap, facts(|_| {})).unwrap();
    assert_eq!(map.uids, [mapping(0, 100_000, 65_536)]);
    assert_eq!(map.uid_inside(1000), None);
    assert_eq!(map.default_user, Ids { uid: 0, gid: 0 });
}

#[test]
fn own_maps_are_taken_as_written() {
    let map = custom(&[(5, 100_010, 10), (0, 1000, 1)], &[], facts(|_| {})).unwrap();
    assert_eq!(map.uids, [mapping(0, 1000, 1), mapping(5, 100_010, 10)]);
    assert_eq!(map.gids, map.uids, "one given alone stands for both");
    assert!(matches!(map.writer, Writer::Helpers { .. }));
    assert_eq!(map.setgroups, Setgroups::Allow);

    let alone = custom(&[(7, 1000, 1)], &[(8, 1000, 1)], facts(|f| f.newuidmap.clear())).unwrap();
    assert_eq!((alone.writer, alone.setgroups), (Writer::Direct, Setgroups::Deny));
    assert_eq!(alone.default_user, Ids { uid: 7, gid: 8 });

    let one_group = custom(&[(0, 100_000, 5)], &[(0, 1000, 1)], facts(|_| {})).unwrap();
    assert_eq!(one_group.setgroups, Setgroups::Deny);

    let by_root = custom(&[(0, 5, 10), (10, 0, 1)], &[(0, 0, 65_536)], root()).unwrap();
    assert_eq!(by_root.writer, Writer::Direct);
}

#[test]
fn maps_that_would_be_refused_are_refused_in_words() {
    let why = |uids: &[Triple]| refusal(custom(uids, &[(0, 1000, 1)], facts(|_| {})));
    assert!(why(&[(0, 1000, 0)]).contains("uid mapping 0:1000:0 is empty"));
    assert!(why(&[(0, u32::MAX, 1)]).contains("goes beyond the last id"));
    assert!(why(&[(u32::MAX - 4, 100_000, 6)]).contains("goes beyond the last id"));
    assert!(
        why(&[(0, 100_000, 10), (9, 100_020, 5)])
            .contains("uid mapping 9:100020:5 maps uid 9 of the container a second time")
    );
    assert!(
        why(&[(0, 100_000, 10), (20, 100_005, 10)])
            .contains("maps uid 100005-100009 of the host a second time")
    );
    let text = why(&[(0, 1000, 1), (1, 99_999, 3)]);
    assert!(text.contains("uid 99999 may not be mapped by you"), "{text}");
    assert!(text.contains("yours are 1000 and 100000-165535"), "{text}");
    // newuidmap takes an own id alone, so 1000 in the middle of a row is one
    // of three refused here.
    assert!(why(&[(0, 999, 3)]).contains("uid 999 and 1001 may not be mapped by you"));
    assert!(refusal(custom(&[], &[], facts(|_| {}))).contains("the map of ids is empty"));
    let many: Vec<_> = (0..341).map(|at| (at * 2, 100_000 + at * 2, 1)).collect();
    assert!(why(&many).contains("the kernel takes 340"));
    let long: Vec<_> = (0..340).map(|at| (at * 2, 100_000 + at * 2, 1)).collect();
    assert!(why(&long).contains("bytes of text"));
}

#[test]
fn the_parents_gaps_cannot_be_mapped() {
    let text = refusal(custom(&[(0, 65_530, 100)], &[], nested()));
    assert!(
        text.contains("uid 65537-65629 cannot be mapped: outside of the user namespace"),
        "{text}"
    );
    let split = custom(&[(10, 0, 5)], &[], nested()).unwrap();
    assert_eq!(split.uids, [mapping(10, 0, 1), mapping(11, 1, 4)]);
}

#[test]
fn a_hundred_pieces_are_enough() {
    let map = map(
        Userns::Auto,
        facts(|facts| {
            facts.subuids.ranges = (0..340).map(|at| range(200_000 + at * 3, 2)).collect();
        }),
    );
    assert_eq!(map.unwrap().uids.len(), 100);
}
