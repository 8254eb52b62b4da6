//! Leaves defences out, for tests that must see their probes fire.
//!
//! Only in builds with the feature `weaken`. Since a plan is data, a defence
//! is left out by taking its step away; what a step does itself is weakened by
//! a switch where it is done.

use anyhow::bail;
use nix::libc;

use super::attr::{NODEV, NOSUID, RDONLY};
use super::step::{Capabilities, Groups, Slot, Step};

/// Leaves out what `SUBLET_WEAKEN`, a list with commas, names.
///
/// # Errors
/// A name that is none: the probe that counts on it would prove nothing.
pub fn weaken(steps: &mut Vec<Step>) -> anyhow::Result<()> {
    let list = std::env::var("SUBLET_WEAKEN").unwrap_or_default();
    let mut classes = list.split(',').filter(|class| !class.is_empty());
    classes.try_for_each(|class| leave_out(class, steps))
}

fn leave_out(class: &str, steps: &mut Vec<Step>) -> anyhow::Result<()> {
    match class {
        "fds" => steps.retain(|step| !matches!(step, Step::CloseFrom(_))),
        "nnp" => steps.retain(|step| {
            // Without it the filter could not be loaded either.
            !matches!(step, Step::NoNewPrivileges | Step::Seccomp { .. })
        }),
        "seccomp" | "keyring" => steps.retain(|step| !matches!(step, Step::Seccomp { .. })),
        "session" => steps.retain(|step| !matches!(step, Step::NewSession)),
        "masks" => steps.retain(|step| !matches!(step, Step::Mask { .. } | Step::Protect { .. })),
        "readonly" => unset(steps, RDONLY),
        "nodev" => unset(steps, NODEV | NOSUID),
        "propagation" => slave(steps),
        "groups" => identity(steps, |groups, _| *groups = Groups::Keep),
        "caps" => identity(steps, |_, capabilities| {
            let all = (1 << 41) - 1;
            *capabilities = Capabilities {
                bounding: all,
                effective: all,
                permitted: all,
                inheritable: all,
                ambient: all,
            };
        }),
        "enter" => {
            steps.retain(|step| !matches!(step, Step::HideMemory | Step::LetGo(_)));
        }
        "resolve" => crate::sys::path::weaken_resolution(),
        "cwd" => {
            // What the caller has open stays open, and the way to it is taken.
            steps.retain(|step| !matches!(step, Step::CloseFrom(_)));
            crate::child::weaken_work_directory();
        }
        "exe" => crate::child::weaken_reaper(),
        other => bail!("SUBLET_WEAKEN: there is no defence {other:?}"),
    }
    Ok(())
}

fn identity(steps: &mut [Step], change: impl Fn(&mut Groups, &mut Capabilities)) {
    for step in steps {
        if let Step::Identity { groups, capabilities, .. } = step {
            change(groups, capabilities);
        }
    }
}

fn unset(steps: &mut [Step], bits: u64) {
    let shows_host = |step: &Step| match step {
        Step::OpenTree { source, into: Slot::ROOT, .. } => source.as_bytes() == b"/",
        _ => false,
    };
    // Nothing that a test does is to be written to the machine's own system.
    let spared = if steps.iter().any(shows_host) { bits & RDONLY } else { 0 };
    for step in steps {
        match step {
            Step::SetAttr { tree: Slot::ROOT, attr, .. } => attr.set &= !(bits & !spared),
            Step::SetAttr { attr, .. } => attr.set &= !bits,
            Step::NewFilesystem { attrs, .. } => *attrs &= !bits,
            _ => {}
        }
    }
}

fn slave(steps: &mut [Step]) {
    for step in steps {
        match step {
            Step::Propagation(kind) => *kind = libc::MS_SLAVE,
            Step::SetAttr { attr, .. } => attr.propagation = 0,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
