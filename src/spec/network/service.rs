//! `--host-service PORT[:NAME]`: one port of the host's loopback, inside.

use std::fmt;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// A service of the host that is reached from inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its port of TCP, on the host's loopback and inside.
    pub port: u16,
    /// What the host is called there.
    pub name: String,
}

/// What the host is called where nothing else is asked for: podman's name.
const HOST: &str = "host.containers.internal";

impl Service {
    /// Reads `PORT[:NAME]`.
    ///
    /// # Errors
    /// What is neither.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (port, name) = text.split_once(':').unwrap_or((text, HOST));
        let port: Option<u16> = port.parse().ok().filter(|port| *port != 0);
        let port = port.with_context(|| format!("{:?} is no port: 1 to 65535", text))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let fits = !name.is_empty() && name.len() <= 253 && name.chars().all(plain);
        ensure!(fits, "{name:?} is no name for a host");
        Ok(Self { port, name: name.to_owned() })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "127.0.0.1:{} as {}", self.port, self.name)
    }
}

/// Makes sure that none is meant twice.
///
/// # Errors
/// The first that is.
pub fn check(services: &[Service]) -> anyhow::Result<()> {
    for (at, service) in services.iter().enumerate() {
        let twice = services[..at].iter().any(|other| other.port == service.port);
        ensure!(!twice, "port {} is asked for twice", service.port);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_port_with_a_name() {
        let told = |text| Service::parse(text).map(|it| it.to_string());
        assert_eq!(told("5432").unwrap(), "127.0.0.1:5432 as host.containers.internal");
        assert_eq!(told("5432:db").unwrap(), "127.0.0.1:5432 as db");
        for text in ["", "0", "65536", "-1", "db", "80:", "80:a b", "80:a:b", "80:a\nb", ":db"] {
            assert!(told(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn none_is_asked_for_twice() {
        let all = |texts: &[&str]| -> Vec<Service> {
            texts.iter().map(|text| Service::parse(text).unwrap()).collect()
        };
        check(&all(&["80", "81", "82:db"])).unwrap();
        let told = check(&all(&["80", "80:db"])).unwrap_err().to_string();
        assert_eq!(told, "port 80 is asked for twice");
    }
}
