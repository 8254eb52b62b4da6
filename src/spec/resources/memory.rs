//! `--memory` and what refines it.

use anyhow::{Context, anyhow, ensure};
use oci_spec::runtime::LinuxMemory;

use crate::error::Explain;
use crate::spec::size;

/// The least that may be asked for. A small static program starts in it; with
/// less the kernel kills at the exec, and whoever wrote `-m 512` for 512 MiB
/// would only read that it was killed.
const LEAST: i64 = 512 << 10;

/// No limit, in `memory.swap`.
pub const UNLIMITED: i64 = -1;

/// Reads a limit in bytes; `0` and `-1` are none.
pub fn limit(text: &str) -> anyhow::Result<Option<i64>> {
    let Some(limit) = amount(text)? else { return Ok(None) };
    if limit < LEAST {
        return Err(anyhow!("no program starts in {limit} bytes: 512k is the least"))
            .hint("a number alone is bytes: 512m is 512 MiB");
    }
    Ok(Some(limit))
}

/// Reads what is left alone while others can be taken from; `0` is nothing.
pub fn reservation(text: &str) -> anyhow::Result<Option<i64>> {
    amount(text)
}

/// Reads a limit for memory and swap together; `-1` is as much swap as there
/// is, and `0` as if it were not said.
pub fn swap(text: &str) -> anyhow::Result<Option<i64>> {
    if text == "-1" { Ok(Some(UNLIMITED)) } else { amount(text) }
}

fn amount(text: &str) -> anyhow::Result<Option<i64>> {
    if text == "-1" {
        return Ok(None);
    }
    let bytes = i64::try_from(size::bytes(text)?)
        .with_context(|| format!("{text:?} is more than a kernel can count"))?;
    Ok((bytes > 0).then_some(bytes))
}

/// What they say together; `None` where none says anything. With a limit of
/// memory and none of swap, there may be as much swap as memory.
pub fn together(
    limit: Option<i64>,
    reservation: Option<i64>,
    swap: Option<i64>,
) -> anyhow::Result<Option<LinuxMemory>> {
    if let (Some(limit), Some(reservation)) = (limit, reservation) {
        ensure!(reservation <= limit, "--memory-reservation is more than --memory");
    }
    let swap = match (swap, limit) {
        (Some(UNLIMITED), _) => Some(UNLIMITED),
        (Some(_), None) => {
            return Err(anyhow!("--memory-swap without --memory")).hint(
                "it is memory and swap together: -m 512m --memory-swap 1g is 512 MiB of each",
            );
        }
        (Some(swap), Some(limit)) if swap < limit => {
            return Err(anyhow!("--memory-swap is less than --memory"))
                .hint("it is memory and swap together; the same as --memory means no swap");
        }
        (Some(swap), Some(_)) => Some(swap),
        (None, Some(limit)) => Some(limit.saturating_mul(2)),
        (None, None) => None,
    };
    if limit.is_none() && reservation.is_none() && swap.is_none() {
        return Ok(None);
    }
    let mut memory = LinuxMemory::default();
    memory.set_limit(limit).set_reservation(reservation).set_swap(swap);
    Ok(Some(memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: i64 = 1 << 20;

    #[test]
    fn amounts() {
        assert_eq!(limit("64m").unwrap(), Some(64 * M));
        assert_eq!(limit("512k").unwrap(), Some(LEAST));
        for text in ["0", "-1", "0g"] {
            assert_eq!(limit(text).unwrap(), None, "{text}");
        }
        for text in ["", "512", "511k", "-2", "m", "1x", "9223372036854775808", "-1m"] {
            assert!(limit(text).is_err(), "{text:?} was taken");
        }
        assert_eq!(swap("-1").unwrap(), Some(UNLIMITED));
        assert_eq!(swap("0").unwrap(), None);
        assert_eq!(reservation("1").unwrap(), Some(1));
    }

    #[test]
    fn swap_is_counted_with_the_memory() {
        let swap = |limit, swap| together(limit, None, swap).map(|both| both?.swap());
        assert_eq!(swap(Some(64 * M), None).unwrap(), Some(128 * M));
        assert_eq!(swap(Some(64 * M), Some(64 * M)).unwrap(), Some(64 * M));
        assert_eq!(swap(Some(64 * M), Some(UNLIMITED)).unwrap(), Some(UNLIMITED));
        assert_eq!(swap(None, Some(UNLIMITED)).unwrap(), Some(UNLIMITED));
        assert_eq!(swap(Some(i64::MAX), None).unwrap(), Some(i64::MAX));
        assert!(swap(Some(64 * M), Some(64 * M - 1)).is_err());
        assert!(swap(None, Some(64 * M)).is_err());
        assert_eq!(together(None, None, None).unwrap(), None);
    }

    #[test]
    fn a_reservation_is_within_the_limit() {
        assert!(together(Some(M), Some(M), None).is_ok());
        assert!(together(Some(M), Some(M + 1), None).is_err());
        let alone = together(None, Some(M), None).unwrap().unwrap();
        assert_eq!((alone.limit(), alone.reservation(), alone.swap()), (None, Some(M), None));
    }
}
