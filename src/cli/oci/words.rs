//! What a command line of `sublet run` calls things, in the words of a
//! configuration.
//!
//! Below the front doors there is one set of errors, and it speaks of what most
//! people type. Who has written a config.json has typed none of that.

/// Phrases of errors and hints, and what they are to those who have no command
/// line for it. Of two that fit, the first counts.
const PHRASES: &[(&str, &str)] = &[
    (
        "ROOT is a directory with a system in it, or the word host for this machine's own",
        "root.path is a directory with a system in it",
    ),
    ("ROOT is a directory", "root.path is a directory"),
    ("make it, or put an overlay over the root, ROOT:O", "make it, or let the engine"),
    (
        "--device is for device nodes: mount anything else with -v",
        "linux.devices is for device nodes: anything else goes to mounts",
    ),
    (
        "--workdir names a directory inside the root: make it, mount one there with -v, or leave \
         --workdir out",
        "process.cwd names a directory inside the root: make it, or mount one there",
    ),
    ("sublet update --pids-limit", "sublet-oci update --pids-limit"),
    ("without a terminal, leave -t out", "without a terminal, leave --tty out"),
    (
        "--group-add keep-groups keeps yours",
        "without process.user.additionalGids it keeps the caller's",
    ),
    (
        "--pid host shows that of the host",
        "a container without a pid in linux.namespaces shows that of the host",
    ),
    ("or use --read-only", "or set root.readonly"),
    ("--security-opt seccomp=unconfined goes without", "without linux.seccomp there is none"),
    (
        "--security-opt seccomp=unconfined runs without a filter",
        "without linux.seccomp there is no filter",
    ),
    ("do without it: --userns single", "do without it: map one id alone in linux.uidMappings"),
    ("take one id alone: --userns single", "map one id alone in linux.uidMappings"),
    ("--cgroups disabled makes", "--cgroup-manager disabled makes"),
    ("a group that is yours: --cgroup-parent /PATH", "a group that is yours in linux.cgroupsPath"),
    ("or name one: --cgroup-parent /PATH", "or name one in linux.cgroupsPath"),
    ("--cgroup-conf", "linux.resources.unified"),
    ("--pids-limit", "linux.resources.pids.limit"),
    ("--memory-reservation", "linux.resources.memory.reservation"),
    ("--memory-swap", "linux.resources.memory.swap"),
    ("--memory", "linux.resources.memory.limit"),
    ("--cpu-shares", "linux.resources.cpu.shares"),
    ("--cpuset-cpus", "linux.resources.cpu.cpus"),
    ("--cpuset-mems", "linux.resources.cpu.mems"),
    ("--cpus", "linux.resources.cpu.quota"),
    ("--blkio-weight", "linux.resources.blockIO.weight"),
    ("--device-read-bps", "linux.resources.blockIO.throttleReadBpsDevice"),
    ("--device-write-bps", "linux.resources.blockIO.throttleWriteBpsDevice"),
    ("--device-read-iops", "linux.resources.blockIO.throttleReadIOPSDevice"),
    ("--device-write-iops", "linux.resources.blockIO.throttleWriteIOPSDevice"),
];

/// A text with the fields of a configuration in the place of flags that the
/// caller could not have given.
pub fn of_configuration(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let found =
            PHRASES.iter().find_map(|(flag, field)| Some((rest.strip_prefix(flag)?, field)));
        match found {
            Some((behind, field)) => {
                told.push_str(field);
                rest = behind;
            }
            None => {
                told.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn flags_become_fields() {
        let told = of_configuration("--memory-swap: é --pids-limit: usermod --add-subuids 1-2 x");
        assert_eq!(
            told,
            "linux.resources.memory.swap: é linux.resources.pids.limit: usermod --add-subuids 1-2 x"
        );
        let told = of_configuration("sublet update --pids-limit lets it have more");
        assert_eq!(told, "sublet-oci update --pids-limit lets it have more");
        assert_eq!(of_configuration(""), "");
    }

    /// All that is in the source below a directory, as strings that go over
    /// several lines are in the program.
    fn source(directory: &Path, all: &mut String) {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                source(&path, all);
            } else if !path.ends_with("cli/oci/words.rs") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                for line in text.lines().map(str::trim_start) {
                    let cut = line.strip_suffix('\\');
                    all.push_str(cut.unwrap_or(line));
                    all.extend(cut.is_none().then_some('\n'));
                }
            }
        }
    }

    /// A phrase that is changed where it is said is to be changed here, too.
    #[test]
    fn every_phrase_is_said_somewhere() {
        let mut all = String::new();
        source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
        for (phrase, _) in PHRASES {
            assert!(all.contains(phrase), "nobody says {phrase:?} any more");
        }
    }
}
