//! The operations of an OCI runtime: a file each.
//!
//! What a command line of runc's asks for. No process of ours stays with a
//! container: [`create`] leaves it at the doorstep, [`start`](mod@start) lets it go on, and what
//! the others want to know they ask the kernel.

mod console;
pub mod create;
pub mod delete;
pub mod events;
pub mod exec;
pub mod features;
mod group;
mod handing;
pub mod hooks;
pub mod kill;
pub mod list;
mod listener;
mod pids;
pub mod start;
pub mod status;
pub mod update;
pub mod wait;

use std::path::Path;

use anyhow::anyhow;

use crate::error::Explain;
use crate::spec::ContainerId;
use crate::state::{Bundles, Found, Moment};

/// The containers of one runtime.
#[derive(Debug)]
pub struct Runtime {
    bundles: Bundles,
}

impl Runtime {
    /// Opens the one whose state is in `root`, or in the caller's own place.
    ///
    /// # Errors
    /// Where that is not the caller's alone.
    pub fn open(root: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self { bundles: Bundles::open(root)? })
    }

    /// The same, of which there is none where nothing is at `root`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn look(root: Option<&Path>) -> anyhow::Result<Option<Self>> {
        Ok(Bundles::look(root)?.map(|bundles| Self { bundles }))
    }

    /// The container that is called so.
    fn find(&self, id: &ContainerId) -> anyhow::Result<Found> {
        self.bundles.seek(id)?.map_or_else(|| absent(id), Ok)
    }
}

/// There is no container that is called so.
///
/// # Errors
/// That.
pub fn absent<T>(id: &ContainerId) -> anyhow::Result<T> {
    Err(anyhow!("container {:?} does not exist", id.as_str()))
        .hint("sublet-oci list shows those there are; --root says where they are looked for")
}

/// The time as logs have it: RFC 3339.
pub fn now() -> String {
    super::time::utc(Moment::now())
}

/// Reads an id.
///
/// # Errors
/// What is none.
pub fn id(text: &str) -> anyhow::Result<ContainerId> {
    text.parse().map_err(|error| anyhow!("invalid container id: {error}"))
}
