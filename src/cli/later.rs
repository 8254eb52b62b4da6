//! Verbs and flags of docker, podman and bubblewrap that sublet does not have,
//! and what helps now.

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::Explain;
use crate::spec::Root;
use crate::state::nearest;

struct Missing {
    words: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
}

const YET: &str = "is not in sublet yet";
const BWRAP: &str = "is bubblewrap's";

/// Of all verbs.
const FLAGS: &[Missing] = &[
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
    Missing { words: &["--pull", "--platform", "--image-volume"], why: YET, instead: Root::UNPACK },
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

/// Of `run` and `create`.
const RUN_FLAGS: &[Missing] = &[
    Missing {
        words: &["--attach", "-a"],
        why: YET,
        instead: "sublet attach NAME goes to a container in the background",
    },
    Missing {
        words: &["--sysctl"],
        why: YET,
        instead: "with --security-opt unmask=ALL its root writes those of its own network\n\
                  to /proc/sys/net",
    },
    Missing {
        words: &["--rootfs"],
        why: "is not in sublet: ROOT always is a directory",
        instead: "sublet run ./root: leave it out",
    },
    Missing { words: &["--systemd"], why: YET, instead: "" },
    Missing { words: &["--tz"], why: YET, instead: "-e TZ=Europe/Lisbon" },
    Missing {
        words: &["--runtime"],
        why: "is not in sublet: it is a runtime itself",
        instead: "podman --runtime takes it under the name of sublet-oci",
    },
    Missing { words: &["--label-file"], why: YET, instead: "-l KEY=VALUE, once for each" },
    Missing {
        words: &["--sig-proxy"],
        why: "is not in sublet: signals are always passed on",
        instead: "leave it out",
    },
    Missing {
        words: &["--quiet", "-q"],
        why: "is not in sublet: no image is pulled of which it could tell",
        instead: "leave it out",
    },
    Missing {
        words: &["--unsetenv", "--unsetenv-all", "--clearenv"],
        why: "is not in sublet: nothing of your environment goes in that is not named",
        instead: "env -u NAME before COMMAND takes out what else is there",
    },
    Missing {
        words: &["--isolation"],
        why: "is not in sublet: it is for Windows",
        instead: "leave it out",
    },
    Missing { words: &["--bind"], why: BWRAP, instead: "-v SRC:DST" },
    Missing {
        words: &["--ro-bind"],
        why: BWRAP,
        instead: "-v SRC:DST:ro; ROOT shows a whole system, and host this machine's read-only",
    },
    Missing {
        words: &["--dev-bind"],
        why: BWRAP,
        instead: "--device /dev/NAME, or -v SRC:DST:dev",
    },
    Missing {
        words: &["--bind-try", "--ro-bind-try", "--dev-bind-try"],
        why: BWRAP,
        instead: "-v SRC:DST, with :ro or :dev, fails where SRC is missing; the shell has to ask:\n\
                  [ -e SRC ] && set -- -v SRC:DST \"$@\"; sublet run \"$@\" ...",
    },
    Missing {
        words: &[
            "--proc",
            "--dev",
            "--mqueue",
            "--unshare-all",
            "--unshare-user",
            "--unshare-user-try",
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-uts",
            "--unshare-cgroup",
            "--unshare-cgroup-try",
            "--new-session",
            "--as-pid-1",
        ],
        why: BWRAP,
        instead: "leave it out: every container has that",
    },
    Missing {
        words: &["--unshare-net", "--share-net"],
        why: BWRAP,
        instead: "--network none, or host; without it there is a way out",
    },
    Missing { words: &["--chdir"], why: BWRAP, instead: "-w DIR" },
    Missing { words: &["--setenv"], why: BWRAP, instead: "-e NAME=VALUE" },
    Missing {
        words: &["--seccomp", "--add-seccomp-fd"],
        why: BWRAP,
        instead: "--security-opt seccomp=FILE.json: a profile in JSON, and no BPF",
    },
    Missing {
        words: &["--args"],
        why: BWRAP,
        instead: "xargs -0 -a FILE sublet run, or an array of the shell's",
    },
    Missing {
        words: &["--uid", "--gid"],
        why: BWRAP,
        instead: "--user UID:GID, or --userns keep-id:uid=UID,gid=GID to have your files as that",
    },
    Missing {
        words: &["--disable-userns", "--assert-userns-disabled"],
        why: BWRAP,
        instead: "leave it out: the filter refuses namespaces inside, but for --nested\n\
                  and --cap-add SYS_ADMIN",
    },
    Missing {
        words: &["--dir"],
        why: BWRAP,
        instead: "--tmpfs DST is an empty one in memory, -v DIR:DST one of the host",
    },
    Missing {
        words: &["--symlink"],
        why: "is bubblewrap's, and sublet has nothing like it",
        instead: "ln -s makes it in ROOT, where that is a directory of yours",
    },
    Missing {
        words: &["--file", "--bind-data", "--ro-bind-data"],
        why: BWRAP,
        instead: "write a file first: -v FILE:DST:ro shows it, -v FILE:DST lets it be written to",
    },
    Missing {
        words: &["--perms", "--size", "--chmod"],
        why: BWRAP,
        instead: "--tmpfs DST:mode=OCTAL,size=SIZE; what -v shows has its mode of the host",
    },
    Missing {
        words: &["--tmp-overlay", "--overlay", "--overlay-src", "--ro-overlay"],
        why: BWRAP,
        instead: "-v DIR:DST:O is an overlay of one directory, of which nothing stays",
    },
    Missing {
        words: &["--remount-ro"],
        why: BWRAP,
        instead: "-v SRC:DST:ro, and --read-only for ROOT",
    },
    Missing {
        words: &["--info-fd", "--json-status-fd"],
        why: BWRAP,
        instead: "--cidfile FILE and --pidfile FILE; sublet inspect NAME says the rest",
    },
    Missing {
        words: &["--sync-fd"],
        why: BWRAP,
        instead: "sublet run ends with the container, and sublet wait NAME waits for that",
    },
    Missing {
        words: &["--block-fd"],
        why: BWRAP,
        instead: "sublet create writes a container down, sublet start starts it",
    },
    Missing {
        words: &["--userns-block-fd"],
        why: BWRAP,
        instead: "--userns, --uidmap and --gidmap say how ids are mapped",
    },
    Missing {
        words: &["--lock-file"],
        why: BWRAP,
        instead: "flock FILE sublet run ... holds a lock on FILE as long as it runs",
    },
    Missing {
        words: &["--argv0"],
        why: BWRAP,
        instead: "bash -c 'exec -a NAME PROGRAM' as COMMAND, where ROOT has bash",
    },
];

/// Of `update`.
const UPDATE_FLAGS: &[Missing] = &[Missing {
    words: &["--restart"],
    why: YET,
    instead: "sublet run --replace --name NAME --restart POLICY starts it anew",
}];

const VERBS: &[Missing] = &[
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
            "pull", "images", "image", "build", "push", "rmi", "commit", "import", "save", "load",
            "tag", "history", "login", "logout", "search",
        ],
        why: YET,
        instead: Root::UNPACK,
    },
    Missing {
        words: &["export"],
        why: YET,
        instead: "sublet cp NAME:/ - > FILE.tar has its files, once it has ended",
    },
    Missing {
        words: &["mount", "umount", "unmount"],
        why: "is not in sublet: a root is a directory of the host already",
        instead: "sublet inspect NAME says which; sublet cp copies from it and to it",
    },
    Missing {
        words: &["unshare"],
        why: "is not in sublet",
        instead: "sublet run -it -v \"$PWD:$PWD\" -w \"$PWD\" host\n\
                  is a shell that is root over what your range of ids owns here",
    },
    Missing {
        words: &["init"],
        why: "is not in sublet",
        instead: "sublet create prepares a container, sublet start starts it",
    },
    Missing {
        words: &["state", "delete", "resume", "spec", "features"],
        why: "is not in sublet but in sublet-oci, its name as a runtime of engines",
        instead: "sublet inspect NAME, sublet rm NAME, sublet unpause NAME,\n\
                  sublet run --dry-run=oci ROOT are its like here",
    },
    Missing {
        words: &["network"],
        why: YET,
        instead: "--network container:NAME shares the network of another container,\n\
                  -p publishes a port: sublet help network",
    },
    Missing {
        words: &["pod", "compose", "kube"],
        why: YET,
        instead: "--network container:NAME shares the network of another container",
    },
    Missing {
        words: &["volume"],
        why: YET,
        instead: "-v DIR:/DST shows a directory of the host, which stays",
    },
    Missing {
        words: &["system"],
        why: YET,
        instead: "sublet info, sublet prune and sublet events are its like here",
    },
    Missing { words: &["generate", "checkpoint", "restore"], why: YET, instead: "" },
];

