//! The caller's standard streams, which the payload gets as they are.

use anyhow::{Context, anyhow};

use crate::error::Explain;
use crate::spec::Stdin;
use crate::sys::fd::standard;
use crate::sys::path::status;

const NAMES: [&str; 3] = ["standard input", "standard output", "standard error"];

/// Makes sure that no stream is a directory: a payload could walk from that to
/// all of the caller's files, whatever its own root is (CVE-2016-9962 and its
/// kind).
///
/// # Errors
/// The stream that is one.
pub fn check(stdin: Stdin) -> anyhow::Result<()> {
    let first = match stdin {
        Stdin::Inherit => 0,
        Stdin::Null => 1,
    };
    for (number, name) in (0..).zip(NAMES).skip(first) {
        let status = status(standard(number)).with_context(|| format!("look at {name}"))?;
        if status.is_directory() {
            return Err(anyhow!("{name} is a directory, from which it could leave its root"))
                .hint("to show it a directory, use -v SRC:DST");
        }
    }
    Ok(())
}
