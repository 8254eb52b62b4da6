//! Which namespaces are the container's own.

use anyhow::{bail, ensure};
use clap::Args;
use oci_spec::runtime::LinuxNamespaceType;

use super::typed;
use crate::spec::{Spec, process};

#[derive(Debug, Args)]
#[command(next_help_heading = "Namespaces")]
pub struct NamespaceArgs {
    /// Its host name [default: its name, else the beginning of its id]
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,

    /// Processes: private, or the host's
    #[arg(long, value_name = "host|private")]
    pid: Option<String>,

    /// Shared memory and message queues: private, or the host's
    #[arg(long, value_name = "host|private")]
    ipc: Option<String>,

    /// Host name: private, or the host's
    #[arg(long, value_name = "host|private")]
    uts: Option<String>,

    /// Control groups: private, or the host's
    #[arg(long, value_name = "host|private")]
    cgroupns: Option<String>,
}

impl NamespaceArgs {
    pub fn enter(self, spec: &mut Spec) -> anyhow::Result<()> {
        for (flag, word, namespace) in [
            ("--pid", &self.pid, LinuxNamespaceType::Pid),
            ("--ipc", &self.ipc, LinuxNamespaceType::Ipc),
            ("--uts", &self.uts, LinuxNamespaceType::Uts),
            ("--cgroupns", &self.cgroupns, LinuxNamespaceType::Cgroup),
        ] {
            match word {
                Some(word) if typed(flag, word, is_host)? => spec.share(namespace),
                _ => {}
            }
        }
        let own_name = !spec.shares(LinuxNamespaceType::Uts);
        let hostname = match &self.hostname {
            Some(name) => Some(typed("--hostname", name, process::hostname)?),
            None => own_name.then(|| spec.beside.label().to_owned()),
        };
        ensure!(own_name || hostname.is_none(), "--hostname would rename the host with --uts host");
        spec.oci.set_hostname(hostname);
        Ok(())
    }
}

fn is_host(word: &str) -> anyhow::Result<bool> {
    match word {
        "host" => Ok(true),
        "private" => Ok(false),
        _ if word.starts_with("container:") || word.starts_with("ns:") => {
            bail!("joining another namespace is not in sublet yet: host and private are")
        }
        _ => bail!("it is neither host nor private"),
    }
}
