//! Which ids inside are which outside, and who writes that down.
//!
//! Reads `spec` (`Userns`, the OCI mappings) and `host`; produces an
//! [`Idmap`], which [`idmap`](crate::idmap) writes. Only [`Userns::Auto`] has
//! a ladder: what is asked for and can't be had is an error.

mod custom;
mod pool;

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use oci_spec::runtime::LinuxIdMapping;

use super::join::{Join, Owner};
use crate::error::Explain;
use crate::host::Host;
use crate::host::advice::Advice;
use crate::host::advice::table::{ids, run};
pub use crate::host::caller::Setgroups;
use crate::host::caller::{CAP_SETFCAP, Caller};
pub use crate::host::ids::{Mapping, Range};
use crate::host::ids::{inside, normal, outside};
use crate::spec::{Spec, Userns};
use pool::Pool;

/// The maps of the container's user namespace. Outside ids are those of the
/// caller's own user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idmap {
    /// Users, in order of inside ids; at least one.
    pub uids: Vec<Mapping>,
    /// Groups, likewise.
    pub gids: Vec<Mapping>,
    /// Whether setgroups(2) works inside.
    pub setgroups: Setgroups,
    /// Who writes the maps.
    pub writer: Writer,
    /// How much was had of what could be.
    pub rung: Rung,
    /// Who the payload is where nobody says: always mapped.
    pub default_user: Ids,
}

/// A user and its group, as numbered inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The user's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
}

/// Who writes the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writer {
    /// We do: our own id alone, or with CAP_SETUID and CAP_SETGID anything.
    Direct,
    /// Nobody: they are those of the namespace that we are in.
    Nobody,
    /// The set-user-id programs of shadow-utils.
    Helpers {
        /// newuidmap(1).
        newuidmap: PathBuf,
        /// newgidmap(1).
        newgidmap: PathBuf,
    },
    /// Nobody: the user namespace is there already.
    Owner,
}

/// What kind of map it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rung {
    /// The caller is root, and all of its ranges follow.
    Range,
    /// All ids of the user namespace we are in keep their numbers.
    Nested,
    /// The caller alone, as root.
    Single(Why),
    /// The caller keeps a number of its own, its ranges fill up around it.
    KeepId,
    /// The caller's ranges without the caller.
    NoMap,
    /// As written by whoever asked.
    Custom,
    /// Those of whose user namespace the container is made in.
    Joined,
    /// The caller's own namespace, as it is.
    Caller,
}

/// Why there is one id alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was asked for.
    Asked,
    /// A range can't be had.
    NoRange(Advice),
}

impl Idmap {
    /// What the uid is outside.
    pub fn uid_outside(&self, uid: u32) -> Option<u32> {
        outside(&self.uids, uid)
    }

    /// What the gid is outside.
    pub fn gid_outside(&self, gid: u32) -> Option<u32> {
        outside(&self.gids, gid)
    }

    /// What the caller's namespace calls `uid` is called so inside.
    pub fn uid_inside(&self, uid: u32) -> Option<u32> {
        inside(&self.uids, uid)
    }

    /// What the caller's namespace calls `gid` is called so inside.
    pub fn gid_inside(&self, gid: u32) -> Option<u32> {
        inside(&self.gids, gid)
    }

    /// The groups inside whose numbers outside are the first and the last of
    /// all: every group of the container is from one to the other (icmp(7)).
    pub fn group_range(&self) -> (u32, u32) {
        let first = self.gids.iter().min_by_key(|map| map.outside);
        let last = self.gids.iter().max_by_key(|map| map.outside);
        let last = last.map(|map| map.inside.saturating_add(map.size.saturating_sub(1)));
        (first.map_or(0, |map| map.inside), last.unwrap_or(0))
    }

    /// Why it is one id where a range was wanted, and what would help: to be
    /// said once by who runs it.
    pub fn lowered(&self) -> Option<&Advice> {
        match &self.rung {
            Rung::Single(Why::NoRange(why)) => Some(why),
            _ => None,
        }
    }

    /// Who makes the mounts: root where there is one, for its rights over files.
    pub fn setup_user(&self) -> Ids {
        let root = Ids { uid: 0, gid: 0 };
        if self.contains(root) { root } else { self.default_user }
    }

    /// Whether a process inside may be that user with that group.
    pub fn contains(&self, ids: Ids) -> bool {
        self.uid_outside(ids.uid).is_some() && self.gid_outside(ids.gid).is_some()
    }
}

impl fmt::Display for Idmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "map uids {}, gids {}", Words(&self.uids), Words(&self.gids))?;
        write!(f, " {}, {}: {}", self.writer, self.setgroups, self.rung)
    }
}

