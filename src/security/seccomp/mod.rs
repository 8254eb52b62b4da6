//! The system call filter: profiles in, a program for the kernel out.
//!
//! Reads `default.json` (at build time, and again for capabilities that were
//! not foreseen then), profile files and the `seccomp` object of a bundle.
//! Loads nothing: `child::confine` does. docs/seccomp.md says what the default
//! refuses and why.
//!
//! A profile (`profile`) is settled into a `policy` for one architecture,
//! one set of capabilities, one kernel; that becomes a `graph` of decisions,
//! and the graph a row of instructions (`assemble`).
#![forbid(unsafe_code)]

mod arch;
mod assemble;
pub mod bpf;
mod compile;
mod errno;
mod graph;
mod oci;
mod policy;
mod profile;
mod syscalls;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use self::arch::Arch;
use self::bpf::{Flags, Instruction};
use self::compile::compile;
use self::policy::{Circumstances, Policy, kernel_version};
use self::profile::Profile;
use super::caps::CapSet;
use crate::error::Explain;

pub use self::policy::Nesting;

/// What a system call is called, which the kernel's log gives by its
/// architecture (`AUDIT_ARCH_*`) and number.
pub fn call_name(audit: u32, number: u32) -> String {
    let arch = [Arch::X86_64, Arch::Aarch64].into_iter().find(|arch| arch.audit() == audit);
    let name = arch.and_then(|arch| syscalls::name(arch, number));
    name.map_or_else(|| format!("number {number} of architecture {audit:#x}"), str::to_owned)
}

/// What was compiled at build time: `CAPS_NAMED`, `FLAGS`, `COMPILED`.
mod compiled {
    use super::super::caps::CapSet;
    use super::{Compiled, Flags, Instruction, Nesting};

    include!(concat!(env!("OUT_DIR"), "/seccomp.rs"));
}

const DEFAULT: &str = include_str!("default.json");

const NATIVE: Arch = match (cfg!(target_arch = "x86_64"), cfg!(target_arch = "aarch64")) {
    (true, _) => Arch::X86_64,
    (_, true) => Arch::Aarch64,
    _ => panic!("there is no table of system calls for this architecture"),
};

/// A profile is some hundred lines; this is some ten thousand.
const MAX_FILE: u64 = 1 << 20;

/// A filter, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The filter, at most [`bpf::MAX_INSTRUCTIONS`] long.
    pub instructions: Cow<'static, [Instruction]>,
    /// The flags that seccomp(2) takes with it.
    pub flags: Flags,
    /// Names in the profile that no system call has, as far as we know. They
    /// have no effect, as with runc and crun: the profile may be newer than
    /// our tables, or have a typing error.
    pub unknown: Vec<String>,
}

/// A filter that the build script compiled.
struct Compiled {
    /// Of the capabilities that the profile asks about, those that are kept.
    caps: CapSet,
    nesting: Nesting,
    instructions: &'static [Instruction],
}

/// The default profile for a container with the bounding set `caps`.
///
/// The usual sets are compiled in; for others it is compiled now.
pub fn builtin(caps: CapSet, nesting: Nesting) -> Result<Program> {
    let asked = caps.and(compiled::CAPS_NAMED);
    match compiled::COMPILED.iter().find(|known| known.caps == asked && known.nesting == nesting) {
        Some(known) => Ok(Program {
            instructions: Cow::Borrowed(known.instructions),
            flags: compiled::FLAGS,
            unknown: Vec::new(),
        }),
        None => from_json(DEFAULT, caps, nesting).context("the default seccomp profile"),
    }
}

/// The profile in the file at `path`: OCI's, docker's or podman's form.
///
/// `caps` is the container's bounding set; it and `nesting` settle the
/// conditions of the file.
pub fn from_file(path: &Path, caps: CapSet, nesting: Nesting) -> Result<Program> {
    let text = read(path).with_context(|| format!("read seccomp profile {path:?}"))?;
    from_json(&text, caps, nesting)
        .and_then(|program| {
            let asks = program.flags.contains(Flags::NEW_LISTENER);
            ensure!(
                !asks,
                "SCMP_ACT_NOTIFY needs a listener, which only bundles of sublet-oci have"
            );
            Ok(program)
        })
        .with_context(|| format!("seccomp profile {path:?}"))
        .hint("--security-opt seccomp=unconfined runs without a filter")
}

/// The `linux.seccomp` object of a bundle.
pub fn from_oci(seccomp: &oci_spec::runtime::LinuxSeccomp) -> Result<Program> {
    let profile = Profile::from(seccomp);
    program(&profile, CapSet::EMPTY, Nesting::Refused).context("linux.seccomp")
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= MAX_FILE, "larger than {MAX_FILE} bytes");
    Ok(text)
}

fn from_json(text: &str, caps: CapSet, nesting: Nesting) -> Result<Program> {
    program(&serde_json::from_str(text)?, caps, nesting)
}

fn program(profile: &Profile, caps: CapSet, nesting: Nesting) -> Result<Program> {
    let here = Circumstances { arch: NATIVE, caps, nesting, kernel: kernel()? };
    let policy = Policy::settle(profile, &here)?;
    Ok(Program {
        instructions: Cow::Owned(compile(&policy)?),
        flags: policy.flags,
        unknown: policy.unknown.into_iter().collect(),
    })
}

/// The running kernel's version, which profiles may ask about.
fn kernel() -> Result<(u32, u32)> {
    let path = "/proc/sys/kernel/osrelease";
    kernel_version(&fs::read_to_string(path).with_context(|| format!("read {path}"))?)
}
