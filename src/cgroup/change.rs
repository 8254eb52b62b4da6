//! Limits anew of a container that runs.

use std::path::Path;
use std::time::Duration;

use super::deadline::Deadline;
use super::share::share;
use super::systemd::Systemd;
use super::tree::Directory;
use super::{PAYLOAD, write_all};
use crate::plan::cgroup::{Cgroup, Manager};

/// How long what must be moved is followed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sets what `plan` has in the container's group at `limited`: systemd is told
/// what it has properties for, and would otherwise write over.
///
/// # Errors
/// What was refused; what comes before it is set.
pub fn change(limited: &Path, plan: &Cgroup) -> anyhow::Result<()> {
    let limited = Directory::open(limited)?;
    match &plan.manager {
        Manager::Systemd { bus, unit, .. } if !plan.properties.is_empty() => {
            Systemd::at(bus).set_properties(unit, &plan.properties)?;
        }
        Manager::Direct { parent, .. } => {
            // A controller that nothing was limited by until now.
            share(&Directory::open(parent)?, &plan.controllers, Deadline::after(PATIENCE))?;
        }
        Manager::Systemd { .. } | Manager::None => {}
    }
    write_all(&limited, &plan.limits)?;
    if !plan.payload.is_empty() {
        write_all(&limited.child(PAYLOAD)?, &plan.payload)?;
    }
    Ok(())
}
