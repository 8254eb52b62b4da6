//! Plans of entries into containers that run.

use std::fs::File;
use std::os::fd::OwnedFd;

use nix::libc;
use nix::unistd::Pid;

use super::order::slots;
use crate::cli::asked_words;
use crate::golden;
use crate::host::caller::Setgroups;
use crate::host::ids::Mapping;
use crate::host::inside::Inside;
use crate::host::{Host, made_up};
use crate::plan::enter::{self, Entry, Ties};
use crate::plan::step::{Gate, Slot, Step};
use crate::spec::Stdin;
use crate::state::Place;

/// A container that runs, and what is to run in it.
struct Case {
    name: &'static str,
    /// The words of its `run`.
    run: &'static [&'static str],
    /// Where its control group is, and its unit.
    place: Option<(&'static str, Option<&'static str>)>,
    ties: Ties,
    /// Whether it has a terminal, and the caller's input.
    terminal: bool,
    input: Stdin,
    user: Option<&'static str>,
}

const PLAIN: Case = Case {
    name: "plain",
    run: &["--name", "web", "/root"],
    place: None,
    ties: Ties::Attached,
    terminal: false,
    input: Stdin::Inherit,
    user: None,
};

const CASES: &[Case] = &[
    PLAIN,
    Case { name: "background", ties: Ties::Detached, ..PLAIN },
    Case { name: "terminal", terminal: true, user: Some("5:6"), ..PLAIN },
    Case {
        name: "limited",
        place: Some(("/sys/fs/cgroup/user/sublet-x.scope", Some("sublet-x.scope"))),
        input: Stdin::Null,
        ..PLAIN
    },
    Case {
        name: "as-run",
        run: &[
            "--name",
            "web",
            "-e",
            "A=b",
            "-w",
            "/srv",
            "--umask",
            "077",
            "--ulimit",
            "nofile=9",
            "--oom-score-adj",
            "7",
            "--nested",
            "--cap-add",
            "SYS_TIME",
            "/root",
        ],
        ..PLAIN
    },
    Case {
        name: "unconfined",
        run: &[
            "--name",
            "web",
            "--security-opt",
            "seccomp=unconfined",
            "--userns",
            "nomap",
            "--pid",
            "host",
            "/root",
        ],
        ..PLAIN
    },
];

impl Case {
    fn entry(&self) -> Entry {
        let mut spec = asked_words(self.run).unwrap().spec;
        spec.beside.stdin = self.input;
        spec.beside.user = self.user.map(|user| user.parse().unwrap());
        spec.process_mut().set_terminal(Some(self.terminal));
        spec.process_mut().set_args(Some(vec!["ps".to_owned(), "-e".to_owned()]));
        let place = self
            .place
            .map(|(cgroup, unit)| Place { cgroup: cgroup.into(), unit: unit.map(str::to_owned) });
        let host = Host::from(made_up::facts());
        enter::plan(&spec, self.ties, place.as_ref(), &inside(), &host).unwrap()
    }
}

/// A container of anna's, without any files.
fn inside() -> Inside {
    let open = |path: &str| OwnedFd::from(File::open(path).unwrap());
    let map = vec![
        Mapping { inside: 0, outside: 1000, size: 1 },
        Mapping { inside: 1, outside: 100_000, size: 65_536 },
    ];
    Inside {
        process: open("/dev/null"),
        pid: Pid::from_raw(7),
        namespaces: libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS,
        uids: map.clone(),
        gids: map,
        setgroups: Setgroups::Allow,
        // There is no /proc/etc.
        root: open("/proc"),
    }
}

pub fn all() -> Vec<Entry> {
    CASES.iter().map(Case::entry).collect()
}

#[test]
fn goldens_of_entries() {
    for case in CASES {
        let entry = case.entry();
        let text = super::goldens::without_lengths(entry.to_string(), &entry.steps);
        golden::compare(&format!("src/plan/tests/entries/{}.txt", case.name), &text);
        assert!(entry.to_json().unwrap().contains("\"steps\""));
    }
}

fn place(entry: &Entry, meant: impl Fn(&Step) -> bool) -> usize {
    let at = entry.steps.iter().position(meant);
    at.unwrap_or_else(|| panic!("a step is missing: {entry}"))
}

/// CVE-2016-9962: before anybody inside can see it, there is nothing to take.
#[test]
fn nothing_is_to_be_had_of_it_once_it_is_seen() {
    for entry in all() {
        let hidden = place(&entry, |step| matches!(step, Step::HideMemory));
        let empty = place(&entry, |step| matches!(step, Step::LetGo(_)));
        let joined = place(&entry, |step| matches!(step, Step::Join { .. }));
        let born = place(&entry, |step| matches!(step, Step::Born));
        assert!(hidden < joined && empty < joined && joined < born, "{entry}");
        let takes_ids = |step: &&Step| matches!(step, Step::Become { .. } | Step::Identity { .. });
        for (at, _) in entry.steps.iter().enumerate().filter(|(_, step)| takes_ids(step)) {
            assert!(matches!(entry.steps[at + 1], Step::HideMemory), "{entry}");
        }
    }
}

/// In the group first, then born: not an instruction is made outside of it.
#[test]
fn it_is_counted_from_its_first_instruction() {
    for (entry, case) in all().iter().zip(CASES) {
        let gate = |step: &Step| matches!(step, Step::Pass(Gate::Placed));
        assert_eq!(entry.steps.iter().any(gate), case.place.is_some());
        if case.place.is_some() {
            assert!(place(entry, gate) < place(entry, |step| matches!(step, Step::Born)));
        }
    }
}

#[test]
fn the_launcher_has_hold_of_it_before_its_exec() {
    for entry in all() {
        let held = place(&entry, |step| matches!(step, Step::Pass(Gate::Held)));
        let filter = place(&entry, |step| matches!(step, Step::Identity { .. }));
        assert!(held < filter, "{entry}");
        assert!(matches!(entry.steps.last(), Some(Step::Exec { .. })));
        // It lives on: neither docker nor podman have it end with its client.
        assert!(!entry.steps.iter().any(|step| matches!(step, Step::DieWithParent)));
    }
}

#[test]
fn slots_are_filled_before_they_are_used() {
    for entry in all() {
        let mut filled: Vec<Slot> = (0..entry.held.len()).map(Slot).collect();
        for step in &entry.steps {
            let (taken, into) = slots(step);
            assert!(taken.iter().all(|slot| filled.contains(slot)), "{step} of {entry}");
            filled.extend(into);
            if let Step::Born = step {
                // Nothing of the host's goes along.
                filled.clear();
            }
        }
        assert!(filled.iter().all(|slot| slot.0 < entry.slots), "{entry}");
    }
}
