//! Limits, as typed: `linux.resources` and what goes with it.
//!
//! The words are those of docker and podman, a submodule a topic. Where one
//! says that there is no limit, nothing is entered, but where that is more
//! than saying nothing.

pub mod change;
pub mod control;
pub mod cpu;
pub mod io;
pub mod list;
pub mod memory;

use anyhow::{Context, ensure};

/// Reads how many processes and threads there may be; `-1` and `0` are any
/// number, which is -1 here as in `pids.limit`.
pub fn pids(text: &str) -> anyhow::Result<i64> {
    if let "-1" | "0" = text {
        return Ok(-1);
    }
    let limit = number(text)?;
    i64::try_from(limit)
        .ok()
        .filter(|limit| *limit <= PIDS)
        .with_context(|| format!("no machine has more than {PIDS} processes"))
}

/// `PID_MAX_LIMIT` of a 64-bit kernel, linux/threads.h: above it `pids.max`
/// takes only the word max.
const PIDS: i64 = 4 << 20;

/// A number of digits alone.
fn number(text: &str) -> anyhow::Result<u64> {
    ensure!(text.bytes().all(|b| b.is_ascii_digit()), "{text:?} is not a number");
    text.parse().with_context(|| format!("{text:?} is not a number that 64 bits can hold"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_processes() {
        assert_eq!(pids("64").unwrap(), 64);
        assert_eq!((pids("-1").unwrap(), pids("0").unwrap()), (-1, -1));
        for text in ["", "-2", "+1", "1k", "many", "4194305", "99999999999999999999"] {
            assert!(pids(text).is_err(), "{text:?} was taken");
        }
    }
}
