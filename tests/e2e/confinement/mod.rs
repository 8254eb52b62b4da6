//! Classes of escape, each with a judge that tells what got through.
//!
//! A judge looks at one container of a [`Subject`] and returns what fired. The
//! launcher has to make it say nothing; a launcher with that protection taken
//! out, or an older program without it, has to make it speak: a probe that
//! cannot fire proves nothing. The names are those of the security model.

mod descriptors;
mod filter;
mod identity;
mod paths;
mod terminal;

use std::path::PathBuf;

use crate::common::*;

/// What gets through; empty where the class is blocked.
pub type Fired = Vec<String>;

/// The launcher whose containers a judge looks at.
#[derive(Clone, Copy, Debug)]
pub enum Launcher {
    /// The one under test.
    Sublet,
    /// Built with `--features weaken`, and told which protections to leave
    /// out.
    Weak(&'static str),
    /// bubblewrap with these options more.
    Bubblewrap(&'static [&'static str]),
}

/// A launcher and a root with the probe in it.
pub struct Subject {
    pub launcher: Launcher,
    pub scratch: Scratch,
    pub root: Root,
}

impl Subject {
    pub fn new(launcher: Launcher) -> Self {
        let scratch = Scratch::new();
        let root = Root::probed(&scratch);
        Self { launcher, scratch, root }
    }

    /// A container. Options are the launcher's own; those that bubblewrap has
    /// under another name are translated, the rest it does without.
    pub fn program(&self, options: &[&str], words: &[&str]) -> Program {
        let start = |path: PathBuf| {
            let program = Program::new(path).at_home(&self.scratch).args(RUN);
            program.args(options).arg(self.root.path()).args(words)
        };
        match self.launcher {
            Launcher::Sublet => start(self.file()),
            Launcher::Weak(classes) => start(self.file()).env("SUBLET_WEAKEN", classes),
            Launcher::Bubblewrap(more) => Program::new(self.file())
                .args(["--unshare-all", "--uid", "0", "--gid", "0", "--bind"])
                .args([self.root.text(), "/", "--proc", "/proc", "--dev", "/dev"])
                .args(more)
                .args(translated(options))
                .args(words),
        }
    }

    /// The launcher's file: a copy that belongs to the caller, as one in
    /// ~/.local/bin does.
    pub fn file(&self) -> PathBuf {
        let copy = self.scratch.join("launcher");
        if !copy.exists() {
            let original = match self.launcher {
                Launcher::Sublet => launcher(),
                Launcher::Weak(_) => std::env::var_os("SUBLET_WEAK").expect("needed").into(),
                Launcher::Bubblewrap(_) => need::find("bwrap").expect("needed"),
            };
            spawn::place(|| std::fs::copy(original, &copy));
        }
        copy
    }

    /// Runs one probe and reads its answer.
    pub fn probe(&self, options: &[&str], words: &[&str]) -> serde_json::Value {
        self.program(options, &[&["/probe"], words].concat()).json()
    }
}

/// Options of `sublet run` in bubblewrap's words.
fn translated(options: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "-w" => {
                words.extend(["--chdir".to_owned(), options.next().expect("a path").to_string()])
            }
            "-v" => {
                let parts: Vec<&str> = options.next().expect("a volume").split(':').collect();
                words.extend(["--bind", parts[0], parts[1]].map(str::to_owned));
            }
            _ => {}
        }
    }
    words
}

/// One class: the tests that it is blocked, and that its judge can fire.
///
/// `needs` are those of all its tests; those of the firing ones follow
/// `weak "CLASSES"` and `bubblewrap ["OPTION"]` in brackets.
macro_rules! class {
    (
        $(#[$about:meta])*
        $name:ident($judge:path) needs [$($need:ident),*]
        $(weak $classes:literal [$($weak_need:ident),*])?
        $(bubblewrap [$($option:literal),*] [$($old_need:ident),*])?
    ) => {
        $(#[$about])*
        mod $name {
            use crate::common::requires;
            use crate::confinement::{Launcher, Subject};

            macro_rules! common_needs {
                () => {
                    requires!($($need),*);
                };
            }

            #[test]
            fn holds() {
                common_needs!();
                let fired = $judge(&Subject::new(Launcher::Sublet));
                assert!(fired.is_empty(), "got through: {fired:#?}");
            }

            $(
                #[test]
                fn fires_when_weakened() {
                    common_needs!();
                    requires!(weak, $($weak_need),*);
                    let fired = $judge(&Subject::new(Launcher::Weak($classes)));
                    assert!(!fired.is_empty(), "nothing got through, so the probe is blind");
                }
            )?

            $(
                #[test]
                fn fires_under_bubblewrap() {
                    common_needs!();
                    requires!(bwrap, $($old_need),*);
                    let fired = $judge(&Subject::new(Launcher::Bubblewrap(&[$($option),*])));
                    assert!(!fired.is_empty(), "nothing got through, so the probe is blind");
                }
            )?
        }
    };
}
use class;

/// The entries of an object whose outcome is not one of `expected`.
fn other_than(expected: &[&str], outcomes: &serde_json::Value) -> Fired {
    let outcomes = outcomes.as_object().expect("an object of outcomes");
    outcomes
        .iter()
        .filter(|(_, outcome)| !outcome.as_str().is_some_and(|word| expected.contains(&word)))
        .map(|(name, outcome)| format!("{name}: {outcome}"))
        .collect()
}
