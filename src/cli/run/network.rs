//! What network the container has, and whom it asks for names.

use anyhow::{Context, anyhow};
use clap::Args;
use oci_spec::runtime::LinuxNamespaceType;

use super::typed;
use crate::error::Explain;
use crate::spec::Spec;
use crate::spec::network::{Entry, Names, Network, Service, name, server, service};

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Its network: its own behind slirp4netns (mtu=N, cidr=NET, ipv6=BOOL,
    /// outbound_addr=ADDR) or pasta, auto for the faster of the two that works; none
    /// but loopback; loopback and what is published; the host's; another
    /// container's (container:NAME) or the one at a path (ns:PATH) [default: slirp4netns
    /// where it is installed, else pasta]
    #[arg(
        long,
        visible_alias = "net",
        value_name = "slirp4netns[:..]|pasta[:..]|auto|none|loopback|host|container:NAME|ns:PATH"
    )]
    network: Option<String>,

    /// A server to ask for names, in place of the host's
    #[arg(long, value_name = "IP")]
    dns: Vec<String>,

    /// Where to look for short names, in place of the host's; . for nowhere
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,

    /// An option for the resolver, in place of the host's
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,

    /// A line for /etc/hosts
    #[arg(long, value_name = "NAME:IP")]
    add_host: Vec<String>,

    /// A service on the host's 127.0.0.1 that is reached from inside, as NAME
    /// [default: host.containers.internal]
    #[arg(long, value_name = "PORT[:NAME]", allow_hyphen_values = true)]
    host_service: Vec<String>,

    /// Leave /etc/hosts as the root has it
    #[arg(long, conflicts_with = "add_host")]
    no_hosts: bool,
}

impl NetworkArgs {
    /// What was asked for.
    pub fn word(&self) -> Option<&str> {
        self.network.as_deref()
    }

    pub fn enter(self, spec: &mut Spec) -> anyhow::Result<()> {
        if let Some(word) = &self.network {
            spec.beside.network = typed("--network", word, Network::parse)?;
        }
        if spec.beside.network == Network::Host {
            spec.share(LinuxNamespaceType::Network);
        }
        if let Network::Namespace(path) = &spec.beside.network {
            spec.join(LinuxNamespaceType::Network, path.clone());
        }
        spec.beside.services = all("--host-service", &self.host_service, Service::parse)?;
        service::check(&spec.beside.services).context("--host-service")?;
        let hint = match &spec.beside.network {
            Network::Host => "on the host's own network all of them are reached at 127.0.0.1",
            Network::Container(_) | Network::Namespace(_) => {
                "give it to the container whose network it is"
            }
            _ => "",
        };
        if !spec.beside.services.is_empty() && !hint.is_empty() {
            let network = self.network.as_deref().unwrap_or_default();
            return Err(anyhow!("--host-service has no effect with --network {network}"))
                .hint(hint);
        }
        let search = all("--dns-search", &self.dns_search, |text| match text {
            "." => Ok(String::new()),
            _ => name(text),
        })?;
        let options = all("--dns-option", &self.dns_option, name)?;
        spec.beside.names = Names {
            servers: all("--dns", &self.dns, server)?,
            search: (!search.is_empty())
                .then(|| search.into_iter().filter(|domain| !domain.is_empty()).collect()),
            options: (!options.is_empty()).then_some(options),
            hosts: all("--add-host", &self.add_host, Entry::parse)?,
            no_hosts: self.no_hosts,
        };
        Ok(())
    }
}

/// What was typed for a flag that can be given several times.
fn all<T>(
    flag: &str,
    texts: &[String],
    read: impl Fn(&str) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    texts.iter().map(|text| typed(flag, text, &read)).collect()
}
