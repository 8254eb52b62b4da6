//! Flags of docker and podman that sublet does not have, and what helps now.

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::Explain;

struct Missing {
    flags: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
}

const YET: &str = "is not in sublet yet";

const MISSING: &[Missing] = &[
    Missing {
        flags: &["--detach", "-d"],
        why: YET,
        instead: "systemd-run --user sublet run ... runs it in the background",
    },
    Missing {
        flags: &["--publish", "-p", "--publish-all", "-P"],
        why: YET,
        instead: "--network host has the host's ports",
    },
    Missing {
        flags: &[
            "--memory-swappiness",
            "--oom-kill-disable",
            "--kernel-memory",
            "--cpu-rt-period",
            "--cpu-rt-runtime",
        ],
        why: "is not in sublet: cgroup v2 has nothing like it",
        instead: "",
    },
    Missing {
        flags: &["--restart"],
        why: YET,
        instead: "systemd-run --user -p Restart=on-failure sublet run ... starts it again",
    },
    Missing {
        flags: &["--add-host", "--dns", "--dns-search", "--dns-option"],
        why: YET,
        instead: "-v ./hosts:/etc/hosts:ro shows a file of your own there",
    },
    Missing {
        flags: &["--pull", "--platform"],
        why: YET,
        instead: "ROOT is a directory or the word host; images come later",
    },
    Missing { flags: &["--health-cmd", "--no-healthcheck"], why: YET, instead: "" },
    Missing { flags: &["--volumes-from"], why: YET, instead: "-v shows a directory" },
    Missing {
        flags: &["--gpus"],
        why: YET,
        instead: "--device /dev/dri and its like show single devices",
    },
    Missing {
        flags: &["--privileged"],
        why: "is not in sublet: no container has more rights than its caller",
        instead: "--nested lets it make containers, --cap-add gives it a capability,\n\
                  --device a device, --security-opt unmask=ALL all of /proc and /sys",
    },
];

/// The error for a flag that people type and sublet does not have; `None` for
/// every other mistake.
pub fn explain(error: &clap::Error) -> Option<anyhow::Error> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let missing = MISSING.iter().find(|missing| missing.flags.contains(&flag.as_str()))?;
    let error = anyhow!("{flag} {}", missing.why);
    if missing.instead.is_empty() {
        return Some(error);
    }
    Err::<(), _>(error).hint(missing.instead).err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::report;

    fn told(line: &str) -> Option<String> {
        let error = super::super::parse(line.split(' ').map(Into::into)).unwrap_err();
        explain(&error).map(|error| report(&error))
    }

    #[test]
    fn flags_that_are_missing_are_explained() {
        for (words, flag) in [
            ("-d", "-d"),
            ("-itd", "-d"),
            ("-p 80:80", "-p"),
            ("-p80:80", "-p"),
            ("--restart=always", "--restart"),
            ("--memory-swappiness 5", "--memory-swappiness"),
            ("--privileged", "--privileged"),
        ] {
            let told = told(&format!("sublet run {words} host")).unwrap_or_default();
            assert!(
                told.starts_with(&format!("error: {flag} is not in sublet")),
                "{words}: {told}"
            );
        }
    }

    #[test]
    fn other_mistakes_are_not_ours_to_explain() {
        assert_eq!(told("sublet run --frob host"), None);
        assert_eq!(told("sublet run --user"), None);
    }

    #[test]
    fn what_sublet_has_is_not_called_missing() {
        let command = super::super::command();
        let run = command.find_subcommand("run").unwrap();
        let mut had = Vec::new();
        for arg in run.get_arguments() {
            had.extend(arg.get_long_and_visible_aliases().unwrap_or_default());
        }
        for flag in MISSING.iter().flat_map(|missing| missing.flags) {
            assert!(!had.contains(&flag.trim_start_matches('-')), "{flag}");
        }
    }
}
