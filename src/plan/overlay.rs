//! A throw-away overlay over a tree: overlayfs with its layer in memory.
//!
//! The layer lies in the [`Workshop`], so it goes with the container's last
//! process. overlayfs works in a user namespace since Linux 5.11, with its
//! marks in `user.*` attributes (kernel documentation, overlayfs,
//! "userxattr").

use super::draft::{Draft, filesystem, plain};
use super::step::{Slot, Step};
use super::workshop::Workshop;

/// Lays an overlay over the tree in `lower` and keeps it in `into`.
pub fn over(
    lower: Slot,
    into: Slot,
    what: &str,
    attrs: u64,
    workshop: Workshop,
    draft: &mut Draft,
) {
    // Several overlays have a place each.
    let name = |layer: &str| format!("{layer}{}", lower.0);
    let (lowerdir, upperdir, workdir) = (name("lower"), name("upper"), name("work"));
    workshop.directory(&lowerdir, 0o755, draft);
    // An overlay's root is that of its upper layer.
    draft.push(Step::MakeLike { at: workshop.slot(), name: plain(&upperdir), like: lower });
    workshop.directory(&workdir, 0o700, draft);
    // Before Linux 6.15 an overlay takes its layers from attached mounts only.
    workshop.attach(lower, what, &lowerdir, draft);
    // Layers are named relative to the current directory: a path could hold
    // the ':' and ',' that overlayfs takes apart.
    draft.push(Step::Enter(workshop.slot()));
    let options = [
        ("lowerdir", Some(lowerdir.as_str())),
        ("upperdir", Some(upperdir.as_str())),
        ("workdir", Some(workdir.as_str())),
        ("userxattr", None),
    ];
    draft.push(filesystem("overlay", &options, attrs, into));
}
