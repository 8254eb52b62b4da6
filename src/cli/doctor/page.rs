//! What was found, on a page for people.

use crate::cli::columns::{aligned, plain};
use crate::cli::terminal::{Colour, Paint};
use crate::doctor::{Finding, Overall, Report, Verdict, by_topic, ci};
use crate::host::advice::Remedy;

/// How wide a line of words becomes.
const WIDTH: usize = 100;

/// The whole page.
pub fn page(report: &Report, paint: Paint) -> String {
    let verdict = match report.verdict {
        Overall::Full => paint.word(Colour::Green, "all is there"),
        Overall::Degraded => paint.word(Colour::Yellow, "containers run, with less"),
        Overall::Unusable => paint.word(Colour::Red, "no container runs"),
    };
    let mut text = format!(
        "sublet {} for {} on Linux {}: {verdict}\n",
        env!("CARGO_PKG_VERSION"),
        plain(&report.user),
        plain(&report.kernel)
    );
    let widest = report.findings.iter().map(|finding| finding.what.chars().count()).max();
    let mut told = Vec::new();
    let mut before = "";
    for (topic, findings) in by_topic(&report.findings) {
        if findings.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{}\n", paint.strong(topic.title())));
        for finding in findings {
            let again = !finding.remedies.is_empty() && finding.evidence == before;
            let evidence = if again { "as above" } else { &finding.evidence };
            line(finding, evidence, widest.unwrap_or(0), paint, &mut text);
            help(finding, &mut told, &mut text);
            before = &finding.evidence;
        }
    }
    if report.verdict != Overall::Full {
        text.push_str("\nsublet doctor --fix-script has what root can do, for a ticket.\n");
    }
    text
}

fn line(finding: &Finding, evidence: &str, widest: usize, paint: Paint, text: &mut String) {
    let word = finding.verdict.word();
    let colour = match finding.verdict {
        Verdict::Ok => Colour::Green,
        Verdict::Info => Colour::Plain,
        Verdict::Degraded => Colour::Yellow,
        Verdict::Missing => Colour::Red,
    };
    let indent = 2 + 8 + 2 + widest + 2;
    let lines = wrapped(&plain(evidence), WIDTH.saturating_sub(indent).max(40));
    let padding = " ".repeat(8 - word.len());
    text.push_str(&format!("  {}{padding}  {:<widest$}", paint.word(colour, word), finding.what));
    for (at, line) in lines.iter().enumerate() {
        let before = if at == 0 { "  ".to_owned() } else { " ".repeat(indent) };
        text.push_str(&format!("{before}{line}\n"));
    }
}

/// What is done instead and what helps; what has been said once is not said
/// again.
fn help<'a>(finding: &'a Finding, told: &mut Vec<&'a Remedy>, text: &mut String) {
    let mut say = |title: &str, words: &str| {
        for (at, line) in words.lines().enumerate() {
            let title = if at == 0 { title } else { "" };
            text.push_str(format!("            {title:<8}  {}", plain(line)).trim_end());
            text.push('\n');
        }
    };
    if let Some(instead) = &finding.instead {
        say("instead", instead);
    }
    for remedy in &finding.remedies {
        if told.contains(&remedy) {
            continue;
        }
        told.push(remedy);
        if finding.remedies.len() > 1 || !finding.evidence.contains(&remedy.cause) {
            say("cause", &remedy.cause);
        }
        say("as root", &remedy.root);
        say("yourself", &remedy.around);
    }
}

/// Words in lines of so many characters; a longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

/// The rungs of CI, as text that a ticket takes.
pub fn rungs(report: &Report) -> String {
    let rungs = ci::rungs(report);
    let cells = |rung: &ci::Rung| {
        let stands = if rung.stands { "yes" } else { "no" };
        vec![rung.what.to_owned(), stands.to_owned(), plain(&rung.recipe)]
    };
    let mut rows =
        vec![vec!["A JOB HAS".to_owned(), "HERE".to_owned(), "A LINE FOR IT".to_owned()]];
    rows.extend(rungs.iter().map(cells));
    let mut text = aligned(&rows);
    for rung in rungs.iter().filter(|rung| !rung.stands) {
        text.push_str(&format!("\n{}: not here", rung.what));
        if let Some(why) = ci::why(report, rung) {
            text.push_str(&format!(", because {}", plain(&why)));
        }
        text.push_str(&format!(".\n  It takes {}.\n", rung.needs));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::advice::Topic;
    use crate::host::advice::table::{limits, network};

    fn report() -> Report {
        let limit = |id| {
            let finding = Finding::new(id, Topic::Limits, id).degraded("", "no limit");
            finding.because(limits::CGROUP_V1.advice(&[]))
        };
        let tun = Finding::new("tun", Topic::Network, "/dev/net/tun").missing("");
        let tun = tun.because(network::TUN_DENIED.advice(&[]));
        let whole = Finding::new("container", Topic::Run, "a whole container").ok("ran\u{1b}[2J");
        Report {
            verdict: Overall::Degraded,
            kernel: "6.12".to_owned(),
            program: "/usr/bin/sublet".to_owned(),
            user: "anna".to_owned(),
            findings: vec![whole, limit("memory"), limit("cpu"), tun],
        }
    }

    #[test]
    fn a_page_is_read_by_people() {
        let text = page(&report(), Paint::Never);
        let lines = [
            "sublet 0.1.0 for anna on Linux 6.12: containers run, with less",
            "",
            "Run anything at all",
            "  ok        a whole container  ran\\u{1b}[2J",
            "",
            "Limit memory, CPU and processes",
            "  degraded  memory             this machine has cgroup v1, of which only root can make groups",
            "            instead   no limit",
            "            as root   add systemd.unified_cgroup_hierarchy=1 to the kernel's command line, and boot; where systemd does not run the machine, cgroup_no_v1=all and a cgroup2 mounted",
            "  degraded  cpu                as above",
            "            instead   no limit",
            "",
            "Reach the world, and be reached",
            "  missing   /dev/net/tun       /dev/net/tun may not be opened by you",
            "            as root   chmod 666 /dev/net/tun, as udev does everywhere",
            "            yourself  in a container: start the outer one with --device /dev/net/tun",
            "",
            "sublet doctor --fix-script has what root can do, for a ticket.",
            "",
        ];
        assert_eq!(text, lines.join("\n"));
        let painted = page(&report(), Paint::Always);
        assert!(painted.contains("\x1b[31mmissing\x1b[0m   /dev/net/tun"), "{painted}");
    }

    #[test]
    fn a_rung_that_is_missing_says_why() {
        let text = rungs(&report());
        assert!(text.contains("limits of memory      no    sublet run -m 1g --limits best-effort"));
        let why = "limits of memory: not here, because this machine has cgroup v1";
        assert!(text.contains(why) && text.contains("It takes cgroup v2 with"), "{text}");
        assert!(text.contains("a container           yes"), "{text}");
    }

    #[test]
    fn words_are_wrapped() {
        assert_eq!(wrapped("a bb ccc dddddddd", 6), ["a bb", "ccc", "dddddddd"]);
        assert_eq!(wrapped("", 6), [""]);
    }
}
