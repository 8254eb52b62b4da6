//! `--blkio-weight` and the rates of devices.

use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use oci_spec::runtime::{LinuxThrottleDevice, LinuxThrottleDeviceBuilder};

use super::number;
use crate::error::Explain;
use crate::spec::size;

/// Reads a weight against others; `0` is none.
pub fn weight(text: &str) -> anyhow::Result<Option<u16>> {
    let weight = number(text)?;
    ensure!(weight == 0 || (10..=1000).contains(&weight), "a weight is from 10 to 1000");
    Ok(u16::try_from(weight).ok().filter(|weight| *weight > 0))
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, with a unit behind them if wanted.
    Bytes,
    /// Reads or writes.
    Operations,
}

/// Reads `PATH:RATE`: how much in a second, on a device of the host.
pub fn rate(text: &str, unit: Unit) -> anyhow::Result<(PathBuf, u64)> {
    let (path, rate) = text.rsplit_once(':').context("it is not PATH:RATE")?;
    ensure!(path.starts_with('/'), "the device {path:?} is not absolute");
    let rate = match unit {
        Unit::Bytes => size::bytes(rate)?,
        Unit::Operations => number(rate)?,
    };
    if rate == 0 {
        return Err(anyhow!("a rate of 0 would let nothing through"))
            .hint("leave the flag out for no limit");
    }
    Ok((PathBuf::from(path), rate))
}

/// A rate of the device with this number.
pub fn throttle((major, minor): (u32, u32), rate: u64) -> anyhow::Result<LinuxThrottleDevice> {
    let device = LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(rate);
    Ok(device.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        assert_eq!(weight("10").unwrap(), Some(10));
        assert_eq!(weight("0").unwrap(), None);
        for text in ["9", "1001", "", "-1", "65546"] {
            assert!(weight(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate("/dev/sda:1m", Unit::Bytes).unwrap(), ("/dev/sda".into(), 1 << 20));
        assert_eq!(rate("/dev/a:b:9", Unit::Operations).unwrap(), ("/dev/a:b".into(), 9));
        for text in ["", "/dev/sda", "/dev/sda:", "sda:1", ":1", "/dev/sda:0", "/dev/sda:-1"] {
            assert!(rate(text, Unit::Bytes).is_err(), "{text:?} was taken");
        }
        assert!(rate("/dev/sda:1k", Unit::Operations).is_err());
    }
}
