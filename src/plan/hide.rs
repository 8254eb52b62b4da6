//! Paths of the kernel's file systems that are hidden or read-only.
//!
//! Reads `linux.maskedPaths` and `linux.readonlyPaths`.

use std::ffi::CString;
use std::path::Path;

use super::attr::{NOEXEC, RDONLY};
use super::draft::{Draft, cstring};
use super::step::{Expect, Slot, Step};
use super::workshop::Workshop;
use crate::spec::masks;
use crate::sys::mount::Reach;

/// What is to be hidden, and what is to be read-only.
#[derive(Clone, Copy, Debug)]
pub struct Paths<'a> {
    /// What is hidden.
    pub masked: &'a [String],
    /// What is read-only.
    pub readonly: &'a [String],
    /// Whether those that are not always hidden were asked for one by one.
    pub by_name: bool,
    /// Behind what it is hidden.
    pub cover: Option<Cover>,
}

impl Paths<'_> {
    /// Plans those of them that are wanted.
    pub fn plan(self, wanted: impl Fn(&Path) -> bool, draft: &mut Draft) -> anyhow::Result<()> {
        let paths = |all: &'_ [String]| {
            all.iter().map(Path::new).filter(|path| wanted(path)).map(cstring).collect::<Vec<_>>()
        };
        if let Some(Cover { null, empty }) = self.cover {
            for path in paths(self.masked) {
                let path = path?;
                // A typing error would show what is to be hidden.
                let asked = self.by_name && !masks::is_usual(path.to_bytes());
                draft.push(Step::Mask { path, null, empty, asked });
            }
        }
        for path in paths(self.readonly) {
            draft.push(Step::Protect { path: path? });
        }
        Ok(())
    }
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
