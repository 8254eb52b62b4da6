//! Whether a container has a range of ids.

use nix::libc;

use super::trial::{finish, to_bytes};
use super::{Bench, Finding};
use crate::child::trial::Trial;
use crate::error::causes;
use crate::host::advice::Topic;
use crate::host::subid::Kind;
use crate::plan::idmap::{self, Rung, Why};
use crate::spec::Userns;

/// What is done in its place.
const SINGLE: &str = "you are root inside and the only one: what belongs to others shows as nobody";

/// The range that a run would take, written by who would write it.
pub fn probe(bench: &Bench<'_>) -> Vec<Finding> {
    vec![account(bench), range(bench)]
}

fn account(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("account", Topic::Ids, "who you are");
    let Ok(caller) = bench.host.caller() else { return finding };
    match bench.host.account() {
        Ok(Ok(account)) => {
            let ranges = |kind| bench.host.subids(kind).map(|subids| subids.ranges.clone());
            let told = |kind: Kind| {
                let ranges = ranges(kind).unwrap_or_default();
                let words: Vec<_> = ranges.iter().map(ToString::to_string).collect();
                format!(
                    "{kind}s {}",
                    if words.is_empty() { "none".into() } else { words.join(" ") }
                )
            };
            finding.ok(format!(
                "{}, uid {}, gid {}; subordinate {}, {}",
                account.user.name,
                caller.uid,
                caller.gid,
                told(Kind::Uid),
                told(Kind::Gid)
            ))
        }
        Ok(Err(advice)) => finding.info(String::new()).because(advice.clone()),
        Err(error) => finding.info(String::new()).because_of(&error),
    }
}

fn range(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("id-range", Topic::Ids, "a map of a range of ids");
    let map = match idmap::compile(&bench.spec(Userns::Auto), bench.host) {
        Ok(map) => map,
        Err(error) => return finding.missing(String::new()).because_of(&error),
    };
    if let Rung::Single(Why::NoRange(advice)) = &map.rung {
        return finding.degraded(String::new(), SINGLE).because(advice.clone());
    }
    let started = Trial::start(libc::CLONE_NEWUSER as u64, None, |gate| {
        gate.pass();
        to_bytes(&Ok(String::new()))
    });
    // Why not is told of the user namespace.
    let Ok(mut trial) = started else { return finding.info("not tried: no user namespace") };
    let mapped =
        crate::idmap::begin(&map, trial.pid(), bench.host).and_then(|pending| pending.finish());
    trial.go();
    let _ = finish(trial, bench);
    match mapped {
        Ok(()) => finding.ok(format!("{map}; read back")),
        Err(error) => finding.missing(causes(&error)).because_of(&error),
    }
}
