//! `--publish`, as typed: which ports of the host lead to which of the
//! container.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::error::Explain;

/// Where nothing else is said, only this machine is let in.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// As many as one address has.
const MOST: usize = 65_535;

/// The transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// What is listened on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A port of the host; any that is free where `None`.
    Host(IpAddr, Option<u16>),
    /// A socket that sublet was started with: its name in LISTEN_FDNAMES.
    Handed(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(IpAddr::V4(ip), port) => write!(f, "{ip}:{}", PortText(*port)),
            Self::Host(IpAddr::V6(ip), port) => write!(f, "[{ip}]:{}", PortText(*port)),
            Self::Handed(name) => write!(f, "fd:{name}"),
        }
    }
}

struct PortText(Option<u16>);

impl fmt::Display for PortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(port) => write!(f, "{port}"),
            None => f.write_str("any"),
        }
    }
}

/// One published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// What is listened on.
    pub source: Source,
    /// The port of the container.
    pub container: u16,
    /// The protocol of both.
    pub protocol: Protocol,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}/{}", self.source, self.container, self.protocol)
    }
}

/// Reads `[[IP:]HOST:]CONTAINER[/tcp|udp]` or `fd:NAME:CONTAINER[/tcp|udp]`.
/// HOST and CONTAINER may be ranges of the same length, and there is an entry
/// for each port; an IPv6 address stands in brackets.
pub fn publish(text: &str) -> anyhow::Result<Vec<Port>> {
    let (text, protocol) = match text.split_once('/') {
        None => (text, Protocol::Tcp),
        Some((text, "tcp")) => (text, Protocol::Tcp),
        Some((text, "udp")) => (text, Protocol::Udp),
        Some((_, other)) => bail!("{other:?} is not a protocol: tcp or udp"),
    };
    if let Some(handed) = text.strip_prefix("fd:") {
        return Ok(vec![self::handed(handed, protocol)?]);
    }
    let (ip, ports) = address(text)?;
    let (host, container) = match ports.split_once(':') {
        Some((host, container)) => (host, container),
        None => ("", ports),
    };
    let container = range(container)?;
    if host.is_empty() {
        let port = |container| Port { source: Source::Host(ip, None), container, protocol };
        return Ok(container.map(port).collect());
    }
    let host = range(host)?;
    ensure!(
        host.len() == container.len(),
        "{} of the host for {} of the container",
        ports_told(host.len()),
        ports_told(container.len())
    );
    let port =
        |(host, container)| Port { source: Source::Host(ip, Some(host)), container, protocol };
    Ok(host.zip(container).map(port).collect())
}

fn handed(text: &str, protocol: Protocol) -> anyhow::Result<Port> {
    let (name, container) = text.rsplit_once(':').context("it is not fd:NAME:CONTAINER")?;
    ensure!(!name.is_empty(), "the name of the socket is missing");
    // As systemd lets one be named: sd_listen_fds(3).
    let plain = |c: char| c.is_ascii_graphic() && c != ':';
    ensure!(name.len() < 256 && name.chars().all(plain), "{name:?} is not a name of a socket");
    Ok(Port { source: Source::Handed(name.to_owned()), container: number(container)?, protocol })
}

/// The address in front, if there is one, and the ports behind it.
fn address(text: &str) -> anyhow::Result<(IpAddr, &str)> {
    if let Some(behind) = text.strip_prefix('[') {
        let (ip, ports) = behind.split_once("]:").context("behind [IPv6] comes :HOST:CONTAINER")?;
        let ip: Ipv6Addr = ip.parse().with_context(|| format!("{ip:?} is not an IPv6 address"))?;
        if let Some(ip) = ip.to_ipv4_mapped() {
            return Err(anyhow!("[{ip}] is an IPv4 address in disguise"))
                .hint(format!("write {ip}"));
        }
        ensure!(
            ports.contains(':'),
            "behind [IPv6] comes :HOST:CONTAINER, where HOST may be empty"
        );
        return Ok((ip.into(), ports));
    }
    match text.split(':').count() {
        0..=2 => Ok((LOOPBACK, text)),
        3 => {
            let (ip, ports) = text.split_once(':').unwrap_or_default();
            let read = ip.parse::<Ipv4Addr>();
            let read = read.with_context(|| format!("{ip:?} is not an IP address"));
            let read = read.hint(
                "127.0.0.1 is this machine alone, which is meant without an address too, and \
                 0.0.0.0 all its IPv4 addresses",
            );
            Ok((read?.into(), ports))
        }
        _ => Err(anyhow!("it has more parts than IP:HOST:CONTAINER"))
            .hint("an IPv6 address stands in brackets: [::1]:8080:80"),
    }
}

/// Ports, from the first to the last.
fn range(text: &str) -> anyhow::Result<impl ExactSizeIterator<Item = u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    ensure!(first <= last, "the range {text} runs backwards");
    // No port is 0, so that a range of all of them has a length of 16 bits.
    Ok((0..last - first + 1).map(move |step| first + step))
}

fn number(text: &str) -> anyhow::Result<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(0) => Err(anyhow!("0 is not a port")).hint("for any free port of the host leave it out"),
        Ok(port) if digits => Ok(port),
        _ => bail!("{text:?} is not a port: 1 to 65535"),
    }
}

fn ports_told(count: usize) -> String {
    if count == 1 { "1 port".to_owned() } else { format!("{count} ports") }
}

