//! The ids a caller may give away beside its own, and how they are laid out.

use crate::host::Host;
use crate::host::advice::table::ids as table;
use crate::host::advice::{Advice, Hole};
use crate::host::caller::{Account, Caller, Source};
use crate::host::helper::{self, Helper};
use crate::host::ids::{Mapping, Range, cut, disjoint, without};
use crate::host::subid::{self, Kind, Subids};

use super::{Idmap, Ids, Rung, Writer};

/// At most so many extents are laid out: with 33 bytes each they stay below
/// the one page that a write to uid_map may have. Who has more ranges than
/// that goes without the last.
const EXTENTS: usize = 100;

/// What can be mapped, and by whom; neither list is empty.
pub(super) struct Pool {
    uids: Vec<Range>,
    gids: Vec<Range>,
    writer: Writer,
}

/// Whether the caller is root of an outer container that may hand on the ids
/// it has.
pub(super) fn is_nested_root(caller: &Caller) -> bool {
    caller.euid == 0 && caller.may_write_maps() && !caller.in_initial_namespace()
}

impl Pool {
    /// Finds what the caller may map: all that exists for root of an outer
    /// container, the subordinate ranges for everybody else.
    ///
    /// The inner error names every obstacle at once, so that nobody removes
    /// them one by one.
    ///
    /// # Errors
    /// Where /proc can't be read.
    pub(super) fn find(host: &Host) -> anyhow::Result<Result<Self, Advice>> {
        let caller = host.caller()?;
        if is_nested_root(caller) {
            return Ok(Self::of_container(caller));
        }
        // With this one all other obstacles are beside the point.
        if let (false, Some(barred)) = (caller.may_write_maps(), helper::barred(caller)) {
            return Ok(Err(barred));
        }
        let mut obstacles = Vec::new();
        let writer = writer(host, &mut obstacles)?;
        let mut ranges = |kind| -> anyhow::Result<Vec<Range>> {
            let subids = host.subids(kind)?;
            let usable = usable(kind, subids, caller);
            if usable.is_empty() {
                obstacles.push(no_range(kind, subids, caller, host.account()?.ok()));
            }
            Ok(usable)
        };
        let (uids, gids) = (ranges(Kind::Uid)?, ranges(Kind::Gid)?);
        Ok(match writer {
            Some(writer) if obstacles.is_empty() => Ok(Self { uids, gids, writer }),
            _ => Err(join(&obstacles)),
        })
    }

    fn of_container(caller: &Caller) -> Result<Self, Advice> {
        let uids = without(&caller.uids(), Range::one(caller.euid));
        let gids = without(&caller.gids(), Range::one(caller.egid));
        if uids.is_empty() || gids.is_empty() {
            return Err(table::CONTAINER_ONE_ID.advice(&[]));
        }
        Ok(Self { uids, gids, writer: Writer::Direct })
    }

    /// The map with the caller's own ids at `own`, if they are in it, and the
    /// pool from 0 upwards around them.
    pub(super) fn around(
        self,
        own: Option<Ids>,
        default_user: Ids,
        caller: &Caller,
        rung: Rung,
    ) -> Idmap {
        Idmap {
            uids: lay(&self.uids, own.map(|own| Mapping::one(own.uid, caller.euid))),
            gids: lay(&self.gids, own.map(|own| Mapping::one(own.gid, caller.egid))),
            // What our own namespace denies is denied below it.
            setgroups: caller.setgroups,
            writer: self.writer,
            rung,
            default_user,
        }
    }
}

/// Lays ranges out one after the other, leaving out the id inside that `own`
/// has. Disjoint ranges without `own`'s id outside give a valid map.
fn lay(pool: &[Range], own: Option<Mapping>) -> Vec<Mapping> {
    let mut map: Vec<Mapping> = own.into_iter().collect();
    let mut next: u32 = 0;
    for range in pool {
        let (mut start, mut left) = (range.start, range.count);
        while left > 0 && next < u32::MAX && map.len() < EXTENTS {
            let room = match own {
                Some(own) if next == own.inside => {
                    next += 1;
                    continue;
                }
                Some(own) if next < own.inside => own.inside - next,
                _ => u32::MAX - next,
            };
            let size = left.min(room);
            map.push(Mapping { inside: next, outside: start, size });
            // `start` may end as 4294967295, which is no id, with nothing left.
            (next, start, left) = (next + size, start.saturating_add(size), left - size);
        }
    }
    map.sort_by_key(|mapping| mapping.inside);
    map
}

