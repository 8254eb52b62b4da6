//! The container as a whole.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;

use super::typed;
use crate::error::Explain;
use crate::spec::Spec;
use crate::spec::known::{Known, label};

#[derive(Debug, Args)]
#[command(next_help_heading = "Container")]
pub struct ContainerArgs {
    /// A name for it, which no other container may have
    #[arg(long)]
    name: Option<String>,

    /// Remove the container that has the name first, even if it runs
    #[arg(long)]
    replace: bool,

    /// Leave no record of it when it has ended
    #[arg(long)]
    rm: bool,

    /// What to say of it, for ps --filter and inspect
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,

    /// Write its id to a new file
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,

    /// Run a small init that reaps orphans and passes on signals
    #[arg(long)]
    init: bool,
}

impl ContainerArgs {
    pub fn enter(self, spec: &mut Spec) -> anyhow::Result<()> {
        spec.beside.init = self.init;
        let name = self.name.as_deref();
        spec.beside.name = name.map(|name| typed("--name", name, str::parse)).transpose()?;
        if self.replace && name.is_none() {
            return Err(anyhow!("--replace without --name: there is nothing to replace"))
                .hint("--name NAME --replace");
        }
        let labels = self.label.iter().map(|text| typed("--label", text, label));
        spec.beside.known = Known {
            remove: self.rm,
            replace: self.replace,
            cidfile: self.cidfile.map(std::path::absolute).transpose().context("--cidfile")?,
            pidfile: None,
            labels: labels.collect::<anyhow::Result<_>>()?,
        };
        Ok(())
    }
}
