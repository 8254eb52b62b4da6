//! What root has to do here, as a script for a ticket.

use super::{Report, Verdict};
use crate::error::is_harmful;

/// A POSIX shell script with a part for each thing that is lacking and that
/// root can mend, and nothing else. It may be run twice.
pub fn script(report: &Report) -> String {
    let mut text = format!(
        "#!/bin/sh\n\
         # What keeps {} from having all that sublet can do, on a machine with\n\
         # Linux {}. To be run by root; it may be run twice. Each part says why.\n\
         set -u\n",
        line(&report.user),
        line(&report.kernel),
    );
    let lacking = |verdict| matches!(verdict, Verdict::Degraded | Verdict::Missing);
    let remedies = report.findings.iter().filter(|finding| lacking(finding.verdict));
    let mut seen = Vec::new();
    for remedy in remedies.flat_map(|finding| &finding.remedies) {
        if remedy.root.is_empty() || seen.contains(&(&remedy.script, &remedy.root)) {
            continue;
        }
        seen.push((&remedy.script, &remedy.root));
        text.push_str(&format!("\n# {}\n", line(&remedy.cause)));
        match remedy.script.as_str() {
            "" => {
                text.push_str("# Not for a script; by hand:\n");
                remedy.root.lines().for_each(|words| text.push_str(&format!("#   {words}\n")));
            }
            script => text.push_str(script),
        }
    }
    if seen.is_empty() {
        text.push_str("\n# There is nothing that root could do.\n");
    }
    text
}

/// As one line of a comment, whatever it holds.
fn line(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Finding, Overall};
    use super::*;
    use crate::host::advice::Topic;
    use crate::host::advice::table::{limits, network};

    fn report(findings: Vec<Finding>) -> Report {
        Report {
            verdict: Overall::Degraded,
            kernel: "6.12".to_owned(),
            program: "/usr/bin/sublet".to_owned(),
            user: "an\nna".to_owned(),
            findings,
        }
    }

    #[test]
    fn only_what_is_lacking_here_and_each_once() {
        let tun = || {
            let finding = Finding::new("tun", Topic::Network, "tun").degraded("", "");
            finding.because(network::TUN_DENIED.advice(&[]))
        };
        let info = Finding::new("linger", Topic::Limits, "linger").info("");
        let info = info.because(limits::LINGER_OFF.advice(&[("uid", &1000)]));
        let hybrid = Finding::new("cpu", Topic::Limits, "cpu").degraded("", "");
        let hybrid = hybrid.because(limits::CGROUP_HYBRID.advice(&[]));
        let text = script(&report(vec![tun(), tun(), info, hybrid]));
        assert_eq!(text.matches("chmod 666 /dev/net/tun").count(), 1, "{text}");
        assert!(text.contains("# What keeps an na from") && !text.contains("linger"), "{text}");
        assert!(text.contains("#   add systemd.unified_cgroup_hierarchy=1 to"), "{text}");
        assert!(script(&report(Vec::new())).ends_with("nothing that root could do.\n"));
    }
}
