//! Maps as somebody wrote them: `--uidmap`, `--gidmap`, an OCI bundle.

use anyhow::{bail, ensure};
use oci_spec::runtime::LinuxIdMapping;

use super::{Idmap, Ids, Mapping, Range, Rung, Setgroups, Writer, pool};
use crate::error::Explain;
use crate::host::Host;
use crate::host::advice::Advice;
use crate::host::caller::{CAP_SETFCAP, Caller};
use crate::host::ids::{cut, disjoint, inside, map_text, without};
use crate::host::subid::Kind;

/// The most extents of a map: UID_GID_MAP_MAX_EXTENTS of the kernel.
const EXTENTS: usize = 340;

/// Checks the maps against what the kernel and the helpers take.
pub(super) fn decide(
    uids: &[LinuxIdMapping],
    gids: &[LinuxIdMapping],
    caller: &Caller,
    host: &Host,
) -> anyhow::Result<Idmap> {
    // One given alone stands for both, as with podman.
    let (uids, gids) = match (uids, gids) {
        ([], []) => bail!("the map of ids is empty: give at least one CONTAINER:HOST:SIZE"),
        (uids, []) => (uids, uids),
        ([], gids) => (gids, gids),
        both => both,
    };
    let uids = checked(Kind::Uid, uids, &caller.uids())?;
    let gids = checked(Kind::Gid, gids, &caller.gids())?;
    let alone = is_own(&uids, caller.euid) && is_own(&gids, caller.egid);
    let (uids, gids, writer, setgroups) = if caller.may_write_maps() {
        (uids, gids, Writer::Direct, caller.setgroups)
    } else if alone {
        (uids, gids, Writer::Direct, Setgroups::Deny)
    } else {
        through_helpers(uids, gids, caller, host)?
    };
    if writer == Writer::Direct && inside(&uids, 0).is_some() {
        let capable = caller.effective.have(&[CAP_SETFCAP]);
        ensure!(capable, "only a process with CAP_SETFCAP may map uid 0 of its user namespace");
    }
    fits(Kind::Uid, &uids)?;
    fits(Kind::Gid, &gids)?;
    let default_user =
        Ids { uid: default_id(&uids, caller.euid), gid: default_id(&gids, caller.egid) };
    Ok(Idmap { uids, gids, setgroups, writer, rung: Rung::Custom, default_user })
}

/// Root where there is one, else the caller, else the first there is.
pub(super) fn default_id(map: &[Mapping], own: u32) -> u32 {
    let first = map.first().map_or(0, |mapping| mapping.inside);
    if first == 0 { 0 } else { inside(map, own).unwrap_or(first) }
}

fn is_own(map: &[Mapping], own: u32) -> bool {
    matches!(map, [only] if only.outer() == Range::one(own))
}

/// One kind's map in order of inside ids, cut so that each extent lies in one
/// of `exist`: the kernel translates a range through a single extent of its
/// parent (map_id_range_down).
fn checked(kind: Kind, asked: &[LinuxIdMapping], exist: &[Range]) -> anyhow::Result<Vec<Mapping>> {
    let count = asked.len();
    ensure!(count <= EXTENTS, "there are {count} {kind} mappings, the kernel takes {EXTENTS}");
    let mut map: Vec<Mapping> = Vec::with_capacity(count);
    for entry in asked {
        let (inside, outside, size) = (entry.container_id(), entry.host_id(), entry.size());
        let words = format!("{kind} mapping {inside}:{outside}:{size}");
        ensure!(size > 0, "{words} is empty");
        let end = u64::from(inside.max(outside)) + u64::from(size);
        ensure!(end <= u32::MAX.into(), "{words} goes beyond the last id, 4294967294");
        let mapping = Mapping { inside, outside, size };
        for earlier in &map {
            let (inner, outer) = (mapping.inner(), mapping.outer());
            if let Some(twice) = inner.shared(earlier.inner()) {
                bail!("{words} maps {kind} {twice} of the container a second time");
            }
            if let Some(twice) = outer.shared(earlier.outer()) {
                bail!("{words} maps {kind} {twice} of the host a second time");
            }
        }
        map.push(mapping);
    }
    split(&map, exist).or_else(|missing| {
        Advice::of_request(
            format!(
                "{kind} {} cannot be mapped: outside of the user namespace we are in",
                pool::list(&missing)
            ),
            format!("choose from /proc/self/{kind}_map: {}", pool::list(exist)),
        )
        .refuse()
    })
}

/// The map cut at the ends of `fences`; the outside ids that are in none are
/// the error.
fn split(map: &[Mapping], fences: &[Range]) -> Result<Vec<Mapping>, Vec<Range>> {
    let mut pieces = Vec::new();
    let mut missing = Vec::new();
    for mapping in map {
        let covered = cut(&[mapping.outer()], fences);
        missing.extend(
            covered.iter().fold(vec![mapping.outer()], |left, piece| without(&left, *piece)),
        );
        pieces.extend(covered.into_iter().map(|piece| Mapping {
            inside: mapping.inside + (piece.start - mapping.outside),
            outside: piece.start,
            size: piece.count,
        }));
    }
    pieces.sort_by_key(|piece| piece.inside);
    if missing.is_empty() { Ok(pieces) } else { Err(missing) }
}

/// What newuidmap and newgidmap would refuse is refused here, in words: they
/// take the caller's own id, one alone, and what lies in its ranges.
fn through_helpers(
    uids: Vec<Mapping>,
    gids: Vec<Mapping>,
    caller: &Caller,
    host: &Host,
) -> anyhow::Result<(Vec<Mapping>, Vec<Mapping>, Writer, Setgroups)> {
    let mut obstacles = Vec::new();
    let Some(writer) = pool::writer(host, &mut obstacles)?.filter(|_| obstacles.is_empty()) else {
        let Advice { cause, hint, .. } = pool::join(&obstacles);
        return Err(anyhow::anyhow!("such a map needs newuidmap and newgidmap: {cause}"))
            .hint(hint);
    };
    let allowed = |kind, map: &[Mapping], own| -> anyhow::Result<Vec<Mapping>> {
        let ranges = disjoint(&host.subids(kind)?.ranges);
        let mut fences = vec![Range::one(own)];
        fences.extend(without(&ranges, Range::one(own)));
        split(map, &fences).or_else(|refused| {
            Advice::of_request(
                format!("{kind} {} may not be mapped by you", pool::list(&refused)),
                format!("yours are {}: see {}", pool::list(&fences), kind.file()),
            )
            .refuse()
        })
    };
    let uids = allowed(Kind::Uid, &uids, caller.uid)?;
    let gids = allowed(Kind::Gid, &gids, caller.gid)?;
    // newgidmap leaves setgroups alone only for who has a range of groups:
    // with its own group alone a user may not drop the others.
    let setgroups = if is_own(&gids, caller.gid) { Setgroups::Deny } else { caller.setgroups };
    Ok((uids, gids, writer, setgroups))
}

/// A map is one write of less than a page.
fn fits(kind: Kind, map: &[Mapping]) -> anyhow::Result<()> {
    let count = map.len();
    ensure!(count <= EXTENTS, "the {kind} map has {count} pieces, the kernel takes {EXTENTS}");
    let length = map_text(map).len();
    ensure!(length < 4096, "the {kind} map is {length} bytes of text, the kernel takes 4095");
    Ok(())
}
