//! Makes, limits, freezes and removes control groups, and reads what they use:
//! the part that is files. Version 2 alone.
//!
//! ```text
//! OURS                     delegated to us           sublet-ID.scope   systemd's
//! ├─ supervisor            what was in OURS          ├─ supervisor     our watcher
//! └─ sublet-ID             the limits                ├─ payload        the container
//!    ├─ payload            the container             └─ helper         its network's
//!    └─ helper             its network's
//! ```
//!
//! [`placing`] has the child put there: [`split`] makes the left tree,
//! [`systemd`] the scope, and [`delegated`] completes the right one; [`apart`]
//! gives who stays with a container in the background a scope beside that. The
//! limits are on a cgroup above the root of the container's cgroup namespace:
//! its root user can't raise them. All work is done through descriptors of
//! directories, so that a cgroup that is removed and made again by somebody
//! else is never taken for ours.
#![forbid(unsafe_code)]

pub mod apart;
pub mod change;
mod deadline;
pub mod delegated;
pub mod joining;
mod made;
pub mod placing;
mod refused;
mod remove;
mod share;
pub mod split;
mod state;
pub mod systemd;
#[cfg(test)]
mod tests;
mod tree;
pub mod usage;

pub use deadline::Deadline;
pub use refused::{Attempt, Refused};
pub use tree::Directory;

use crate::plan::cgroup::Setting;

pub use crate::host::cgroup::PAYLOAD;

/// The leaf that what helps the container is in: its network's helper.
pub const HELPER: &str = "helper";

/// Writes settings in their order.
fn write_all(directory: &Directory, settings: &[Setting]) -> Result<(), Refused> {
    settings.iter().try_for_each(|setting| directory.write(&setting.file, &setting.content))
}
