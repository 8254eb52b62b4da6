//! Namespaces that others have made.
//!
//! We join them ourselves, with the rights that the caller has, and what is
//! cloned then is in them. A pid namespace counts for children only (setns(2)).

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::Context;

use crate::error::Explain;
use crate::plan::namespaces::Joined;
use crate::sys::process;

/// Joins them.
///
/// # Errors
/// The one that can't be joined, and why not.
pub fn join(namespaces: &[Joined]) -> anyhow::Result<()> {
    namespaces.iter().try_for_each(|namespace| {
        let Joined { kind, name, path } = namespace;
        let opened = File::open(path);
        let joined = opened
            .map_err(anyhow::Error::from)
            .and_then(|file| process::join(file.as_fd(), *kind).map_err(anyhow::Error::from));
        joined.with_context(|| format!("join the {name} namespace at {path:?}")).hint(
            "it takes CAP_SYS_ADMIN over the user namespace that owns it, and a namespace of that \
             kind: ls -l shows what it is",
        )
    })
}
