//! A network of IPv4: an address and how many of its bits count.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// A network of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: u32,
    prefix: u8,
}

impl Cidr {
    /// The network of so many bits that `address` is in.
    pub const fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let network = address.to_bits() & mask(prefix);
        Self { network, prefix }
    }

    /// The address so many after the network's own.
    pub fn address(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.wrapping_add(offset))
    }

    /// Whether any address is in both.
    pub fn overlaps(self, other: Self) -> bool {
        let common = mask(self.prefix.min(other.prefix));
        self.network & common == other.network & common
    }

    /// Whether it holds every address: the default route's.
    pub fn is_all(self) -> bool {
        self.prefix == 0
    }

    /// How many bits count.
    pub fn prefix(self) -> u8 {
        self.prefix
    }
}

const fn mask(prefix: u8) -> u32 {
    match prefix {
        0 => 0,
        _ => u32::MAX << (32 - prefix as u32),
    }
}

impl FromStr for Cidr {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let read = || {
            let (address, prefix) = text.split_once('/')?;
            let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
            let prefix = prefix.parse().ok().filter(|prefix| digits && *prefix <= 32)?;
            Some((address.parse::<Ipv4Addr>().ok()?, prefix))
        };
        let (address, prefix) =
            read().context("it is not a network of IPv4, such as 10.0.2.0/24")?;
        let network = Self::of(address, prefix);
        ensure!(
            network.network == address.to_bits(),
            "bits are set beyond the first {prefix}: the network is {network}"
        );
        Ok(network)
    }
}

impl TryFrom<String> for Cidr {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.network), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_told() {
        for text in ["10.0.2.0/24", "0.0.0.0/0", "192.0.2.1/32", "128.0.0.0/1"] {
            assert_eq!(cidr(text).to_string(), text);
        }
        for text in ["", "10.0.2.0", "10.0.2.0/33", "10.0.2/24", "10.0.2.0/+8", "::/0", "/8"] {
            assert!(text.parse::<Cidr>().is_err(), "{text:?} was taken");
        }
        let error = "10.0.2.100/24".parse::<Cidr>().unwrap_err().to_string();
        assert!(error.contains("the network is 10.0.2.0/24"), "{error}");
    }

    #[test]
    fn two_overlap_if_one_holds_the_other() {
        let (small, large) = (cidr("10.0.2.0/24"), cidr("10.0.0.0/8"));
        assert!(small.overlaps(large) && large.overlaps(small) && small.overlaps(small));
        assert!(!small.overlaps(cidr("10.0.3.0/24")));
        assert!(cidr("0.0.0.0/0").overlaps(small) && cidr("0.0.0.0/0").is_all());
        assert_eq!(small.address(3), Ipv4Addr::new(10, 0, 2, 3));
    }
}
