//! Verbs and flags of docker and podman that sublet does not have, and what
//! helps now.

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::Explain;

struct Missing {
    words: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
}

const YET: &str = "is not in sublet yet";

const MISSING: &[Missing] = &[
    Missing {
        words: &["--publish-all", "-P"],
        why: YET,
        instead: "-p PORT publishes one, on any free port of the host",
    },
    Missing {
        words: &[
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
        words: &["--pull", "--platform"],
        why: YET,
        instead: "ROOT is a directory or the word host; images come later",
    },
    Missing {
        words: &["--attach"],
        why: YET,
        instead: "sublet attach NAME goes to a container in the background",
    },
    Missing {
        words: &["--ip", "--ip6", "--mac-address", "--network-alias", "--link", "--pod"],
        why: YET,
        instead: "--network container:NAME shares the network of another container,\n\
                  -p publishes a port",
    },
    Missing {
        words: &["--expose"],
        why: "is not in sublet: it would change nothing",
        instead: "-p PORT publishes one, on any free port of the host",
    },
    Missing { words: &["--annotation"], why: YET, instead: "--label says something of it" },
    Missing {
        words: &["--secret"],
        why: YET,
        instead: "-v FILE:/run/secrets/NAME:ro shows a file",
    },
    Missing {
        words: &["--env-host", "--http-proxy"],
        why: "is not in sublet: nothing of your environment goes in that is not named",
        instead: "-e NAME takes your value",
    },
    Missing { words: &["--volumes-from"], why: YET, instead: "-v shows a directory" },
    Missing {
        words: &["--gpus"],
        why: YET,
        instead: "--device /dev/dri and its like show single devices",
    },
    Missing {
        words: &["--privileged"],
        why: "is not in sublet: no container has more rights than its caller",
        instead: "--nested lets it make containers, --cap-add gives it a capability,\n\
                  --device a device, --security-opt unmask=ALL all of /proc and /sys",
    },
];

const MISSING_VERBS: &[Missing] = &[
    Missing {
        words: &["container"],
        why: "is not in sublet",
        instead: "its verbs stand alone: sublet ps, inspect, rm, prune",
    },
    Missing { words: &["ls", "list"], why: "is not in sublet", instead: "sublet ps lists them" },
    Missing {
        words: &["version"],
        why: "is not in sublet",
        instead: "sublet --version, and sublet info for more",
    },
    Missing {
        words: &["exists"],
        why: "is not in sublet",
        instead: "sublet inspect NAME exits with 1 where there is none",
    },
    Missing {
        words: &[
            "pull", "images", "image", "build", "push", "rmi", "commit", "export", "import",
            "save", "load", "tag", "history", "login", "logout", "search",
        ],
        why: YET,
        instead: "ROOT is a directory or the word host",
    },
    Missing {
        words: &[
            "pod",
            "network",
            "volume",
            "system",
            "compose",
            "kube",
            "generate",
            "checkpoint",
            "restore",
        ],
        why: YET,
        instead: "",
    },
];

/// The error for a verb or a flag that people type and sublet does not have; `None` for
/// every other mistake.
pub fn explain(error: &clap::Error) -> Option<anyhow::Error> {
    let (kind, list) = match error.kind() {
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, MISSING),
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, MISSING_VERBS),
        _ => return None,
    };
    let Some(ContextValue::String(word)) = error.get(kind) else { return None };
    let missing = list.iter().find(|missing| missing.words.contains(&word.as_str()))?;
    let error = anyhow!("{word} {}", missing.why);
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
            ("-itP", "-P"),
            ("-P", "-P"),
            ("--publish-all", "--publish-all"),
            ("--memory-swappiness 5", "--memory-swappiness"),
            ("--privileged", "--privileged"),
            ("-it --pull always", "--pull"),
            ("--http-proxy=false", "--http-proxy"),
        ] {
            let told = told(&format!("sublet run {words} host")).unwrap_or_default();
            assert!(
                told.starts_with(&format!("error: {flag} is not in sublet")),
                "{words}: {told}"
            );
        }
    }

    #[test]
    fn verbs_that_are_missing_are_explained() {
        for (verb, instead) in [
            ("pull x", "a directory"),
            ("commit x", "a directory"),
            ("ls", "sublet ps"),
            ("pod ps", "is not in sublet yet"),
        ] {
            let told = told(&format!("sublet {verb}")).unwrap_or_default();
            assert!(told.contains("is not in sublet") && told.contains(instead), "{verb}: {told}");
        }
        let command = super::super::command();
        for verb in MISSING_VERBS.iter().flat_map(|missing| missing.words) {
            assert!(command.find_subcommand(verb).is_none(), "{verb}");
        }
    }

    #[test]
    fn other_mistakes_are_not_ours_to_explain() {
        assert_eq!(told("sublet run --frob host"), None);
        assert_eq!(told("sublet run --user"), None);
        assert_eq!(told("sublet walk"), None);
    }

    #[test]
    fn what_sublet_has_is_not_called_missing() {
        let command = super::super::command();
        let run = command.find_subcommand("run").unwrap();
        let mut had = Vec::new();
        for arg in run.get_arguments() {
            had.extend(arg.get_long_and_visible_aliases().unwrap_or_default());
        }
        for flag in MISSING.iter().flat_map(|missing| missing.words) {
            assert!(!had.contains(&flag.trim_start_matches('-')), "{flag}");
        }
    }
}
