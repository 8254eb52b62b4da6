//! What the payload may do: capabilities, no_new_privs, the call filter.
//!
//! Reads `process.capabilities`, `process.noNewPrivileges`, `linux.seccomp`
//! and `Beside::seccomp`; `child::confine` carries it out.

use anyhow::Context;
use oci_spec::runtime::{Linux, Process};

use super::step::{Capabilities, Step};
use crate::security::caps::{Cap, CapSet};
use crate::security::seccomp::{self, Nesting, Program};
use crate::spec::{Seccomp, Spec};
use crate::sys::confine::Instruction;

/// The payload's rights.
#[derive(Debug)]
pub struct Rights {
    /// Its capability sets.
    pub capabilities: Capabilities,
    /// Whether an exec may give it more.
    pub no_new_privileges: bool,
    filter: Option<Program>,
}

impl Rights {
    /// Decides them for the payload's user.
    pub fn plan(
        spec: &Spec,
        process: &Process,
        linux: &Linux,
        uid: u32,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Self> {
        let capabilities = capabilities(process, uid)?;
        let bounding = CapSet::from_bits(capabilities.bounding);
        let nesting = if spec.beside.nested { Nesting::Allowed } else { Nesting::Refused };
        let filter = match spec.beside.seccomp {
            Seccomp::Unconfined => None,
            Seccomp::Default => Some(seccomp::builtin(bounding, nesting)?),
            Seccomp::Profile => {
                let profile = linux.seccomp().as_ref().context("no seccomp profile is given")?;
                Some(seccomp::from_oci(profile)?)
            }
        };
        let no_new_privileges = process.no_new_privileges().unwrap_or(false);
        let _ = notes;
        Ok(Self { capabilities, no_new_privileges, filter })
    }

    /// The step that loads the filter, if there is one.
    pub fn filter(&self) -> Option<Step> {
        let program = self.filter.as_ref()?;
        let filter = program
            .instructions
            .iter()
            .map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
            .collect();
        Some(Step::Seccomp { filter, flags: program.flags.bits() })
    }
}

/// The five sets. Root gets by exec all that its bounding set has
/// (capabilities(7)); anybody else only what is ambient, so what was asked for
/// beyond the defaults is made that.
fn capabilities(process: &Process, uid: u32) -> anyhow::Result<Capabilities> {
    let Some(given) = process.capabilities() else { return Ok(Capabilities::default()) };
    let bits = |set: &Option<oci_spec::runtime::Capabilities>| -> anyhow::Result<u64> {
        let mut bits = 0;
        for capability in set.iter().flatten() {
            bits |= 1 << capability.to_string().parse::<Cap>()?.number();
        }
        Ok(bits)
    };
    let ambient = bits(given.ambient())?;
    let sets = Capabilities {
        bounding: bits(given.bounding())?,
        effective: bits(given.effective())?,
        permitted: bits(given.permitted())?,
        inheritable: bits(given.inheritable())?,
        ambient,
    };
    Ok(if uid == 0 {
        Capabilities { inheritable: 0, ambient: 0, ..sets }
    } else {
        Capabilities {
            bounding: sets.bounding,
            effective: ambient,
            permitted: ambient,
            inheritable: ambient,
            ambient,
        }
    })
}
