//! How a container reaches the world, and what it knows of names.

mod names;
pub mod service;
mod slirp4netns;

use std::path::PathBuf;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};

use crate::error::Explain;
pub use crate::host::network::Cidr;
pub use names::{Entry, Names, name, server};
pub use service::Service;
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
    /// That of another container, by its name, its id or the beginning of it.
    Container(String),
    /// The one that this file stands for.
    Namespace(PathBuf),
}

const KINDS: &str = "--network none, loopback, host, auto, slirp4netns[:OPTION=VALUE,...] or \
                     pasta[:ARG,...], container:NAME or ns:PATH";

impl Network {
    /// Reads `none`, `loopback`, `host`, `auto`, `slirp4netns[:OPTION=VALUE,...]`,
    /// `pasta[:ARG,...]`, `container:NAME` or `ns:PATH`.
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
            ("container", Some(name)) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
            ("ns", Some(path)) if !path.is_empty() => Ok(Self::Namespace(path.into())),
            ("container", _) => Err(anyhow!("which container's?")).hint("--network container:NAME"),
            ("ns", _) => Err(anyhow!("which network namespace?"))
                .hint("--network ns:PATH, as /proc/PID/ns/net or what it is bound to"),
            _ => Err(anyhow!("there is no such network")).hint(KINDS),
        }
    }

    /// Whether it is somebody else's, and not made for the container.
    pub fn is_joined(&self) -> bool {
        matches!(self, Self::Container(_) | Self::Namespace(_))
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
        assert_eq!(Network::parse("container:web").unwrap(), Network::Container("web".to_owned()));
        let path = Network::Namespace("/run/netns/a:b".into());
        assert_eq!(Network::parse("ns:/run/netns/a:b").unwrap(), path);
    }

    #[test]
    fn what_is_no_network_is_told_what_there_is() {
        for text in ["", "nothing", "Host", "bridge"] {
            assert!(refused(text).contains("hint: --network none, loopback, host"), "{text}");
        }
        assert!(refused("host:mtu=5").contains("host takes no options"));
        for text in ["container", "container:", "ns", "ns:"] {
            assert!(refused(text).contains("which "), "{text}");
        }
    }
}
