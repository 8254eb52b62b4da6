//! Compiles the default seccomp profile, for the capabilities that containers
//! usually have, into constants that `security::seccomp` includes.
//!
//! It is made of the same source files as the compiler at run time. Its
//! dependencies (anyhow, serde, serde_json) are built a second time for it
//! where a target is named: about four seconds of a clean build and 25 MB.
#![forbid(unsafe_code)]
#![allow(dead_code)] // what only the run time uses

mod caps;
mod seccomp {
    pub mod arch;
    pub mod assemble;
    pub mod bpf;
    pub mod compile;
    pub mod errno;
    pub mod graph;
    pub mod policy;
    pub mod profile;
    pub mod syscalls;
    pub mod table;
}

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use caps::{Cap, CapSet};
use seccomp::arch::Arch;
use seccomp::compile::compile;
use seccomp::policy::{Circumstances, Nesting, Policy};
use seccomp::profile::Profile;

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=src/security");
    let arch = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => Arch::X86_64,
        "aarch64" => Arch::Aarch64,
        other => bail!("there is no table of system calls for {other}"),
    };
    let profile: Profile =
        serde_json::from_str(&fs::read_to_string("src/security/seccomp/default.json")?)?;
    let rust = generate(&profile, arch).context("compile src/security/seccomp/default.json")?;
    let out = env::var_os("OUT_DIR").context("OUT_DIR is not set")?;
    Ok(fs::write(Path::new(&out).join("seccomp.rs"), rust)?)
}

/// The constants: one filter for each set of capabilities, with and without
/// containers inside.
fn generate(profile: &Profile, arch: Arch) -> Result<String> {
    let named = caps_named(profile)?;
    let mut rust = String::new();
    let mut flags = seccomp::bpf::Flags::default();
    let mut compiled = String::new();
    for caps in [CapSet::DEFAULT, CapSet::EMPTY] {
        for nesting in [Nesting::Refused, Nesting::Allowed] {
            // Every kernel that the default profile is meant for is newer
            // than any version it could ask about.
            let here = Circumstances { arch, caps, nesting, kernel: (u32::MAX, 0) };
            let policy = Policy::settle(profile, &here)?;
            ensure!(policy.unknown.is_empty(), "unknown names: {:?}", policy.unknown);
            flags = policy.flags;
            let caps = caps.and(named).bits();
            writeln!(
                compiled,
                "Compiled {{ caps: CapSet::from_bits({caps:#x}), nesting: Nesting::{nesting:?}, \
                 instructions: &["
            )?;
            for i in compile(&policy)? {
                writeln!(compiled, "Instruction::new({}, {}, {}, {}),", i.code, i.jt, i.jf, i.k)?;
            }
            compiled.push_str("] },\n");
        }
    }
    let bits = (named.bits(), flags.bits());
    writeln!(rust, "pub(super) const CAPS_NAMED: CapSet = CapSet::from_bits({:#x});", bits.0)?;
    writeln!(rust, "pub(super) const FLAGS: Flags = Flags::from_bits({:#x});", bits.1)?;
    writeln!(rust, "pub(super) static COMPILED: &[Compiled] = &[\n{compiled}];")?;
    Ok(rust)
}

/// The capabilities that the profile asks about: no other changes the filter.
fn caps_named(profile: &Profile) -> Result<CapSet> {
    let conditions = profile.syscalls.iter().flat_map(|entry| [&entry.includes, &entry.excludes]);
    conditions
        .flatten()
        .flat_map(|condition| &condition.caps)
        .map(|name| name.parse::<Cap>())
        .collect()
}
