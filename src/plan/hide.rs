//! Paths of the kernel's file systems that are hidden or read-only.
//!
//! Reads `linux.maskedPaths` and `linux.readonlyPaths`.

use std::ffi::CString;
use std::path::Path;

use super::attr::{NODEV, NOEXEC, NOSUID, RDONLY};
use super::draft::{Draft, cstring};
use super::step::{Expect, Step};
use crate::sys::mount::Reach;

/// Plans the masks and the read-only paths.
pub fn plan(masked: &[String], readonly: &[String], draft: &mut Draft) -> anyhow::Result<()> {
    if !masked.is_empty() {
        let device = Expect::Device { major: 1, minor: 3 };
        let null = draft.open(CString::from(c"/dev/null"), Reach::Mount, device);
        // One empty directory serves all, read-only because it is shared.
        let options = [("mode", Some("0555")), ("nr_inodes", Some("1"))];
        let empty = draft.filesystem("tmpfs", &options, RDONLY | NOSUID | NODEV | NOEXEC);
        for path in masked {
            draft.push(Step::Mask { path: cstring(Path::new(path))?, null, empty });
        }
    }
    for path in readonly {
        draft.push(Step::Protect { path: cstring(Path::new(path))? });
    }
    Ok(())
}
