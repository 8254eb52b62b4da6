//! Every plan in words, against the text that was last reviewed.
//!
//! The plans of a directory and of the host are there in full, the others as
//! what differs from one of these, so that a review shows what a choice does.

use std::collections::BTreeSet;
use std::path::Path;

use super::{CASES, Case};
use crate::golden;
use crate::plan::Plan;
use crate::plan::step::Step;

const DIRECTORY: &str = "src/plan/tests";

/// The plan in words, but for how long a filter is: that is the machine's.
fn told(plan: &Plan) -> String {
    without_lengths(plan.to_string(), &plan.steps)
}

/// A filter is as long as the machine has it.
pub(super) fn without_lengths(mut text: String, steps: &[Step]) -> String {
    for step in steps {
        if let Step::Seccomp { .. } = step {
            text = text.replace(&step.to_string(), "load the system call filter");
        }
    }
    text
}

/// The words as one would type them.
fn typed(words: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=:,./".contains(c);
    let quoted = words.iter().map(|word| {
        if word.chars().all(plain) {
            (*word).to_owned()
        } else {
            format!("'{}'", word.replace('\t', "\\t"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// What differs, with one line before each difference to show the place.
fn difference(from: &str, to: &str) -> String {
    let (from, to) = (unnumbered(from), unnumbered(to));
    // The longest common subsequence of the lines behind a pair of places.
    let mut common = vec![vec![0_usize; to.len() + 1]; from.len() + 1];
    for i in (0..from.len()).rev() {
        for j in (0..to.len()).rev() {
            common[i][j] = if from[i] == to[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut text = String::new();
    let mut before = None;
    while i < from.len() || j < to.len() {
        if i < from.len() && j < to.len() && from[i] == to[j] {
            before = Some(from[i]);
            (i, j) = (i + 1, j + 1);
            continue;
        }
        if let Some(before) = before.take() {
            text.push_str(&format!("  {before}\n"));
        }
        if j == to.len() || i < from.len() && common[i + 1][j] >= common[i][j + 1] {
            text.push_str(&format!("- {}\n", from[i]));
            i += 1;
        } else {
            text.push_str(&format!("+ {}\n", to[j]));
            j += 1;
        }
    }
    text
}

fn unnumbered(text: &str) -> Vec<&str> {
    text.lines()
        .map(|line| line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start())
        .collect()
}

/// The case that this one is told as a difference from.
fn base(case: &Case) -> Option<&'static Case> {
    if case.is_bundle() {
        return None;
    }
    let name = if case.words.contains(&"host") && case.name.starts_with("host") {
        "host"
    } else {
        "directory"
    };
    (case.name != name).then(|| super::case(name))
}

fn golden_text(case: &Case) -> String {
    let program = if case.is_bundle() { "sublet-oci" } else { "sublet run" };
    let command = format!("$ {program} {}\n\n", typed(case.words));
    match base(case) {
        Some(base) => format!(
            "{command}differs from {}.txt:\n{}",
            base.name,
            difference(&told(&base.plan()), &told(&case.plan()))
        ),
        None => command + &told(&case.plan()),
    }
}

#[test]
fn plans_are_as_their_goldens() {
    for case in CASES {
        golden::compare(&format!("{DIRECTORY}/{}.txt", case.name), &golden_text(case));
    }
}

#[test]
fn every_golden_has_a_case() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(DIRECTORY);
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|ending| ending == "txt"));
    let here: BTreeSet<String> =
        texts.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let unknown: Vec<&String> =
        here.iter().filter(|file| CASES.iter().all(|case| case.name != **file)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// The kinds of step, from a match that holds all of them.
macro_rules! kinds {
    ($($kind:ident)+) => {
        const KINDS: &[&str] = &[$(stringify!($kind)),+];

        fn kind(step: &Step) -> &'static str {
            match step {
                $(Step::$kind { .. } => stringify!($kind)),+
            }
        }
    };
}

kinds! {
    Pass Meet Mark Propagation OpenTree CopyTree Mask Protect ProtectBelow NewFilesystem CopyUp UnshareCgroup SetAttr Attach Enter
    MakeDirectory MakeLike MakeFile MakeLink Pivot Hostname Domainname JoinNetwork WriteProc Limit Become
    WorkDirectory Umask Personality Schedule DiskPriority Identity NoNewPrivileges Seccomp Reaper NewSession OpenNotify OpenTerminal
    HideMemory LetGo Join Born OpenPty NullOutput TakeTerminal NullInput DieWithParent Find AwaitStart CloseFrom
    ResetSignals Exec Hook OpenSpot NewClocks JoinClocks RunOn MemoryPolicy
}

/// A step in no plan would escape the tests that look at all plans.
#[test]
fn every_step_is_in_a_golden() {
    let plans: Vec<Plan> = CASES.iter().map(Case::plan).collect();
    let entries = super::entries::all();
    let steps = plans.iter().flat_map(|plan| &plan.steps);
    let steps = steps.chain(entries.iter().flat_map(|entry| &entry.steps));
    let seen: BTreeSet<&str> = steps.map(kind).collect();
    // No flag asks for these; a bundle can.
    let bundles = ["Domainname", "Personality", "Schedule", "DiskPriority", "JoinClocks", "RunOn"];
    let missing: Vec<&&str> =
        KINDS.iter().filter(|kind| !bundles.contains(kind) && !seen.contains(*kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_difference_shows_its_place() {
    let told = difference("a\n  1  b\n  2  c\n", "a\n  1  x\n  2  c\n  3  d\n");
    assert_eq!(told, "  a\n- b\n+ x\n  c\n+ d\n");
    assert_eq!(difference("a\n", "a\n"), "");
}
