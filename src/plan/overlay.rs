//! A throw-away overlay over a tree: overlayfs with its layer in memory.
//!
//! The layer is a tmpfs of the container's own mount namespace: whatever kills
//! us, the kernel takes it away with the last process, and nothing is left on
//! a disk. overlayfs works in a user namespace since Linux 5.11, with its
//! marks in `user.*` attributes (kernel documentation, overlayfs, "userxattr").

use std::ffi::CString;

use super::draft::{Draft, filesystem};
use super::step::{Missing, Slot, Step, Target};

const NAMES: [(&str, u32); 3] = [("lower", 0o755), ("upper", 0o755), ("work", 0o700)];

/// Lays an overlay over the tree in `lower` and keeps it in `into`.
pub fn over(lower: Slot, into: Slot, what: &str, attrs: u64, draft: &mut Draft) {
    let plain = |text: &str| CString::new(text).unwrap_or_default();
    let layer = draft.filesystem("tmpfs", &[("mode", Some("0700"))], 0);
    for (name, mode) in NAMES {
        draft.push(Step::MakeDirectory { at: layer, name: plain(name), mode });
    }
    // Before Linux 6.15 an overlay takes its layers from attached mounts only.
    // On top of the host's root this one is out of everybody's way, and goes
    // with it at the pivot.
    draft.push(Step::Attach {
        tree: layer,
        what: "a throw-away layer".to_owned(),
        target: Target::Root,
        missing: Missing::Create,
    });
    draft.push(Step::Attach {
        tree: lower,
        what: what.to_owned(),
        target: Target::Inside(layer, plain("lower")),
        missing: Missing::Create,
    });
    // Layers are named relative to the current directory: a path could hold
    // the ':' and ',' that overlayfs takes apart.
    draft.push(Step::Enter(layer));
    let options = [
        ("lowerdir", Some("lower")),
        ("upperdir", Some("upper")),
        ("workdir", Some("work")),
        ("userxattr", None),
    ];
    draft.push(filesystem("overlay", &options, attrs, into));
}
