//! Stretches of time as people write them: `90`, `90s`, `1m30s`, `1.5h`.

use std::time::Duration;

use anyhow::{Context, ensure};

/// Reads seconds, or numbers with units behind each as Go has them: `ns`,
/// `us`, `ms`, `s`, `m` and `h`.
pub fn duration(text: &str) -> anyhow::Result<Duration> {
    let wrong = || format!("{text:?} is not a time: seconds, or as 300ms, 90s, 1m30s");
    if let Ok(seconds) = text.parse()
        && text.bytes().all(|b| b.is_ascii_digit())
    {
        return Ok(Duration::from_secs(seconds));
    }
    ensure!(!text.is_empty(), wrong());
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        let (number, behind) = rest.split_at(rest.find(|c| !digits(c)).with_context(wrong)?);
        let (unit, behind) = behind.split_at(behind.find(digits).unwrap_or(behind.len()));
        total = part(number, unit).and_then(|part| total.checked_add(part)).with_context(wrong)?;
        rest = behind;
    }
    Ok(total)
}

/// One number with its unit.
fn part(number: &str, unit: &str) -> Option<Duration> {
    let nanos: u128 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let (whole, digits): (u64, u64) = (whole.parse().ok()?, fraction.parse().ok()?);
    if fraction.len() > 9 {
        return None;
    }
    let fraction = u128::from(digits) * nanos / 10_u128.pow(fraction.len() as u32);
    let nanos = u64::try_from(u128::from(whole) * nanos + fraction).ok()?;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, millis) in [
            ("0", 0),
            ("90", 90_000),
            ("90s", 90_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("300ms", 300),
        ] {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        assert_eq!(duration("1h2m3s4ms5us6ns").unwrap().as_nanos(), 3_723_004_005_006);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "s",
            "-1",
            "-1s",
            "+1s",
            "1x",
            "1 s",
            "1s2",
            "1.s",
            ".5s",
            "1..5s",
            "1d",
            "1S",
            "10000000h",
            "1.0000000001s",
            "99999999999999999999",
        ] {
            assert!(duration(text).is_err(), "{text:?} was taken");
        }
    }
}
