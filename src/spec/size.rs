//! Sizes as people write them: `64m`, `1.5g`, `4096`.

use anyhow::{Context, bail, ensure};

/// Reads a number of bytes: digits, a decimal fraction if wanted, and one of
/// `b k m g t p` in either case, each 1024 times the one before (`kb` and
/// `kib` mean the same).
pub fn bytes(text: &str) -> anyhow::Result<u64> {
    let wrong = || format!("{text:?} is not a size: a number with b, k, m or g behind it");
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Nine digits behind the point are more than a byte of a gigabyte.
    ensure!(!whole.is_empty() && (1..=9).contains(&fraction.len()), wrong());
    let unit = unit.to_ascii_lowercase();
    let letter = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match letter {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => bail!(wrong()),
    };
    let scale = 1u128 << (10 * power);
    let whole: u64 = whole.parse().with_context(wrong)?;
    let fraction =
        fraction.parse::<u128>().with_context(wrong)? * scale / 10u128.pow(fraction.len() as u32);
    u64::try_from(u128::from(whole) * scale + fraction)
        .with_context(|| format!("{text:?} is more bytes than 64 bits can count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("7b", 7),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("1KiB", 1024),
            ("1.5g", 3 << 29),
            ("2p", 2 << 50),
        ] {
            assert_eq!(bytes(text).unwrap(), size, "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "m",
            "-1",
            "+1",
            "1x",
            "1 m",
            "1.m",
            ".5m",
            "1..5",
            "1bb",
            "1kk",
            "1mi",
            "99999999999999999999",
            "16384p",
            "٣",
            "1e3",
            "0x10",
        ] {
            assert!(bytes(text).is_err(), "{text:?} was taken");
        }
    }
}
