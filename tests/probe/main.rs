//! The payload of the end-to-end tests: one static program that looks at a
//! container from inside, tries what it should not be able to do, and says
//! what came of it in JSON.
//!
//! `probe NAME [ARG]...`; each probe is one function of the module of its
//! topic. An outcome of a tried call is the word `ok` or the name of the
//! error, as in `"EPERM"`.

mod arch;
mod descriptors;
mod identity;
mod paths;
mod process;
#[allow(unsafe_code)] // numbers no wrapper has, and pointers that must fail
mod raw;
mod seize;
mod sockets;
mod syscalls;
mod terminal;

use std::process::ExitCode;

use serde_json::Value;

/// What a probe ends with.
enum Report {
    /// One JSON value, printed on a line of its own.
    Facts(Value),
    /// All has been said already; the exit code is this.
    Code(u8),
}

impl From<Value> for Report {
    fn from(facts: Value) -> Self {
        Self::Facts(facts)
    }
}

type Probe = fn(&[String]) -> Report;

const PROBES: &[(&str, Probe)] = &[
    ("args", process::args),
    ("caps", identity::caps),
    ("clone-flags", syscalls::clone_flags),
    ("crash", process::crash),
    ("cwd", paths::cwd),
    ("env", process::env),
    ("exit", process::exit),
    ("fds", descriptors::fds),
    ("ids", identity::ids),
    ("int80", arch::int80),
    ("keep-exe", seize::keep_exe),
    ("keyring", syscalls::keyring),
    ("limits", process::limits),
    ("masks", paths::masks),
    ("mknod", paths::mknod),
    ("mounts", paths::mounts),
    ("ns", identity::namespaces),
    ("open", paths::open),
    ("orphans", process::orphans),
    ("pass-exe", descriptors::pass_exe),
    ("pty", terminal::pty),
    ("readable", paths::readable),
    ("seize", seize::seize),
    ("signals", process::signals),
    ("sleep", process::sleep),
    ("sockets", sockets::matrix),
    ("syscalls", syscalls::table),
    ("tiocsti", terminal::push_input),
    ("tty", terminal::facts),
    ("write-exe", descriptors::write_exe),
    ("x32", arch::x32),
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    let rest: Vec<String> = words.collect();
    let Some((_, probe)) = PROBES.iter().find(|(known, _)| *known == name) else {
        eprintln!("probe: no probe is called {name:?}");
        return ExitCode::from(64);
    };
    match probe(&rest) {
        Report::Facts(facts) => {
            println!("{facts}");
            ExitCode::SUCCESS
        }
        Report::Code(code) => ExitCode::from(code),
    }
}

/// `ok`, or the error's name.
fn outcome<T>(result: Result<T, nix::errno::Errno>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(errno) => format!("{errno:?}"),
    }
}

/// The same for what the standard library reports.
fn io_outcome<T>(result: std::io::Result<T>) -> String {
    outcome(result.map_err(|error| {
        error.raw_os_error().map_or(nix::errno::Errno::UnknownErrno, nix::errno::Errno::from_raw)
    }))
}