/// Who can write a map of more than the caller's own id. Obstacles are added
/// to the list.
pub(super) fn writer(host: &Host, obstacles: &mut Vec<Advice>) -> anyhow::Result<Option<Writer>> {
    let caller = host.caller()?;
    if caller.may_write_maps() {
        return Ok(Some(Writer::Direct));
    }
    match host.account()? {
        Err(nameless) => obstacles.push(nameless.clone()),
        Ok(account) => obstacles.extend(stranger(caller, account)),
    }
    let mut find = |helper| -> anyhow::Result<Option<std::path::PathBuf>> {
        Ok(host.helper(helper)?.map_err(|why| obstacles.push(why.clone())).ok().cloned())
    };
    let found = (find(Helper::Newuidmap)?, find(Helper::Newgidmap)?);
    Ok(match found {
        (Some(newuidmap), Some(newgidmap)) => Some(Writer::Helpers { newuidmap, newgidmap }),
        _ => None,
    })
}

/// newuidmap and newgidmap serve only a process whose real and effective ids
/// are those of the user database, and so is the process they map.
fn stranger(caller: &Caller, account: &Account) -> Option<Advice> {
    let name = &account.user.name;
    if (caller.uid, caller.gid) != (caller.euid, caller.egid) {
        return Some(table::CALLER_SET_ID.advice(&[]));
    }
    let primary = account.user.gid;
    let holes: [Hole; 3] = [("gid", &caller.gid), ("primary", &primary), ("user", name)];
    (caller.gid != primary).then(|| table::CALLER_GROUP.advice(&holes))
}

/// The ranges as far as they can be mapped: each id once, without the
/// caller's own and without the id of root, and only what exists in the user
/// namespace we are in.
fn usable(kind: Kind, subids: &Subids, caller: &Caller) -> Vec<Range> {
    let (own, exist) = match kind {
        Kind::Uid => (caller.euid, caller.uids()),
        Kind::Gid => (caller.egid, caller.gids()),
    };
    let ranges = without(&disjoint(&subids.ranges), Range::one(own));
    // An entry that begins at 0 is a slip of the pen; who means it says it
    // with --uidmap.
    cut(&without(&ranges, Range::one(0)), &exist)
}

fn no_range(kind: Kind, subids: &Subids, caller: &Caller, account: Option<&Account>) -> Advice {
    let owner = account.map_or_else(|| caller.uid.to_string(), |account| account.user.name.clone());
    if !subids.ranges.is_empty() {
        let ranges = list(&subids.ranges);
        let holes: [Hole; 3] = [("kind", &kind), ("user", &owner), ("ranges", &ranges)];
        return table::RANGE_OUTSIDE.advice(&holes);
    }
    let problem = match (&subids.source, &subids.problem) {
        (_, Some(problem)) => problem.clone(),
        (subid::Source::File, None) => format!("{} has no range for {owner}", kind.file()),
        (subid::Source::Module(module), None) => {
            format!(
                "{module}, which nsswitch.conf names for subid, has no {kind} range for {owner}"
            )
        }
    };
    let module = match &subids.source {
        subid::Source::Module(module) => module.as_str(),
        subid::Source::File => "",
    };
    let row = match (&subids.source, account.map(|account| account.source)) {
        (subid::Source::Module(_), _) => &table::RANGE_MISSING_MODULE,
        (subid::Source::File, Some(Source::Passwd)) => &table::RANGE_MISSING,
        // usermod knows no user that /etc/passwd doesn't.
        (subid::Source::File, _) => &table::RANGE_MISSING_SITE,
    };
    let (first, last) = (subids.free_from, u64::from(subids.free_from) + subid::USUAL - 1);
    row.advice(&[
        ("problem", &problem),
        ("kind", &kind),
        ("user", &owner),
        ("first", &first),
        ("last", &last),
        ("module", &module),
    ])
}

/// Ranges as words.
pub(super) fn list(ranges: &[Range]) -> String {
    let words: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    words.join(" and ")
}

/// All obstacles as one, each thing said once.
pub(super) fn join(obstacles: &[Advice]) -> Advice {
    let once = |part: fn(&Advice) -> &str, between: &str| {
        let mut said: Vec<&str> = Vec::new();
        for text in obstacles.iter().map(part) {
            if !said.contains(&text) {
                said.push(text);
            }
        }
        said.join(between)
    };
    let mut remedies: Vec<_> = Vec::new();
    for remedy in obstacles.iter().flat_map(|obstacle| &obstacle.remedies) {
        if !remedies.contains(remedy) {
            remedies.push(remedy.clone());
        }
    }
    Advice { cause: once(|a| &a.cause, "; "), hint: once(|a| &a.hint, "\n"), remedies }
}
