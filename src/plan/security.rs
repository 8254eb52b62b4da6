//! What the payload may do: capabilities, no_new_privs, the call filter.
//!
//! Reads `process.capabilities`, `process.noNewPrivileges`, `linux.seccomp`
//! and `Beside::seccomp`; `child::confine` carries it out.

use anyhow::{Context, ensure};
use nix::libc::sock_filter;
use oci_spec::runtime::{Linux, LinuxSchedulerPolicy as Policy, Process};

use super::step::{Capabilities, Step};
use crate::security::caps::CapSet;
use crate::security::seccomp::bpf::Flags;
use crate::security::seccomp::{self, Nesting, Program};
use crate::spec::{Seccomp, Spec};

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
        let beside = &spec.beside;
        let added = (!beside.exact_capabilities).then_some(beside.added_capabilities);
        let capabilities = capabilities(process, uid, added, notes)?;
        let bounding = CapSet::from_bits(capabilities.bounding);
        let nesting = if spec.beside.nested { Nesting::Allowed } else { Nesting::Refused };
        let filter = match &spec.beside.seccomp {
            Seccomp::Unconfined => None,
            Seccomp::Default => Some(seccomp::builtin(bounding, nesting)?),
            Seccomp::File(path) => Some(seccomp::from_file(path, bounding, nesting)?),
            Seccomp::Profile => {
                let profile = linux.seccomp().as_ref().context("no seccomp profile is given")?;
                Some(seccomp::from_oci(profile)?)
            }
        };
        if let Some(unknown) = filter.as_ref().map(|program| &program.unknown)
            && !unknown.is_empty()
        {
            notes.push(format!(
                "the seccomp profile names system calls that nobody here knows: {}",
                unknown.join(" ")
            ));
        }
        let no_new_privileges = process.no_new_privileges().unwrap_or(false);
        let rights = Self { capabilities, no_new_privileges, filter };
        if let Some(policy) = process.scheduler().as_ref().map(|it| *it.policy()) {
            // While its listener is handed over, one thread waits for another
            // without a call: on a processor of its own, for ever.
            let alone = matches!(policy, Policy::SchedFifo | Policy::SchedRr);
            ensure!(
                !(alone && rights.ask()),
                "process.scheduler.policy {policy} doesn't go with linux.seccomp.listenerPath"
            );
        }
        Ok(rights)
    }

    /// The step that loads the filter, if there is one.
    pub fn filter(&self) -> Option<Step> {
        self.instructions().map(|(filter, flags)| Step::Seccomp { filter, flags })
    }

    /// Whether somebody outside decides about some calls.
    fn ask(&self) -> bool {
        self.filter.as_ref().is_some_and(|program| program.flags.contains(Flags::NEW_LISTENER))
    }

    /// The filter for a program that nobody listens to: the calls about which
    /// somebody would decide fail with ENOSYS (seccomp(2)).
    pub fn instructions_alone(&self) -> Option<(Vec<sock_filter>, u32)> {
        let listening = Flags::NEW_LISTENER | Flags::WAIT_KILLABLE_RECV;
        let (filter, flags) = self.instructions()?;
        Some((filter, Flags::from_bits(flags).without(listening).bits()))
    }

    /// The filter, if there is one, and its `SECCOMP_FILTER_FLAG_*`.
    pub fn instructions(&self) -> Option<(Vec<sock_filter>, u32)> {
        let program = self.filter.as_ref()?;
        let filter = program
            .instructions
            .iter()
            .map(|i| sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
            .collect();
        Some((filter, program.flags.bits()))
    }
}

/// The five sets. Root gets by exec all that its bounding set has
/// (capabilities(7)); anybody else only what is ambient, so what was asked for
/// by name is made that. Without such a set they are as they are given, but for
/// ambient ones that the kernel lets nobody have.
fn capabilities(
    process: &Process,
    uid: u32,
    added: Option<CapSet>,
    notes: &mut Vec<String>,
) -> anyhow::Result<Capabilities> {
    let Some(given) = process.capabilities() else { return Ok(Capabilities::default()) };
    let bits = |set: &Option<oci_spec::runtime::Capabilities>| match set {
        Some(set) => CapSet::from_oci(set).map(CapSet::bits),
        None => Ok(0),
    };
    let bounding = bits(given.bounding())?;
    if let Some(added) = added.filter(|_| uid != 0) {
        let kept = bounding & added.bits();
        return Ok(Capabilities {
            bounding,
            effective: kept,
            permitted: kept,
            inheritable: kept,
            ambient: kept,
        });
    }
    let (permitted, inheritable) = (bits(given.permitted())?, bits(given.inheritable())?);
    let asked = bits(given.ambient())?;
    // capabilities(7). Bundles as older engines write them have ambient ones and
    // none that are inheritable; the runtime specification has that warned of.
    let ambient = asked & permitted & inheritable;
    if ambient != asked {
        notes.push(
            "process.capabilities.ambient has some that are not both permitted and inheritable: \
             they are left out"
                .to_owned(),
        );
    }
    let effective = bits(given.effective())?;
    Ok(Capabilities { bounding, effective, permitted, inheritable, ambient })
}
