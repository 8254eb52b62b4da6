//! What all end-to-end tests stand on.
//!
//! The environment says what is tested and where:
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SUBLET` | the launcher; else the one that cargo built |
//! | `SUBLET_PROBE` | the payload; else `examples/probe` beside the launcher |
//! | `SUBLET_WEAK` | the launcher built with `--features weaken` |
//! | `SUBLET_ROOTS` | `debian.tar` and `debian-repo/`, as `scripts/roots` makes them |
//! | `SUBLET_SLOW` | a factor on every time-out |
//! | `SUBLET_SKIPS` | a file that gets `test: reason` for each test left out |
//! | `SUBLET_RACES` | attempts of each race |
//! | `SUBLET_KEEP` | leaves the scratch directories |
//! | `MUST_RUN` | comma list of needs that this host has to meet |

pub mod at;
pub mod canary;
pub mod leaks;
pub mod need;
pub mod processes;
pub mod program;
pub mod root;
pub mod scratch;
#[allow(unsafe_code)] // what std::process cannot set up between fork and exec
pub mod spawn;
pub mod terminal;
pub mod tree;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

pub use at::At;
pub use canary::Canary;
pub use leaks::Leaks;
pub use program::{Program, RUN, Running};
pub use root::Root;
pub use scratch::Scratch;
pub use terminal::Terminal;
pub use tree::Tree;

/// The launcher under test.
pub fn launcher() -> PathBuf {
    std::env::var_os("SUBLET").map_or_else(|| env!("CARGO_BIN_EXE_sublet").into(), PathBuf::from)
}

/// The payload of the probes.
pub fn probe() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_sublet")).with_file_name("examples/probe");
    let probe = std::env::var_os("SUBLET_PROBE").map_or_else(built, PathBuf::from);
    assert!(
        probe.is_file(),
        "{} is missing: build it with `cargo build --example probe`",
        probe.display()
    );
    probe
}

/// `seconds`, made longer on a slow machine.
pub fn patience(seconds: f64) -> Duration {
    static FACTOR: OnceLock<f64> = OnceLock::new();
    let factor = FACTOR.get_or_init(|| {
        std::env::var("SUBLET_SLOW").map_or(1.0, |text| text.parse().expect("SUBLET_SLOW"))
    });
    Duration::from_secs_f64(seconds * factor)
}

/// Whether this is a machine in which all takes many times as long.
pub fn is_slow() -> bool {
    patience(1.0) > Duration::from_secs(1)
}

/// How often each race is run.
pub fn races() -> usize {
    std::env::var("SUBLET_RACES").map_or(300, |text| text.parse().expect("SUBLET_RACES"))
}

/// Waits until `found` gives something, `seconds` at most.
pub fn eventually<T>(seconds: f64, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = std::time::Instant::now() + patience(seconds);
    loop {
        if let Some(value) = found() {
            return Some(value);
        }
        if std::time::Instant::now() > deadline {
            return None;
        }
        // Who looks all the time keeps a slow machine from what it looks for.
        std::thread::sleep(patience(0.005));
    }
}

/// The ids that the tests run with.
pub fn caller() -> (u32, u32) {
    (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw())
}

/// The caller's line of /etc/subuid or /etc/subgid: first id and count.
pub fn subordinate(file: &str) -> Option<(u32, u32)> {
    let uid = nix::unistd::getuid();
    let name = nix::unistd::User::from_uid(uid).ok()??.name;
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let [owner, first, count] = line.split(':').collect::<Vec<_>>().try_into().ok()?;
        let ours = owner == name || owner == uid.to_string();
        ours.then(|| Some((first.parse().ok()?, count.parse().ok()?)))?
    })
}

/// Leaves the test where this host lacks something it needs: every test needs
/// a user namespace and busybox, and names what else. A need that `MUST_RUN`
/// holds may not be missing.
macro_rules! requires {
    ($($need:ident),* $(,)?) => {
        for (name, met) in [
            ("user_namespace", $crate::common::need::user_namespace()),
            ("busybox", $crate::common::need::busybox()),
            $((stringify!($need), $crate::common::need::$need())),*
        ] {
            if let Err(why) = met {
                $crate::common::need::skip(name, &why);
                return;
            }
        }
    };
}
pub(crate) use requires;
