//! How a container reaches the world, and what it knows of names.

mod names;
mod slirp4netns;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};

use crate::error::Explain;
pub use crate::host::network::Cidr;
pub use names::{Entry, Names, name, server};
pub use slirp4netns::Slirp4netns;

/// Which network a container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Its own, with a way out, if that can be had; nothing was asked for.
    #[default]
    Usual,
    /// Its own, with nothing in it but loopback.
    None,
    /// The same, and ports of it may be published.
    Loopback,
    /// The host's.
    Host,
    /// Its own, behind whatever is the fastest that works here.
    Auto,
    /// Its own, behind slirp4netns(1).
    Slirp4netns(Slirp4netns),
    /// Its own, behind pasta(1), which gets these arguments too.
    Pasta(Vec<String>),
}

const KINDS: &str = "--network none, loopback, host, auto, slirp4netns[:OPTION=VALUE,...] or \
                     pasta[:ARG,...]";

impl Network {
    /// Reads `none`, `loopback`, `host`, `auto`, `slirp4netns[:OPTION=VALUE,...]`
    /// or `pasta[:ARG,...]`.
    ///
    /// # Errors
    /// What is none of these, with what there is.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (kind, rest) = match text.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        match (kind, rest) {
            ("none", None) => Ok(Self::None),
            ("loopback", None) => Ok(Self::Loopback),
            ("host", None) => Ok(Self::Host),
            ("auto", None) => Ok(Self::Auto),
            ("none" | "loopback" | "host" | "auto", Some(_)) => {
                Err(anyhow!("{kind} takes no options")).hint(format!("--network {kind}"))
            }
            ("slirp4netns", rest) => Slirp4netns::parse(rest.unwrap_or("")).map(Self::Slirp4netns),
            ("pasta", rest) => Ok(Self::Pasta(arguments(rest.unwrap_or("")))),
            ("bridge" | "private" | "default", _) => {
                Err(anyhow!("there is no network that containers share")).hint(KINDS)
            }
            ("container" | "ns", _) => {
                Err(anyhow!("joining another network is not in sublet yet")).hint(KINDS)
            }
            _ => Err(anyhow!("there is no such network")).hint(KINDS),
        }
    }
}

/// Arguments for pasta, as podman takes them: between commas.
fn arguments(text: &str) -> Vec<String> {
    text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::report;

    fn refused(text: &str) -> String {
        report(&Network::parse(text).expect_err(text))
    }

    #[test]
    fn each_kind_is_read() {
        assert_eq!(Network::default(), Network::Usual);
        assert_eq!(Network::parse("none").unwrap(), Network::None);
        assert_eq!(Network::parse("loopback").unwrap(), Network::Loopback);
        assert_eq!(Network::parse("host").unwrap(), Network::Host);
        assert_eq!(Network::parse("auto").unwrap(), Network::Auto);
        let plain = Network::Slirp4netns(Slirp4netns::default());
        assert_eq!(Network::parse("slirp4netns").unwrap(), plain);
        assert_eq!(Network::parse("slirp4netns:").unwrap(), plain);
        assert_eq!(Network::parse("pasta").unwrap(), Network::Pasta(Vec::new()));
        assert_eq!(
            Network::parse("pasta:--mtu,1400,-4").unwrap(),
            Network::Pasta(vec!["--mtu".to_owned(), "1400".to_owned(), "-4".to_owned()])
        );
    }

    #[test]
    fn what_is_no_network_is_told_what_there_is() {
        for text in ["", "nothing", "Host", "bridge", "container:x", "ns:/x"] {
            assert!(refused(text).contains("hint: --network none, loopback, host"), "{text}");
        }
        assert!(refused("host:mtu=5").contains("host takes no options"));
    }
}
