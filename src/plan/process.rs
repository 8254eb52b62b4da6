//! The payload's process: program, arguments, environment, limits.
//!
//! Reads `process`; `child::enter` and `child::confine` carry it out.

use std::ffi::CString;

use anyhow::{Context, ensure};
use oci_spec::runtime::{PosixRlimitType, Process};

use super::draft::cstring_text;
use super::step::Step;
use crate::host::descriptors::Descriptors;
use crate::spec::Root;
use crate::sys::process::StringArray;

/// The file mode creation mask where nothing is said.
pub const UMASK: u32 = 0o022;

/// Where programs are looked for, if the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The step that becomes the payload.
pub fn exec(
    process: &Process,
    root: &Root,
    home: &str,
    shell: Option<&str>,
) -> anyhow::Result<Step> {
    let mut env: Vec<String> = process.env().clone().unwrap_or_default();
    if value_of(&env, "HOME").is_none() {
        env.push(format!("HOME={home}"));
    }
    let args: Vec<String> = match process.args() {
        Some(args) if !args.is_empty() => args.clone(),
        _ => vec![default_command(root, shell).to_owned()],
    };
    let program = &args[0];
    ensure!(!program.is_empty(), "the command is an empty word");
    let candidates = candidates(program, value_of(&env, "PATH").unwrap_or(PATH))?;
    let strings = |texts: &[String]| -> anyhow::Result<StringArray> {
        let strings: anyhow::Result<Vec<CString>> = texts.iter().map(|t| cstring_text(t)).collect();
        Ok(StringArray::new(strings?))
    };
    let argv = strings(&args).context("arguments")?;
    let envp = strings(&env).context("environment")?;
    Ok(Step::Exec { candidates, argv, envp })
}

/// What runs where nothing is said: the user's own shell on the host's
/// system, else the one that every root has.
fn default_command<'a>(root: &Root, shell: Option<&'a str>) -> &'a str {
    match (root, shell) {
        (Root::Host, Some(shell)) => shell,
        _ => "/bin/sh",
    }
}

fn value_of<'a>(env: &'a [String], key: &str) -> Option<&'a str> {
    // The last one counts, as in execvp(3)'s own search of a list that
    // setenv(3) could not have made.
    env.iter().rev().find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='))
}

/// The paths to try for a program, as execvp(3) would.
fn candidates(program: &str, path: &str) -> anyhow::Result<Vec<CString>> {
    if program.contains('/') {
        return Ok(vec![cstring_text(program)?]);
    }
    path.split(':')
        .filter(|directory| !directory.is_empty())
        .map(|directory| cstring_text(&format!("{directory}/{program}")))
        .collect()
}

/// The step that gives the caller's limit of open files back, where none is asked
/// for.
pub fn given_back(given: Option<Descriptors>, process: &Process) -> Option<Step> {
    let kind = PosixRlimitType::RlimitNofile;
    let is_asked = process.rlimits().iter().flatten().any(|limit| limit.typ() == kind);
    let (resource, name) = resource(kind);
    let given = given.filter(|_| !is_asked)?;
    Some(Step::Limit { resource, name, soft: given.soft, hard: given.hard })
}

/// The steps that set resource limits.
pub fn limits(process: &Process) -> Vec<Step> {
    let step = |limit: &oci_spec::runtime::PosixRlimit| {
        let (resource, name) = resource(limit.typ());
        Step::Limit { resource, name, soft: limit.soft(), hard: limit.hard() }
    };
    process.rlimits().iter().flatten().map(step).collect()
}

/// The number and the name of a limit; getrlimit(2). The numbers are those of
/// `asm-generic/resource.h`, to which the C libraries give different types.
fn resource(kind: PosixRlimitType) -> (u32, &'static str) {
    use PosixRlimitType as Kind;
    match kind {
        Kind::RlimitCpu => (0, "RLIMIT_CPU"),
        Kind::RlimitFsize => (1, "RLIMIT_FSIZE"),
        Kind::RlimitData => (2, "RLIMIT_DATA"),
        Kind::RlimitStack => (3, "RLIMIT_STACK"),
        Kind::RlimitCore => (4, "RLIMIT_CORE"),
        Kind::RlimitRss => (5, "RLIMIT_RSS"),
        Kind::RlimitNproc => (6, "RLIMIT_NPROC"),
        Kind::RlimitNofile => (7, "RLIMIT_NOFILE"),
        Kind::RlimitMemlock => (8, "RLIMIT_MEMLOCK"),
        Kind::RlimitAs => (9, "RLIMIT_AS"),
        Kind::RlimitLocks => (10, "RLIMIT_LOCKS"),
        Kind::RlimitSigpending => (11, "RLIMIT_SIGPENDING"),
        Kind::RlimitMsgqueue => (12, "RLIMIT_MSGQUEUE"),
        Kind::RlimitNice => (13, "RLIMIT_NICE"),
        Kind::RlimitRtprio => (14, "RLIMIT_RTPRIO"),
        Kind::RlimitRttime => (15, "RLIMIT_RTTIME"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_looked_for_in_the_path() {
        let found = candidates("ls", "/bin::/usr/bin").unwrap();
        assert_eq!(found, [CString::from(c"/bin/ls"), CString::from(c"/usr/bin/ls")]);
        assert_eq!(candidates("./ls", "/bin").unwrap(), [CString::from(c"./ls")]);
        assert!(candidates("a\0b", "/bin").is_err());
    }

    #[test]
    fn the_last_of_two_variables_counts() {
        let env = ["PATH=/a".to_owned(), "PATHX=/b".to_owned(), "PATH=/c".to_owned()];
        assert_eq!(value_of(&env, "PATH"), Some("/c"));
        assert_eq!(value_of(&env, "PAT"), None);
    }
}
