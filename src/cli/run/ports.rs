//! Which of the container's ports the host has.

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
}

impl PortArgs {
    /// `network` is what was asked for by name.
    pub fn enter(self, spec: &mut Spec, network: Option<&str>) -> anyhow::Result<()> {
        for text in &self.publish {
            spec.beside.ports.extend(typed("--publish", text, port::publish)?);
        }
        port::check(&spec.beside.ports).context("--publish")?;
        match network {
            Some(network @ ("none" | "host")) if !spec.beside.ports.is_empty() => Err(anyhow!(
                "--publish has no effect with --network {network}"
            ))
            .hint(if network == "host" {
                "what listens in the container listens on the host: leave --publish away"
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