struct Words<'a>(&'a [Mapping]);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mapping) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{mapping}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("directly"),
            Self::Nobody => f.write_str("as they are"),
            Self::Helpers { newuidmap, newgidmap } => {
                write!(f, "through {} and {}", newuidmap.display(), newgidmap.display())
            }
            Self::Owner => f.write_str("as they are"),
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range => f.write_str("a range of ids, you are root inside"),
            Self::Nested => f.write_str("all ids of the container we are in"),
            Self::Single(Why::Asked) => f.write_str("one id, you are root inside"),
            Self::Single(Why::NoRange(advice)) => {
                write!(f, "one id, you are root inside, because {}", advice.cause)
            }
            Self::KeepId => f.write_str("a range of ids, you keep an id of your own"),
            Self::NoMap => f.write_str("a range of ids, yours is not among them"),
            Self::Custom => f.write_str("ids as asked for"),
            Self::Joined => f.write_str("those of whose network it is"),
            Self::Caller => f.write_str("all ids of the user namespace we are in"),
        }
    }
}

/// Decides the maps.
///
/// # Errors
/// What is asked for and can't be had, with a hint what would help.
pub fn compile(spec: &Spec, host: &Host) -> anyhow::Result<Idmap> {
    let linux = spec.oci.linux().as_ref();
    let asked = Asked {
        userns: &spec.beside.userns,
        uids: linux.and_then(|linux| linux.uid_mappings().as_deref()).unwrap_or_default(),
        gids: linux.and_then(|linux| linux.gid_mappings().as_deref()).unwrap_or_default(),
    };
    decide(asked, host).context("map ids")
}

/// The maps of a container that is made in somebody else's user namespace.
///
/// # Errors
/// Where other ones are asked for.
pub fn joined(join: &Join, owner: &Owner, spec: &Spec, host: &Host) -> anyhow::Result<Idmap> {
    let (uids, gids) = (&owner.uids, &owner.gids);
    if spec.beside.userns != Userns::Auto {
        let asked = compile(spec, host)?;
        let same = |one: &[Mapping], other: &[Mapping]| normal(one) == normal(other);
        if !same(&asked.uids, uids) || !same(&asked.gids, gids) {
            let (uids, gids) = (Words(uids), Words(gids));
            let told = format!("{} has other ids: uids {uids}, gids {gids}", join.whose);
            return Err(anyhow!(told)).context("map ids").hint(
                "who shares a network shares the ids, too: leave --userns, --uidmap and --gidmap \
                 out, or ask for the same ones",
            );
        }
    }
    ensure!(!uids.is_empty() && !gids.is_empty(), "{} has no ids mapped", join.whose);
    let caller = host.caller()?;
    // Its root, or who the caller is there, or anybody.
    let ids = |maps: &[Mapping], own: u32| {
        let is_there = |id| outside(maps, id).is_some();
        let own = inside(maps, own);
        if is_there(0) { 0 } else { own.unwrap_or_else(|| maps.first().map_or(0, |it| it.inside)) }
    };
    let default_user = Ids { uid: ids(uids, caller.euid), gid: ids(gids, caller.egid) };
    Ok(Idmap {
        uids: uids.clone(),
        gids: gids.clone(),
        setgroups: owner.setgroups,
        writer: Writer::Owner,
        rung: Rung::Joined,
        default_user,
    })
}

/// The maps of a container that runs: what the kernel has of it now, and what
/// was asked for.
///
/// # Errors
/// Where the caller can't be looked up.
pub fn running(
    spec: &Spec,
    (uids, gids): (&[Mapping], &[Mapping]),
    setgroups: Setgroups,
    host: &Host,
) -> anyhow::Result<Idmap> {
    let caller = host.caller()?;
    let default_user = match spec.beside.userns {
        Userns::KeepId { uid, gid } => {
            Ids { uid: uid.unwrap_or(caller.euid), gid: gid.unwrap_or(caller.egid) }
        }
        _ => Ids {
            uid: custom::default_id(uids, caller.euid),
            gid: custom::default_id(gids, caller.egid),
        },
    };
    let rung = match spec.beside.userns {
        Userns::KeepId { .. } => Rung::KeepId,
        Userns::NoMap => Rung::NoMap,
        Userns::Custom => Rung::Custom,
        Userns::Caller => Rung::Caller,
        Userns::Auto | Userns::Single if setgroups == Setgroups::Deny => Rung::Single(Why::Asked),
        Userns::Auto | Userns::Single => Rung::Range,
    };
    let (uids, gids, writer) = (uids.to_vec(), gids.to_vec(), Writer::Direct);
    Ok(Idmap { uids, gids, setgroups, writer, rung, default_user })
}

/// The part of a spec that is read here.
#[derive(Clone, Copy)]
struct Asked<'a> {
    userns: &'a Userns,
    uids: &'a [LinuxIdMapping],
    gids: &'a [LinuxIdMapping],
}

