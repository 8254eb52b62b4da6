//! The rungs that a job of CI can stand on here, and a line for each.

use serde::Serialize;

use std::path::Path;

use super::{Finding, Report, Verdict};
use crate::spec::process::PATH;

/// One rung.
#[derive(Debug, Serialize)]
pub struct Rung {
    /// What it gives.
    pub what: &'static str,
    /// Whether a job can stand on it here.
    pub stands: bool,
    /// The line of a job that uses it, or does without.
    pub recipe: String,
    /// What the runner would have to be given for it.
    pub needs: String,
}

/// What a rung is made of.
struct Kind {
    what: &'static str,
    on: &'static [&'static str],
    with: &'static str,
    without: &'static str,
    needs: &'static str,
}

const KINDS: [Kind; 7] = [
    Kind {
        what: "a container",
        on: &["container"],
        with: "sublet run -v \"$PWD:$PWD\" -w \"$PWD\" host -- make test",
        without: "make test",
        needs: "user namespaces for the job: a seccomp filter that allows unshare and mount; on \
                Ubuntu 24.04 runners: sudo sysctl -w \
                kernel.apparmor_restrict_unprivileged_userns=0",
    },
    Kind {
        what: "more ids than one",
        on: &["id-range"],
        with: "sublet run ./debian-root -- apt-get install -y build-essential",
        without: "sublet run --userns single ./root -- make",
        needs: "newuidmap (package uidmap) in the image, a line in /etc/subuid and /etc/subgid, \
                and no allowPrivilegeEscalation: false",
    },
    Kind {
        what: "a private /proc",
        on: &["proc-new"],
        with: "sublet run host -- ps -e",
        without: "sublet run host -- ps -e    # shows the job's own processes, too",
        needs: "an outer container with --security-opt unmask=ALL, or procMount: Unmasked",
    },
    Kind {
        what: "a throw-away root",
        on: &["overlay"],
        with: "sublet run ./root:O -- make install",
        without: "cp -a root copy && sublet run ./copy -- make install",
        needs: "Linux 5.11 with overlayfs, and a root that is not on NFS",
    },
    Kind {
        what: "a network of its own",
        on: &["pasta", "slirp4netns"],
        with: "sublet run --network auto host -- curl https://example.org",
        without: "sublet run --network host host -- curl https://example.org",
        needs: "--device /dev/net/tun, and pasta (package passt) or slirp4netns",
    },
    Kind {
        what: "limits of memory",
        on: &["memory"],
        with: "sublet run -m 1g host -- make test",
        without: "sublet run -m 1g --limits best-effort host -- make test",
        needs: "cgroup v2 with a group of the job's own: Delegate=yes, or a session of systemd",
    },
    Kind {
        what: "containers inside",
        on: &["nested-user-namespace"],
        with: NESTED,
        without: "sublet run host -- id",
        needs: "user.max_user_namespaces above zero",
    },
];

/// A container in another, where this program is found inside as well.
const NESTED: &str = "sublet run --nested host -- sublet run host -- id";

/// The same with the program at a place where it is, as the trial has it: what
/// lies in a home, in /tmp or in /run is not there under `host`.
fn nested(program: &str) -> String {
    let found = |directory| Path::new(directory).join("sublet") == Path::new(program);
    if PATH.split(':').any(found) {
        return NESTED.to_owned();
    }
    let volume = word(&format!("{program}:/run/sublet:ro"));
    format!("sublet run --nested -v {volume} host -- /run/sublet run host -- id")
}

/// As a word for a shell.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:".contains(c);
    match text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// All rungs, the first that everything stands on first.
pub fn rungs(report: &Report) -> Vec<Rung> {
    let runs = report.has("container");
    KINDS
        .iter()
        .map(|kind| {
            let stands = runs && kind.on.iter().any(|id| report.has(id));
            let recipe = match (stands, kind.with) {
                (true, NESTED) => nested(&report.program),
                (true, with) => with.to_owned(),
                (false, _) => kind.without.to_owned(),
            };
            let needs = if stands { "" } else { kind.needs };
            Rung { what: kind.what, stands, recipe, needs: needs.to_owned() }
        })
        .collect()
}

/// Why a rung is not there: what its probes have seen.
pub fn why(report: &Report, rung: &Rung) -> Option<String> {
    let kind = KINDS.iter().find(|kind| kind.what == rung.what)?;
    let seen = |id: &&str| report.finding(id);
    let lacks = |finding: &&Finding| finding.verdict != Verdict::Ok;
    kind.on.iter().filter_map(seen).find(lacks).map(|finding| finding.evidence.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_inside_is_brought_along() {
        assert_eq!(nested("/usr/bin/sublet"), NESTED);
        assert!(nested("/usr/bin/sublet-1").contains("-v /usr/bin/sublet-1:/run/sublet:ro "));
        assert_eq!(
            nested("/home/anna/bin/sublet"),
            "sublet run --nested -v /home/anna/bin/sublet:/run/sublet:ro host -- /run/sublet run \
             host -- id"
        );
        assert!(nested("/tmp/it's/sublet").contains(r"-v '/tmp/it'\''s/sublet:/run/sublet:ro' "));
    }
}
