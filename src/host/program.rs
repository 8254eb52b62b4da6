//! Small programs of the machine that are asked a question.
//!
//! A static binary has no name service switch: where users or ranges come
//! from LDAP, `getent` and `getsubids` know them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Where programs of the system are, before `PATH` is looked at: the usual
/// places, then those of NixOS and Guix for programs with privileges.
const DIRECTORIES: [&str; 8] = [
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/bin",
    "/run/wrappers/bin",
    "/run/privileged/bin",
    "/run/setuid-programs",
];

/// The most that is read of an answer.
const ANSWER: u64 = 256 << 10;

/// Every file of that name, the system's own places first; no further ones are
/// looked for than are taken.
pub(super) fn candidates(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A relative entry would take the program from wherever we are called.
    let of_caller: Vec<PathBuf> =
        std::env::split_paths(&path).filter(|directory| directory.is_absolute()).collect();
    let mut seen: Vec<PathBuf> = Vec::new();
    DIRECTORIES.iter().map(PathBuf::from).chain(of_caller).filter_map(move |directory| {
        let file = directory.join(name);
        let is_new = !seen.contains(&file) && file.is_file();
        is_new.then(|| {
            seen.push(file.clone());
            file
        })
    })
}

/// Whether a file is right in one of the system's own places.
pub(super) fn is_in_system(file: &Path) -> bool {
    DIRECTORIES.iter().any(|directory| file.parent() == Some(Path::new(directory)))
}

/// The program of that name in the system's own places: `PATH` is not asked,
/// because what it says is believed.
pub(super) fn system(name: &str) -> Option<PathBuf> {
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).find(|file| file.is_file())
}

/// What `program` prints. `None` where it says that there is nothing.
pub(super) fn ask(program: &Path, arguments: &[&str]) -> anyhow::Result<Option<Vec<u8>>> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(ANSWER + 1).read_to_end(&mut answer).context("read its answer")?;
    }
    let status = child.wait().with_context(|| format!("wait for {}", program.display()))?;
    ensure!(
        answer.len() as u64 <= ANSWER,
        "{} printed more than {ANSWER} bytes",
        program.display()
    );
    Ok(status.success().then_some(answer))
}