fn decide(asked: Asked<'_>, host: &Host) -> anyhow::Result<Idmap> {
    let caller = host.caller()?;
    match asked.userns {
        Userns::Auto => auto(caller, host),
        Userns::Single => single(caller, Why::Asked),
        Userns::KeepId { uid, gid } => {
            let kept = Ids { uid: uid.unwrap_or(caller.euid), gid: gid.unwrap_or(caller.egid) };
            keep_id(kept, caller, host)
        }
        Userns::NoMap => no_map(caller, host),
        Userns::Custom => custom::decide(asked.uids, asked.gids, caller, host),
        Userns::Caller => Ok(as_they_are(caller)),
    }
}

fn auto(caller: &Caller, host: &Host) -> anyhow::Result<Idmap> {
    if pool::is_nested_root(caller) {
        return nested(caller);
    }
    match Pool::find(host)? {
        Ok(pool) => {
            may_map_own(caller)?;
            let root = Ids { uid: 0, gid: 0 };
            Ok(pool.around(Some(root), root, caller, Rung::Range))
        }
        Err(why) => single(caller, Why::NoRange(why)),
    }
}

/// Root of an outer container hands on all that it has, number by number, so
/// that files of a shared root keep their owners.
fn nested(caller: &Caller) -> anyhow::Result<Idmap> {
    // Each extent names ids of one extent of ours: the kernel translates a
    // range through a single one (map_id_range_down).
    let same = |ranges: Vec<Range>| -> Vec<Mapping> {
        let mut ranges = ranges;
        ranges.sort_by_key(|range| range.start);
        ranges
            .into_iter()
            .map(|Range { start, count }| Mapping { inside: start, outside: start, size: count })
            .collect()
    };
    let (uids, gids) = (same(caller.uids()), same(caller.gids()));
    if uids == [Mapping::one(0, 0)] && gids == [Mapping::one(0, 0)] {
        return single(caller, Why::NoRange(ids::CONTAINER_ONE_ID.advice(&[])));
    }
    may_map_own(caller)?;
    Ok(Idmap {
        uids,
        gids,
        setgroups: caller.setgroups,
        writer: Writer::Direct,
        rung: Rung::Nested,
        default_user: Ids { uid: 0, gid: 0 },
    })
}

/// The user namespace that we are in is the container's, too.
fn as_they_are(caller: &Caller) -> Idmap {
    let same = |ranges: Vec<Range>| -> Vec<Mapping> {
        let same = |it: Range| Mapping { inside: it.start, outside: it.start, size: it.count };
        ranges.into_iter().map(same).collect()
    };
    Idmap {
        uids: same(caller.uids()),
        gids: same(caller.gids()),
        setgroups: caller.setgroups,
        writer: Writer::Nobody,
        rung: Rung::Caller,
        default_user: Ids { uid: caller.euid, gid: caller.egid },
    }
}

/// The caller alone. The kernel lets everybody map its own effective ids, if
/// setgroups(2) is given up first (user_namespaces(7)).
fn single(caller: &Caller, why: Why) -> anyhow::Result<Idmap> {
    may_map_own(caller)?;
    Ok(Idmap {
        uids: vec![Mapping::one(0, caller.euid)],
        gids: vec![Mapping::one(0, caller.egid)],
        setgroups: Setgroups::Deny,
        writer: Writer::Direct,
        rung: Rung::Single(why),
        default_user: Ids { uid: 0, gid: 0 },
    })
}

fn keep_id(kept: Ids, caller: &Caller, host: &Host) -> anyhow::Result<Idmap> {
    ensure!(kept.uid != u32::MAX && kept.gid != u32::MAX, "keep-id takes ids from 0 to 4294967294");
    may_map_own(caller)?;
    let (uid, gid) = (caller.euid, caller.egid);
    let pool = Pool::find(host)?.or_else(|why| {
        let cause = format!("keep-id needs a range of ids: {}", why.cause);
        let hint = format!(
            "{}\nor take your own id alone: --uidmap {}:{uid}:1 --gidmap {}:{gid}:1",
            why.hint, kept.uid, kept.gid
        );
        Advice { cause, hint, ..why }.refuse()
    })?;
    Ok(pool.around(Some(kept), kept, caller, Rung::KeepId))
}

fn no_map(caller: &Caller, host: &Host) -> anyhow::Result<Idmap> {
    let pool = Pool::find(host)?.or_else(|why| {
        let cause = format!("nomap needs a range of ids: {}", why.cause);
        Advice { cause, ..why }.refuse()
    })?;
    Ok(pool.around(None, Ids { uid: 0, gid: 0 }, caller, Rung::NoMap))
}

/// Since Linux 5.12 the parent's id 0 is mapped only by CAP_SETFCAP, also
/// when it is the caller's own: root without capabilities must not gain file
/// capabilities that count outside (`verify_root_map`).
fn may_map_own(caller: &Caller) -> anyhow::Result<()> {
    if caller.euid != 0 || caller.effective.have(&[CAP_SETFCAP]) {
        return Ok(());
    }
    run::SETFCAP_LOST.advice(&[]).refuse()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::here;
