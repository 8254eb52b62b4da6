//! What network the container has.

use anyhow::anyhow;
use clap::Args;
use oci_spec::runtime::LinuxNamespaceType;

use super::typed;
use crate::error::Explain;
use crate::spec::Spec;

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Its network: none but loopback, or the host's
    #[arg(long, visible_alias = "net", value_name = "none|host")]
    network: Option<String>,
}

impl NetworkArgs {
    pub fn enter(self, spec: &mut Spec) -> anyhow::Result<()> {
        let Some(word) = &self.network else { return Ok(()) };
        if typed("--network", word, is_host)? {
            spec.share(LinuxNamespaceType::Network);
        }
        Ok(())
    }
}

fn is_host(word: &str) -> anyhow::Result<bool> {
    let driver = word.split(':').next().unwrap_or(word);
    match driver {
        "host" if word == driver => Ok(true),
        "none" if word == driver => Ok(false),
        "bridge" | "slirp4netns" | "pasta" | "private" | "container" | "ns" | "default" => {
            Err(anyhow!("it is not in sublet yet: none and host are"))
                .hint("--network host shares this machine's network; without it there is loopback")
        }
        _ => Err(anyhow!("there is no such network")).hint("--network none, or --network host"),
    }
}
