//! `sublet port`: which ports of a container the host has, more of them, fewer.

use std::os::fd::AsFd;

use anyhow::{Context, anyhow, bail, ensure};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::control::{Answer, Request, ask};
use crate::error::Explain;
use crate::spec::port::{Port, Protocol, Source, publish};
use crate::state::{ClientAddress, Life, PublishedPort, Record, Store};

/// A port as programs are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct View {
    /// Where the service listens.
    pub container_port: u16,
    /// The protocol of both.
    pub protocol: Protocol,
    /// Where clients connect.
    pub host_ip: String,
    /// And the port there.
    pub host_port: u16,
    /// What the service sees of them.
    pub client_address: ClientAddress,
}

impl From<&PublishedPort> for View {
    fn from(port: &PublishedPort) -> Self {
        Self {
            container_port: port.container,
            protocol: port.protocol,
            host_ip: port.host.ip().to_string(),
            host_port: port.host.port(),
            client_address: port.client,
        }
    }
}

/// The ports in a line, in docker's form; neighbours that lead to neighbours are
/// told of together.
pub fn line(ports: &[PublishedPort]) -> String {
    let mut ports = ports.to_vec();
    ports.sort_unstable_by_key(|port| (port.protocol, port.host, port.container));
    let mut runs: Vec<(PublishedPort, u16)> = Vec::new();
    for port in ports {
        let place = |port: &PublishedPort| (port.protocol, port.host.ip());
        match runs.last_mut() {
            Some((first, more))
                if place(first) == place(&port)
                    && first.host.port().checked_add(*more + 1) == Some(port.host.port())
                    && first.container.checked_add(*more + 1) == Some(port.container) =>
            {
                *more += 1;
            }
            _ => runs.push((port, 0)),
        }
    }
    let told = runs.iter().map(|(first, more)| {
        let range = |from: u16| match more {
            0 => from.to_string(),
            more => format!("{from}-{}", from + more),
        };
        let (address, protocol) = (first.host, first.protocol);
        let host = address.to_string();
        let (ip, _) = host.rsplit_once(':').unwrap_or((&host, ""));
        format!("{ip}:{}->{}/{protocol}", range(address.port()), range(first.container))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// The published ports of a container, in the order of its own; of one of its
/// ports where `wanted` is one.
///
/// # Errors
/// Where none is published.
pub fn list(record: &Record, wanted: Option<&str>) -> anyhow::Result<Vec<PublishedPort>> {
    let mut ports = record.ports.clone();
    ports.sort_unstable_by_key(|port| (port.container, port.protocol, port.host));
    let Some(wanted) = wanted else { return Ok(ports) };
    let (container, protocol) = one(wanted).with_context(|| format!("{wanted:?}"))?;
    ports.retain(|port| (port.container, port.protocol) == (container, protocol));
    if ports.is_empty() {
        let label = record.label();
        return Err(anyhow!("container {label} does not publish {container}/{protocol}"))
            .hint(format!("sublet port {label} shows what it does"));
    }
    Ok(ports)
}

/// `PORT` or `PORT/PROTOCOL`.
fn one(text: &str) -> anyhow::Result<(u16, Protocol)> {
    let ports = publish(text)?;
    match ports.as_slice() {
        [Port { source: Source::Host(_, None), container, protocol }] => {
            Ok((*container, *protocol))
        }
        _ => Err(anyhow!("a port of the container is meant: 80, 80/tcp or 53/udp")),
    }
}

/// Has the launcher of a container change its ports: what has changed.
///
/// # Errors
/// A container that does not run, and what its launcher says.
pub fn change(store: &Store, word: &str, request: &Request) -> anyhow::Result<Vec<PublishedPort>> {
    let record = store.find(word)?;
    let label = record.label();
    ensure!(matches!(record.life, Life::Running { .. }), "container {label} is not running");
    let directory = store.directory(&record)?;
    let gone = "its launcher has ended, or takes no requests from here";
    let answer = ask(directory.as_fd(), request).and_then(|asked| asked.context(gone)?.done());
    match answer.with_context(|| format!("container {label}"))? {
        Answer::Ports(ports) => Ok(ports),
        _ => bail!("the launcher of {label} answers something else"),
    }
}

/// All of them as docker has them in `.NetworkSettings.Ports`.
pub(super) fn docker(record: &Record) -> Value {
    let mut told = Map::new();
    for port in list(record, None).unwrap_or_default() {
        let bound = told.entry(format!("{}/{}", port.container, port.protocol));
        let binding =
            json!({"HostIp": port.host.ip().to_string(), "HostPort": port.host.port().to_string()});
        if let Some(bindings) = bound.or_insert_with(|| json!([])).as_array_mut() {
            bindings.push(binding);
        }
    }
    told.into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::view::tests::record;
    use super::*;

    /// One with ports, in the order in which they came.
    pub(crate) fn published() -> Record {
        let mut record = record(0xab, Some("web"));
        let port = |container, protocol, host: &str, client| PublishedPort {
            container,
            protocol,
            host: host.parse().unwrap(),
            client,
        };
        record.ports = vec![
            port(443, Protocol::Tcp, "0.0.0.0:8443", ClientAddress::Kept),
            port(53, Protocol::Udp, "127.0.0.1:5353", ClientAddress::Masked),
            port(80, Protocol::Tcp, "[::1]:8080", ClientAddress::Masked),
            port(80, Protocol::Tcp, "127.0.0.1:8080", ClientAddress::Masked),
        ];
        record
    }

    fn told(wanted: Option<&str>) -> String {
        let lines = list(&published(), wanted).map(|ports| {
            ports.iter().map(|port| format!("{} {}", port.container, port.host)).collect()
        });
        lines.map_or_else(|error| format!("{error:#}"), |lines: Vec<_>| lines.join(", "))
    }

    #[test]
    fn a_range_is_told_of_as_one() {
        let mut record = published();
        assert_eq!(
            line(&record.ports),
            "0.0.0.0:8443->443/tcp, 127.0.0.1:8080->80/tcp, [::1]:8080->80/tcp, \
             127.0.0.1:5353->53/udp"
        );
        let first = record.ports[3];
        let more = (1..=3).map(|more| PublishedPort {
            container: 80 + more,
            host: std::net::SocketAddr::new(first.host.ip(), 8080 + more),
            ..first
        });
        record.ports = more.chain([first]).collect();
        assert_eq!(line(&record.ports), "127.0.0.1:8080-8083->80-83/tcp");
        record.ports.remove(1);
        assert_eq!(line(&record.ports), "127.0.0.1:8080-8081->80-81/tcp, 127.0.0.1:8083->83/tcp");
        assert_eq!(line(&[]), "");
    }

    #[test]
    fn all_of_them_or_those_of_one() {
        assert_eq!(
            told(None),
            "53 127.0.0.1:5353, 80 127.0.0.1:8080, 80 [::1]:8080, 443 0.0.0.0:8443"
        );
        assert_eq!(told(Some("80")), "80 127.0.0.1:8080, 80 [::1]:8080");
        assert_eq!(told(Some("53/udp")), "53 127.0.0.1:5353");
        assert!(told(Some("53")).contains("web does not publish 53/tcp"), "{}", told(Some("53")));
        for wrong in ["x", "8080:80", "1-2", "fd:web:80", "80/sctp", ""] {
            assert!(told(Some(wrong)).contains(wrong) && !told(Some(wrong)).contains("8443"));
        }
    }

    #[test]
    fn programs_get_dockers_names() {
        assert_eq!(
            docker(&published()),
            json!({
                "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "5353"}],
                "80/tcp": [
                    {"HostIp": "127.0.0.1", "HostPort": "8080"},
                    {"HostIp": "::1", "HostPort": "8080"},
                ],
                "443/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8443"}],
            })
        );
        assert_eq!(docker(&record(1, None)), json!({}));
        let view = View::from(&published().ports[0]);
        assert_eq!(
            serde_json::to_value(view).unwrap(),
            json!({
                "ContainerPort": 443, "Protocol": "tcp", "HostIp": "0.0.0.0", "HostPort": 8443,
                "ClientAddress": "kept",
            })
        );
    }
}
