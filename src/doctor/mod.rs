//! What this machine allows, found out by doing it.
//!
//! Every probe does, in a child that is thrown away, what a container needs:
//! it clones, maps, mounts, limits, and starts whole containers. None needs
//! root, none leaves anything, none lasts longer than its deadline, and those
//! that take long run beside each other. What is lacking is told from the table
//! of [`crate::host::advice`], from which the errors of a run are told too.
#![forbid(unsafe_code)]

pub mod ci;
mod container;
mod files;
mod finding;
mod ids;
mod kernel;
mod limits;
mod network;
mod nftables;
pub mod script;
mod trial;

use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use crate::host::Host;
use crate::host::advice::Topic;
use crate::host::gates::Children;
use crate::spec::{ContainerId, Root, Spec, Userns};
pub use finding::{Finding, Verdict};

/// How long the whole of it may take. A healthy machine needs a tenth of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// All that was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it comes to.
    pub verdict: Overall,
    /// The machine's kernel.
    pub kernel: String,
    /// The program that was asked, and that an AppArmor profile would name.
    pub program: String,
    /// Who asked.
    pub user: String,
    /// What was found, topic by topic.
    pub findings: Vec<Finding>,
}

/// What all findings come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overall {
    /// Containers have all that sublet can give them.
    Full,
    /// They run with less, and it is told with what.
    Degraded,
    /// They don't run.
    Unusable,
}

impl Overall {
    /// The code that `sublet doctor` ends with.
    pub fn code(self) -> u8 {
        match self {
            Self::Full => 0,
            Self::Degraded => 1,
            Self::Unusable => 2,
        }
    }
}

impl Report {
    /// What was found by the name `id`.
    pub fn finding(&self, id: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.id == id)
    }

    /// Whether all is well with `id`.
    pub fn has(&self, id: &str) -> bool {
        self.finding(id).is_some_and(|finding| finding.verdict == Verdict::Ok)
    }
}

/// Looks at everything.
///
/// # Errors
/// Where no random number is to be had.
pub fn examine(host: &Host, random: [u8; 32]) -> anyhow::Result<Report> {
    let bench = Bench { host, random, deadline: Instant::now() + PATIENCE };
    let mut findings = vec![kernel::version()];
    match host.caller() {
        Err(error) => findings.push(kernel::no_proc(&error)),
        Ok(_) if host.gates().children == Children::Elsewhere => {
            findings.push(kernel::born_elsewhere(host));
        }
        Ok(_) => {
            // Those that take long go first, and are heard last.
            let containers = container::start(&bench);
            findings.extend(kernel::probe(&bench));
            findings.extend(ids::probe(&bench));
            findings.extend(files::probe(&bench));
            findings.extend(limits::probe(&bench));
            findings.extend(network::probe(&bench));
            findings.extend(containers.finish(&bench));
        }
    }
    findings.sort_by_key(|finding| finding.topic);
    let nix = nix::sys::utsname::uname().context("ask for the kernel's name")?;
    let caller = host.caller().ok();
    let name = host.account().ok().and_then(Result::ok).map(|account| account.user.name.clone());
    let uid = caller.map(|caller| caller.uid.to_string()).unwrap_or_default();
    Ok(Report {
        verdict: overall(&findings),
        kernel: nix.release().to_string_lossy().into_owned(),
        program: host.gates().program.display().to_string(),
        user: name.unwrap_or(uid),
        findings,
    })
}

fn overall(findings: &[Finding]) -> Overall {
    let worst = |finding: &Finding| match finding.verdict {
        Verdict::Missing if finding.essential => Overall::Unusable,
        Verdict::Missing | Verdict::Degraded => Overall::Degraded,
        Verdict::Ok | Verdict::Info => Overall::Full,
    };
    findings.iter().map(worst).max_by_key(|overall| overall.code()).unwrap_or(Overall::Full)
}

/// What every probe is given.
struct Bench<'a> {
    host: &'a Host,
    random: [u8; 32],
    deadline: Instant,
}

impl Bench<'_> {
    /// A container that is asked for without any wish.
    fn spec(&self, userns: Userns) -> Spec {
        let mut spec = Spec::new(ContainerId::from_random(self.random), Root::Host);
        spec.beside.userns = userns;
        spec
    }
}

/// The topics in their order, each with what was found.
pub fn by_topic(findings: &[Finding]) -> impl Iterator<Item = (Topic, Vec<&Finding>)> {
    Topic::ALL.into_iter().map(|topic| {
        (topic, findings.iter().filter(|finding| finding.topic == topic).collect::<Vec<_>>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides() {
        let ok = || Finding::new("a", Topic::Run, "a").ok("x");
        let lacks = || Finding::new("b", Topic::Ids, "b").degraded("x", "y");
        let fails = || Finding::new("c", Topic::Run, "c").missing("x");
        let all = |findings: Vec<Finding>| overall(&findings);
        assert_eq!(all(vec![ok()]), Overall::Full);
        assert_eq!(all(vec![ok(), ok().info("x")]), Overall::Full);
        assert_eq!(all(vec![lacks(), ok()]), Overall::Degraded);
        assert_eq!(all(vec![fails(), ok()]), Overall::Degraded, "it can be done without");
        assert_eq!(all(vec![fails().essential(), lacks()]), Overall::Unusable);
    }
}
