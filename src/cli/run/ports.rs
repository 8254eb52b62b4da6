//! Which of the container's ports the host has.

use std::net::IpAddr;

use anyhow::{Context, anyhow};
use clap::Args;

use super::typed;
use crate::error::Explain;
use crate::spec::{Spec, port};

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub struct PortArgs {
    /// Publish a port of the container on the host: on 127.0.0.1 if no IP is
    /// given, on any free port if no HOST. Both ports can be ranges; fd:NAME
    /// instead of IP:HOST is a socket that systemd has opened
    #[arg(
        short = 'p',
        long = "publish",
        value_name = "[[IP:]HOST:]PORT[/udp]",
        allow_hyphen_values = true
    )]
    publish: Vec<String>,

    /// Where ports are published whose -p has no IP [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    publish_address: Option<String>,
}

impl PortArgs {
    /// `network` is what was asked for by name.
    pub fn enter(self, spec: &mut Spec, network: Option<&str>) -> anyhow::Result<()> {
        let ip = self.publish_address.as_deref().map(|text| {
            let read = |text: &str| Ok(text.parse::<IpAddr>()?);
            typed("--publish-address", text, read)
        });
        let ip = ip.transpose()?;
        for text in &self.publish {
            let text = ip.and_then(|ip| at(ip, text)).unwrap_or_else(|| text.clone());
            let text = text.as_str();
            spec.beside.ports.extend(typed("--publish", text, port::publish)?);
        }
        port::check(&spec.beside.ports).context("--publish")?;
        match network {
            Some(network @ ("none" | "host")) if !spec.beside.ports.is_empty() => Err(anyhow!(
                "--publish has no effect with --network {network}"
            ))
            .hint(if network == "host" {
                "what listens in the container listens on the host: leave --publish out"
            } else {
                "--network loopback has nothing but the published ports"
            }),
            Some(network)
                if !spec.beside.ports.is_empty()
                    && ["container:", "ns:"].iter().any(|kind| network.starts_with(kind)) =>
            {
                Err(anyhow!("--publish has no effect with --network {network}"))
                    .hint("publish the port with the container whose network it is")
            }
            _ => Ok(()),
        }
    }
}

/// What was typed, at an address; nothing where it has one, or needs none.
fn at(ip: IpAddr, text: &str) -> Option<String> {
    let parts = text.matches(':').count();
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    match parts {
        _ if text.starts_with('[') || text.starts_with("fd:") => None,
        0 => Some(format!("{ip}::{text}")),
        1 => Some(format!("{ip}:{text}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_goes_where_there_is_none() {
        let (v4, v6) = ([0, 0, 0, 0].into(), std::net::Ipv6Addr::LOCALHOST.into());
        assert_eq!(at(v4, "8080:80/udp").as_deref(), Some("0.0.0.0:8080:80/udp"));
        assert_eq!(at(v6, "80").as_deref(), Some("[::1]::80"));
        for has in ["127.0.0.1:80:80", "[::1]:80:80", "fd:web:80"] {
            assert_eq!(at(v4, has), None, "{has}");
        }
        let asked = ["--network=loopback", "--publish-address=::1", "-p", "8080:80", "-p", "80"];
        let asked = [&asked[..], &["host"]].concat();
        let ports = crate::cli::asked_words(&asked).unwrap().spec.beside.ports;
        assert_eq!(ports.len(), 2);
        assert!(format!("{ports:?}").matches("::1").count() == 2, "{ports:?}");
    }
}
