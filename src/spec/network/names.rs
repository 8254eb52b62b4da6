//! `--dns` and its kind, `--add-host`: what /etc/resolv.conf and /etc/hosts
//! say beside what the host says.

use std::net::IpAddr;

use anyhow::{Context, anyhow, ensure};
use serde::{Deserialize, Serialize};

use crate::error::Explain;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// Who is asked for names; the host's own where it is empty.
    pub servers: Vec<IpAddr>,
    /// Where a short name is looked for; the host's own where it is `None`.
    pub search: Option<Vec<String>>,
    /// Options of resolv.conf(5); the host's own where it is `None`.
    pub options: Option<Vec<String>>,
    /// Lines of /etc/hosts.
    pub hosts: Vec<Entry>,
    /// /etc/hosts is the root's own.
    pub no_hosts: bool,
}

impl Names {
    /// Whether anything is asked for that resolv.conf(5) says.
    pub fn asks_resolver(&self) -> bool {
        !self.servers.is_empty() || self.search.is_some() || self.options.is_some()
    }
}

/// A line of hosts(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

impl Entry {
    /// Reads `NAME:IP`, or `NAME:[IP]` for IPv6.
    ///
    /// # Errors
    /// What is neither.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, address) = text.split_once(':').context("it is not NAME:IP")?;
        if address == "host-gateway" {
            return Err(anyhow!("the host is not reached from inside")).hint(
                "--host-service PORT[:NAME] opens one port of it, which is then at NAME;\n\
                 a service at an address of its own is named by --add-host NAME:IP",
            );
        }
        let inner = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = server(inner.unwrap_or(address))?;
        Ok(Self { name: self::name(name)?, address })
    }
}

/// An address, without a scope: interfaces of the host mean nothing inside.
///
/// # Errors
/// What is no address.
pub fn server(text: &str) -> anyhow::Result<IpAddr> {
    text.parse().with_context(|| format!("{text:?} is not an IP address"))
}

/// A word of one of the two files: nothing in it may end the line.
///
/// # Errors
/// What can't be one.
pub fn name(text: &str) -> anyhow::Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    let fits = !text.is_empty() && text.len() <= 253 && text.chars().all(plain);
    ensure!(fits, "{text:?} can't be written there");
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::hint;

    #[test]
    fn entries_are_names_with_addresses() {
        let entry = |text| Entry::parse(text).map(|entry| (entry.name, entry.address.to_string()));
        assert_eq!(entry("db:192.0.2.7").unwrap(), ("db".to_owned(), "192.0.2.7".to_owned()));
        assert_eq!(entry("db:fd00::7").unwrap(), ("db".to_owned(), "fd00::7".to_owned()));
        assert_eq!(entry("db:[fd00::7]").unwrap(), ("db".to_owned(), "fd00::7".to_owned()));
        for text in ["db", "db:", ":192.0.2.7", "d b:192.0.2.7", "db:x", "a\nb:1.1.1.1", "db:1.1"] {
            assert!(entry(text).is_err(), "{text:?} was taken");
        }
        let gateway = entry("db:host-gateway").unwrap_err();
        assert!(hint(&gateway).unwrap().contains("--host-service PORT[:NAME]"));
        assert!(server("fe80::1%eth0").is_err());
    }
}
