//! `sublet create`: a container that is known and does not run.

use super::record::Recorded;
use super::run::{self, upkeep};
use crate::host::Host;
use crate::spec::Spec;
use crate::state::Upkeep;

/// Writes down a container for others to start, if it can be had. Calls `warn`
/// with what is less than could be had.
///
/// # Errors
/// What is asked for and can't be had; what the disk says.
pub fn create(spec: &Spec, host: &Host, warn: impl Fn(&str)) -> anyhow::Result<()> {
    let plan = run::plan(spec, host)?;
    plan.notes.iter().for_each(|note| warn(note));
    Recorded::create(spec, &plan, Upkeep { background: true, ..upkeep(spec) })
}