/// The error for a verb or a flag that people type and sublet does not have; `None` for
/// every other mistake.
pub fn explain(error: &clap::Error) -> Option<anyhow::Error> {
    let (kind, lists) = match error.kind() {
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, [of_verb(error), FLAGS]),
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, [VERBS, &[]]),
        _ => return None,
    };
    let Some(ContextValue::String(word)) = error.get(kind) else { return None };
    let mut listed = lists.into_iter().flatten();
    let missing = listed.find(|missing| missing.words.contains(&word.as_str()))?;
    let error = anyhow!("{word} {}", missing.why);
    if missing.instead.is_empty() {
        return Some(error);
    }
    Err::<(), _>(error).hint(missing.instead).err()
}

/// The flags that only the verb lacks which was typed: its usage says which
/// that was.
fn of_verb(error: &clap::Error) -> &'static [Missing] {
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    match usage.split_whitespace().nth(2) {
        Some("run" | "create") => RUN_FLAGS,
        Some("update") => UPDATE_FLAGS,
        _ => &[],
    }
}

/// Takes out what clap takes for similar and is not.
pub fn keep_near(error: &mut clap::Error) {
    for (typed, suggested) in [
        (ContextKind::InvalidArg, ContextKind::SuggestedArg),
        (ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand),
    ] {
        let Some(ContextValue::String(typed)) = error.get(typed) else { continue };
        let typed = typed.trim_start_matches('-');
        let near = |word: &&String| nearest(typed, &[word.trim_start_matches('-')]).is_some();
        let kept: Vec<String> = match error.get(suggested) {
            Some(ContextValue::String(word)) => [word].into_iter().filter(near).cloned().collect(),
            Some(ContextValue::Strings(words)) => words.iter().filter(near).cloned().collect(),
            _ => continue,
        };
        error.remove(suggested);
        match kept.as_slice() {
            [] => {}
            [word] => _ = error.insert(suggested, ContextValue::String(word.clone())),
            _ => _ = error.insert(suggested, ContextValue::Strings(kept)),
        }
    }
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
            ("-a stdout", "-a"),
            ("--quiet", "--quiet"),
        ] {
            for verb in ["run", "create"] {
                let told = told(&format!("sublet {verb} {words} host")).unwrap_or_default();
                let error = format!("error: {flag} is not in sublet");
                assert!(told.starts_with(&error), "{words}: {told}");
            }
        }
        let bind = told("sublet run --ro-bind / / sh").unwrap_or_default();
        assert!(bind.starts_with("error: --ro-bind is bubblewrap's\n hint: -v SRC:DST:ro"));
        for (words, instead) in [
            ("--ro-bind-try /a /a sh", "[ -e SRC ] &&"),
            ("--seccomp 9 sh", "seccomp=FILE.json"),
            ("--uid 5 sh", "--user UID:GID"),
            ("--argv0 x sh", "exec -a NAME"),
        ] {
            let told = told(&format!("sublet run {words}")).unwrap_or_default();
            assert!(told.contains("is bubblewrap's") && told.contains(instead), "{words}: {told}");
        }
        let update = told("sublet update --restart always web").unwrap_or_default();
        assert!(update.contains("--restart is not in sublet yet"), "{update}");
    }

    #[test]
    fn a_flag_that_one_verb_lacks_is_said_of_that_one() {
        assert_eq!(told("sublet stop --quiet web"), None);
        assert_eq!(told("sublet port --restart web"), None);
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        for (line, near) in [
            ("run --interactiv host", Some("--interactive")),
            ("run --publihs 80 host", Some("--publish")),
            ("run --root /x host", None),
            ("run --subuidname x host", None),
            ("stop --quiet web", None),
            ("strat web", Some("start")),
            ("nosuch web", None),
        ] {
            let line = format!("sublet {line}");
            let mut error = super::super::parse(line.split(' ').map(Into::into)).unwrap_err();
            keep_near(&mut error);
            let text = error.to_string();
            let tip = text.lines().find(|line| line.contains("similar"));
            match near {
                Some(near) => assert!(tip.is_some_and(|tip| tip.contains(near)), "{text}"),
                None => assert_eq!(tip, None, "{line}"),
            }
        }
    }

    #[test]
    fn verbs_that_are_missing_are_explained() {
        for (verb, instead) in [
            ("pull x", "a directory"),
            ("commit x", "a directory"),
            ("ls", "sublet ps"),
            ("pod ps", "is not in sublet yet"),
            ("export web", "sublet cp NAME:/"),
            ("state web", "sublet inspect"),
            ("volume ls", "-v DIR"),
        ] {
            let told = told(&format!("sublet {verb}")).unwrap_or_default();
            assert!(told.contains("is not in sublet") && told.contains(instead), "{verb}: {told}");
        }
        let command = super::super::command();
        for verb in VERBS.iter().flat_map(|missing| missing.words) {
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
        for (verb, lists) in [
            ("run", [FLAGS, RUN_FLAGS]),
            ("create", [FLAGS, RUN_FLAGS]),
            ("update", [FLAGS, UPDATE_FLAGS]),
        ] {
            let verb = command.find_subcommand(verb).unwrap();
            let mut had = Vec::new();
            for arg in verb.get_arguments() {
                had.extend(arg.get_long_and_visible_aliases().unwrap_or_default());
            }
            let shorts: Vec<_> = verb.get_arguments().filter_map(clap::Arg::get_short).collect();
            for flag in lists.into_iter().flatten().flat_map(|missing| missing.words) {
                let name = flag.trim_start_matches('-');
                let short = name.chars().next().filter(|_| name.len() == 1);
                assert!(!had.contains(&name), "{flag}");
                assert!(short.is_none_or(|short| !shorts.contains(&short)), "{flag}");
            }
        }
    }
}
