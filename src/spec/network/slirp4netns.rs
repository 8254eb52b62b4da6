//! `--network slirp4netns:OPTION=VALUE,...`

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::Cidr;
use crate::error::Explain;

/// What slirp4netns(1) is asked for; what is `None` is chosen by the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slirp4netns {
    /// The longest packet, in bytes.
    pub mtu: Option<u32>,
    /// The container's network.
    pub cidr: Option<Cidr>,
    /// Whether there is IPv6.
    pub ipv6: Option<bool>,
    /// The host's address or interface that IPv4 goes out by.
    pub outbound: Option<String>,
    /// The same for IPv6.
    pub outbound6: Option<String>,
}

/// IPv4 takes packets of at least so many bytes (RFC 791), and slirp4netns of
/// at most so many.
const MTU: std::ops::RangeInclusive<u32> = 68..=65521;

/// The shortest that IPv6 takes (RFC 8200).
const MTU_IPV6: u32 = 1280;

/// slirp4netns gives the container the hundredth address.
const PREFIX: std::ops::RangeInclusive<u8> = 1..=25;

impl Slirp4netns {
    /// Reads `OPTION=VALUE,...`.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut asked = Self::default();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option
                .split_once('=')
                .with_context(|| format!("the option {option:?} has no value"))?;
            asked.set(name, value).with_context(|| format!("{name}={value}"))?;
        }
        let short = asked.mtu.filter(|mtu| *mtu < MTU_IPV6 && asked.ipv6 == Some(true));
        if let Some(mtu) = short {
            bail!("IPv6 takes an mtu of {MTU_IPV6} at least, not {mtu}");
        }
        Ok(asked)
    }

    fn set(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        match name {
            "mtu" => {
                let mtu = value.parse().ok().filter(|mtu| MTU.contains(mtu));
                let range = || format!("a packet has {} to {} bytes", MTU.start(), MTU.end());
                self.mtu = Some(mtu.with_context(range)?);
            }
            "cidr" => {
                let cidr: Cidr = value.parse()?;
                ensure!(
                    PREFIX.contains(&cidr.prefix()),
                    "the prefix has to be {} to {}",
                    PREFIX.start(),
                    PREFIX.end()
                );
                self.cidr = Some(cidr);
            }
            "ipv6" | "enable_ipv6" => self.ipv6 = Some(boolean(value)?),
            "outbound_addr" => self.outbound = Some(address(value)?),
            "outbound_addr6" => self.outbound6 = Some(address(value)?),
            "allow_host_loopback" if boolean(value)? => {
                return Err(anyhow!("the host's loopback stays closed"))
                    .hint("--network host shares the host's network as a whole");
            }
            // What is asked for is what there is.
            "allow_host_loopback" => {}
            _ => {
                return Err(anyhow!("there is no such option"))
                    .hint("mtu, cidr, ipv6, outbound_addr, outbound_addr6");
            }
        }
        Ok(())
    }
}

fn boolean(text: &str) -> anyhow::Result<bool> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => bail!("it is neither true nor false"),
    }
}

/// An address or the name of an interface, which slirp4netns looks up.
fn address(text: &str) -> anyhow::Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:_-@".contains(c);
    let fits = !text.is_empty() && text.len() < 64 && text.chars().all(plain);
    ensure!(fits && !text.starts_with('-'), "it is neither an address nor an interface");
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::causes;

    fn refused(text: &str) -> String {
        causes(&Slirp4netns::parse(text).expect_err(text))
    }

    #[test]
    fn all_options_are_read() {
        let text = "mtu=1400,cidr=10.9.0.0/16,ipv6=true,outbound_addr=eth0,outbound_addr6=fd00::2";
        let asked = Slirp4netns::parse(text).unwrap();
        assert_eq!(asked.mtu, Some(1400));
        assert_eq!(asked.cidr, Some("10.9.0.0/16".parse().unwrap()));
        assert_eq!(asked.ipv6, Some(true));
        assert_eq!(asked.outbound.as_deref(), Some("eth0"));
        assert_eq!(asked.outbound6.as_deref(), Some("fd00::2"));
        assert_eq!(Slirp4netns::parse("enable_ipv6=false").unwrap().ipv6, Some(false));
        let closed = Slirp4netns::parse("allow_host_loopback=false").unwrap();
        assert_eq!(closed, Slirp4netns::default());
    }

    #[test]
    fn bad_values_are_refused_with_what_is_wrong() {
        for (text, said) in [
            ("mtu=10", "68 to 65521"),
            ("mtu=65522", "68 to 65521"),
            ("mtu=-1", "68 to 65521"),
            ("mtu", "has no value"),
            ("mtu=1000,ipv6=true", "1280 at least"),
            ("cidr=10.0.2.5/24", "the network is 10.0.2.0/24"),
            ("cidr=10.0.2.0/26", "1 to 25"),
            ("cidr=fd00::/64", "not a network of IPv4"),
            ("ipv6=yes", "neither true nor false"),
            ("outbound_addr=--x", "neither an address"),
            ("outbound_addr=", "neither an address"),
            ("port_handler=x", "no such option"),
            ("allow_host_loopback=true", "stays closed"),
        ] {
            let error = refused(text);
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
