//! The output of a container in the background, as it is kept.
//!
//! Files in the user's own state directory, in the form that the kubelet and
//! podman have (CRI): each line begins with the time, the stream, and whether
//! the line ends there.
//!
//! ```text
//! $XDG_STATE_HOME/sublet/logs/
//!     ID.log      what was written last
//!     ID.log.1    what was written before, and so on
//! ```
#![forbid(unsafe_code)]

mod line;
mod place;
mod reader;
mod writer;

pub use line::{Line, Stream};
pub use place::{directory, remove, sweep};
pub use reader::{More, Reader};
pub use writer::Writer;

use std::path::{Path, PathBuf};

/// The `at`th file of the log at `path`, the one that is written to being 0.
fn generation(path: &Path, at: u32) -> PathBuf {
    match at {
        0 => path.to_owned(),
        _ => {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{at}"));
            name.into()
        }
    }
}