/// Makes sure that none of all published ports is meant twice.
///
/// # Errors
/// The first that is, and a list that no machine has the ports for.
pub fn check(ports: &[Port]) -> anyhow::Result<()> {
    ensure!(ports.len() <= MOST, "{} ports are to be published, more than there are", ports.len());
    let mut taken: HashMap<(Protocol, u16), Vec<IpAddr>> = HashMap::new();
    let mut handed: Vec<&str> = Vec::new();
    for port in ports {
        let twice = match &port.source {
            Source::Host(_, None) => false,
            Source::Host(ip, Some(number)) => {
                let there = taken.entry((port.protocol, *number)).or_default();
                let twice = there.iter().any(|other| overlap(*ip, *other));
                there.push(*ip);
                twice
            }
            Source::Handed(name) => {
                let twice = handed.contains(&name.as_str());
                handed.push(name);
                twice
            }
        };
        ensure!(!twice, "{} is published twice, as {}", port.source, port.protocol);
    }
    Ok(())
}

/// Whether a port of both can't be had: of the same family, and the same or all
/// of it. IPv6 sockets are for IPv6 alone.
fn overlap(one: IpAddr, other: IpAddr) -> bool {
    let same_family = one.is_ipv4() == other.is_ipv4();
    same_family && (one == other || one.is_unspecified() || other.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::report;

    fn told(text: &str) -> String {
        let ports = publish(text).unwrap_or_else(|error| panic!("{text:?}: {error:#}"));
        ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn ports_as_they_are_typed() {
        for (text, meant) in [
            ("80", "127.0.0.1:any -> 80/tcp"),
            (":80", "127.0.0.1:any -> 80/tcp"),
            ("8080:80", "127.0.0.1:8080 -> 80/tcp"),
            ("8080:80/tcp", "127.0.0.1:8080 -> 80/tcp"),
            ("53:53/udp", "127.0.0.1:53 -> 53/udp"),
            ("0.0.0.0:8080:80", "0.0.0.0:8080 -> 80/tcp"),
            ("192.0.2.1::80", "192.0.2.1:any -> 80/tcp"),
            ("[::1]:8080:80", "[::1]:8080 -> 80/tcp"),
            ("[::]::80/udp", "[::]:any -> 80/udp"),
            ("1-2:11-12", "127.0.0.1:1 -> 11/tcp, 127.0.0.1:2 -> 12/tcp"),
            ("8000-8001", "127.0.0.1:any -> 8000/tcp, 127.0.0.1:any -> 8001/tcp"),
            ("65535:65535", "127.0.0.1:65535 -> 65535/tcp"),
            ("fd:web:80", "fd:web -> 80/tcp"),
            ("fd:my.socket:53/udp", "fd:my.socket -> 53/udp"),
        ] {
            assert_eq!(told(text), meant, "{text}");
        }
        let all = publish("1-65535:1-65535").unwrap();
        assert_eq!((all.len(), all[65_534].container), (65_535, 65_535));
        assert!(check(&all).is_ok());
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            ":",
            "::",
            "0",
            "0:80",
            "80:0",
            "65536",
            "1:65536",
            "70000:80",
            "1-70000:1-70000",
            "+80",
            "-80",
            "80-",
            "8 0",
            " 80",
            "80:",
            "http",
            "８０",
            "99999999999999999999",
            "20-10:20-10",
            "1-3:1-2",
            "8000-8010:80",
            "80/",
            "80/sctp",
            "80/TCP",
            "80/tcp/udp",
            "localhost:8080:80",
            "*:8080:80",
            "1.2.3:8080:80",
            "1.2.3.4.5:8080:80",
            "::1:8080:80",
            "[::1]",
            "[::1]:80",
            "[::1]8080:80",
            "[::1:8080:80",
            "[1.2.3.4]:8080:80",
            "[fe80::1%eth0]:8080:80",
            "[::ffff:1.2.3.4]:8080:80",
            "1.2.3.4:1:2:3",
            "fd:",
            "fd:80",
            "fd::80",
            "fd:web:0",
            "fd:web:80-81",
            "fd:a b:80",
            "fd:a:b:80",
        ] {
            assert!(publish(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn the_ways_out_are_told() {
        for (text, hint) in [
            ("::1:8080:80", "[::1]:8080:80"),
            ("localhost:8080:80", "127.0.0.1"),
            ("0:80", "leave it out"),
            ("[::ffff:1.2.3.4]:1:1", "write 1.2.3.4"),
        ] {
            let told = report(&publish(text).unwrap_err());
            assert!(told.contains(hint), "{told}");
        }
    }

    #[test]
    fn the_same_port_twice_is_refused() {
        let all = |texts: &[&str]| {
            let ports: Vec<_> = texts.iter().flat_map(|text| publish(text).unwrap()).collect();
            check(&ports).is_ok()
        };
        assert!(!all(&["80:80", "80:81"]));
        assert!(!all(&["1-10:1-10", "5:80"]));
        assert!(!all(&["127.0.0.1:80:80", "0.0.0.0:80:80"]));
        assert!(!all(&["[::]:80:80", "[::1]:80:80"]));
        assert!(!all(&["fd:a:80", "fd:a:81"]));
        assert!(all(&["80:80", "80:80/udp", "81:80", "[::1]:80:80", "127.0.0.2:80:80"]));
        assert!(all(&["0.0.0.0:80:80", "[::]:80:80", "80", "80", "fd:a:80", "fd:b:80"]));
    }

    #[test]
    fn more_than_there_are_is_refused() {
        let port = publish("80").unwrap().remove(0);
        let told = check(&vec![port; 70_000]).unwrap_err().to_string();
        assert!(told.contains("70000"), "{told}");
    }
}
