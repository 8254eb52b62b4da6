//! Paths of the kernel's file systems that are hidden or read-only.
//!
//! Reads `linux.maskedPaths` and `linux.readonlyPaths`.

use std::ffi::CString;
use std::path::Path;

use super::attr::{NOEXEC, RDONLY};
use super::draft::{Draft, cstring};
use super::step::{Expect, Slot, Step};
use super::workshop::Workshop;
use crate::sys::mount::Reach;

/// Plans the masks and the read-only paths.
pub fn plan(
    masked: &[String],
    readonly: &[String],
    cover: Option<Cover>,
    draft: &mut Draft,
) -> anyhow::Result<()> {
    if let Some(Cover { null, empty }) = cover {
        for path in masked {
            draft.push(Step::Mask { path: cstring(Path::new(path))?, null, empty });
        }
    }
    for path in readonly {
        draft.push(Step::Protect { path: cstring(Path::new(path))? });
    }
    Ok(())
}

/// What hides: the null device of the host, and an empty directory.
#[derive(Clone, Copy, Debug)]
pub struct Cover {
    null: Slot,
    empty: Slot,
}

impl Cover {
    /// Puts both into the workshop, from where they are copied as often as
    /// something is to be hidden.
    pub fn plan(workshop: Workshop, draft: &mut Draft) -> Self {
        let device = Expect::Device { major: 1, minor: 3 };
        let null = draft.open(CString::from(c"/dev/null"), Reach::Mount, device);
        workshop.file("null", Vec::new(), draft);
        workshop.attach(null, "the device /dev/null", "null", draft);
        workshop.directory("empty", 0o555, draft);
        let empty = workshop.copy("empty", draft);
        // Read-only because all share it.
        draft.set(empty, "an empty directory", RDONLY | NOEXEC, 0, Reach::Mount);
        workshop.attach(empty, "an empty directory", "empty", draft);
        Self { null, empty }
    }
}
