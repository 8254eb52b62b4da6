//! Checks, told one by one and counted, in the words of Rust's own harness.

use std::process::ExitCode;

/// What a check needs of the machine.
pub struct Need {
    name: &'static str,
    met: Result<(), String>,
}

impl Need {
    /// A need that is met, or why it is not; `MUST_RUN` may name it.
    pub fn of(name: &'static str, met: Result<(), String>) -> Self {
        Self { name, met }
    }

    /// Whether `MUST_RUN` says that this machine has it.
    fn must_be_met(&self) -> bool {
        let must = std::env::var("MUST_RUN").unwrap_or_default();
        must.split(',').any(|name| name == self.name)
    }
}

/// What has become of the checks so far.
pub struct Tally {
    wanted: Vec<String>,
    passed: usize,
    failed: usize,
    left_out: usize,
    not_wanted: usize,
}

impl Tally {
    /// For checks with one of the words in their name; all, if there is none.
    pub fn new(wanted: Vec<String>) -> Self {
        Self { wanted, passed: 0, failed: 0, left_out: 0, not_wanted: 0 }
    }

    /// Does a check, if it is wanted and its needs are met.
    pub fn check(
        &mut self,
        name: &str,
        needs: &[&Need],
        check: impl FnOnce() -> anyhow::Result<()>,
    ) {
        if !self.wanted.is_empty() && !self.wanted.iter().any(|word| name.contains(word.as_str())) {
            self.not_wanted += 1;
            return;
        }
        for need in needs {
            match &need.met {
                Err(why) if need.must_be_met() => {
                    return self.fail(name, &format!("MUST_RUN has {}, but {why}", need.name));
                }
                Err(why) => {
                    self.left_out += 1;
                    println!("test {name} ... skipped: {why}");
                    return;
                }
                Ok(()) => {}
            }
        }
        match check() {
            Ok(()) => {
                self.passed += 1;
                println!("test {name} ... ok");
            }
            Err(error) => self.fail(name, &format!("{error:#}")),
        }
    }

    fn fail(&mut self, name: &str, why: &str) {
        self.failed += 1;
        println!("test {name} ... FAILED\n{why}\n");
    }

    /// The closing line, and the code to end with.
    pub fn sum(self) -> ExitCode {
        let Self { passed, failed, left_out, not_wanted, .. } = self;
        let word = if failed == 0 { "ok" } else { "FAILED" };
        println!(
            "\ntest result: {word}. {passed} passed; {failed} failed; {left_out} ignored; \
             0 measured; {not_wanted} filtered out\n"
        );
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
