//! Words in, words out.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
