//! `--cpus` and its kind.

use anyhow::{Context, anyhow, bail, ensure};
use oci_spec::runtime::LinuxCpu;

use super::number;
use crate::error::Explain;

/// The period in which a quota is counted where none is given, in
/// microseconds, as the kernel has it.
pub const PERIOD: u64 = 100_000;

/// What a kernel takes: from 1 ms to 1 s.
const PERIODS: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;

/// The least quota that a kernel takes: 1 ms.
const LEAST_QUOTA: i64 = 1_000;

/// What a kernel of cgroup v1 took.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// Reads a number of CPUs, whole or not, as microseconds in each [`PERIOD`];
/// `0` is any number.
pub fn cpus(text: &str) -> anyhow::Result<Option<i64>> {
    let wrong = || format!("{text:?} is not a number of CPUs, as 2 or 0.5");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    ensure!(digits(whole) && digits(fraction) && whole.len() <= 6, wrong());
    // Five digits are a microsecond of the period.
    let micros = format!("{fraction:0<5}");
    let micros: i64 = micros[..5].parse().with_context(wrong)?;
    let whole: i64 = whole.parse().with_context(wrong)?;
    let quota = whole * PERIOD as i64 + micros;
    match quota {
        0 if fraction.bytes().all(|b| b == b'0') => Ok(None),
        ..LEAST_QUOTA => bail!("a hundredth of a CPU is the least: 0.01"),
        _ => Ok(Some(quota)),
    }
}

/// Reads a period in microseconds; `0` is the kernel's own.
pub fn period(text: &str) -> anyhow::Result<Option<u64>> {
    let period = number(text)?;
    ensure!(period == 0 || PERIODS.contains(&period), "a period has 1000 to 1000000 microseconds");
    Ok((period > 0).then_some(period))
}

/// Reads a quota in microseconds of each period; `-1` and `0` are none.
pub fn quota(text: &str) -> anyhow::Result<Option<i64>> {
    if let "-1" | "0" = text {
        return Ok(None);
    }
    let quota = i64::try_from(number(text)?).context("more than a kernel can count")?;
    ensure!(quota >= LEAST_QUOTA, "1000 microseconds are the least");
    Ok(Some(quota))
}

/// Reads a weight against others, where 1024 is what everybody has; `0` is
/// the same as none said.
pub fn shares(text: &str) -> anyhow::Result<Option<u64>> {
    let shares = number(text)?;
    ensure!(shares == 0 || SHARES.contains(&shares), "shares are from 2 to 262144, 1024 is usual");
    Ok((shares > 0).then_some(shares))
}

/// What they say together; `None` where none says anything.
pub fn together(
    cpus: Option<i64>,
    period: Option<u64>,
    quota: Option<i64>,
    shares: Option<u64>,
    lists: (Option<String>, Option<String>),
) -> anyhow::Result<Option<LinuxCpu>> {
    if cpus.is_some() && (period.is_some() || quota.is_some()) {
        return Err(anyhow!("--cpus, and --cpu-period or --cpu-quota")).hint(
            "they say the same: --cpus 0.5 is --cpu-period 100000 --cpu-quota 50000; give one",
        );
    }
    let period = if cpus.is_some() { Some(PERIOD) } else { period };
    let quota = cpus.or(quota);
    if let Some(quota) = quota {
        // systemd writes what is less as 0 % into the unit's file, which is no
        // limit once it reads that again.
        let period = period.unwrap_or(PERIOD);
        ensure!(
            quota.unsigned_abs() >= period / 100,
            "{quota} of {period} microseconds are less than a hundredth of a CPU"
        );
    }
    let (cpuset, mems) = lists;
    if quota.is_none() && period.is_none() && shares.is_none() && cpuset.is_none() && mems.is_none()
    {
        return Ok(None);
    }
    let mut cpu = LinuxCpu::default();
    cpu.set_period(period).set_quota(quota).set_shares(shares).set_cpus(cpuset).set_mems(mems);
    Ok(Some(cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_cpus_is_a_quota() {
        for (text, quota) in [
            ("1", 100_000),
            ("0.2", 20_000),
            ("1.5", 150_000),
            ("0.01", 1_000),
            ("0.123456", 12_345),
        ] {
            assert_eq!(cpus(text).unwrap(), Some(quota), "{text}");
        }
        assert_eq!(cpus("0").unwrap(), None);
        assert_eq!(cpus("0.00").unwrap(), None);
        for text in
            ["", ".5", "1.", "-1", "+1", "1e3", "1,5", "0.009", "0.000001", "1000000", "2 ", "٣"]
        {
            assert!(cpus(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(period("1000").unwrap(), Some(1000));
        assert_eq!(period("0").unwrap(), None);
        assert_eq!(quota("-1").unwrap(), None);
        assert_eq!(quota("20000").unwrap(), Some(20_000));
        assert_eq!(shares("1024").unwrap(), Some(1024));
        assert_eq!(shares("0").unwrap(), None);
        for text in ["999", "1000001", "-1", ""] {
            assert!(period(text).is_err(), "{text:?} was taken");
        }
        for text in ["999", "-2", "", "x"] {
            assert!(quota(text).is_err(), "{text:?} was taken");
        }
        for text in ["1", "262145", "-2", ""] {
            assert!(shares(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_limit_is_said_once() {
        let none = (None, None);
        assert_eq!(together(None, None, None, None, none.clone()).unwrap(), None);
        let half = together(Some(50_000), None, None, None, none.clone()).unwrap().unwrap();
        assert_eq!((half.quota(), half.period()), (Some(50_000), Some(100_000)));
        assert!(together(Some(50_000), Some(1000), None, None, none.clone()).is_err());
        assert!(together(Some(50_000), None, Some(1000), None, none.clone()).is_err());
        assert!(together(None, Some(1_000_000), Some(1000), None, none.clone()).is_err());
        assert!(together(None, Some(100_000), Some(1000), None, none).is_ok());
    }
}
