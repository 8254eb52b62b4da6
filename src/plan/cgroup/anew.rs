//! Other limits for a container that runs.

use anyhow::Context;
use oci_spec::runtime::LinuxResources;

use super::property::{Property, Value};
use super::{Cgroup, Manager, choose, controllers, limit};
use crate::host::Host;
use crate::host::advice::Advice;
use crate::spec::resources::cpu::PERIOD;
use crate::state;

/// Whose words a container's limits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of `sublet run`.
    Ours,
    /// An engine's.
    Engines,
}

/// Decides how `resources` are set of the container that has its control group
/// at `place`. What is not in them is not touched.
///
/// # Errors
/// A limit that can't be had there, with the lines that would help.
pub fn anew(
    resources: &LinuxResources,
    place: &state::Place,
    whose: Whose,
    host: &Host,
) -> anyhow::Result<Cgroup> {
    let limits = limit::limits(resources)?;
    let asked = limits.first().map_or("", |limit| limit.asked);
    let place = choose::again(place, host)?.or_else(Advice::refuse).context(asked)?;
    let (mut limits, lacked) = place.sort(limits, host.cgroups()?, host.files());
    if let Some(lacked) = lacked.into_iter().next() {
        let asked = lacked.limits.first().map_or("", |limit| limit.asked);
        return lacked.advice.refuse().context(asked);
    }
    let mut cgroup = Cgroup { controllers: controllers(&limits), ..Cgroup::default() };
    match whose {
        Whose::Ours => cgroup.keep_processes(&mut limits),
        Whose::Engines => cgroup.show(&limits),
    }
    cgroup.enter(limits, place.manager);
    if matches!(cgroup.manager, Manager::Systemd { .. }) {
        say_period(&mut cgroup.properties);
    }
    Ok(cgroup)
}

/// The usual period goes without saying only for a new scope.
fn say_period(properties: &mut Vec<Property>) {
    const NAME: &str = "CPUQuotaPeriodUSec";
    let has = |name: &str| properties.iter().any(|property| property.name == name);
    if has("CPUQuotaPerSecUSec") && !has(NAME) {
        properties.push(Property { name: NAME.to_owned(), value: Value::U64(PERIOD) });
    }
}
