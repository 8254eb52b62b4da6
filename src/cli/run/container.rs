//! The container as a whole.

use clap::Args;

use super::typed;
use crate::spec::Spec;

#[derive(Debug, Args)]
#[command(next_help_heading = "Container")]
pub struct ContainerArgs {
    /// A name for it, which no other container may have
    #[arg(long)]
    name: Option<String>,

    /// Run a small init that reaps orphans and passes on signals
    #[arg(long)]
    init: bool,

    /// Leave nothing behind when it ends, as is always done
    #[arg(long)]
    rm: bool,
}

impl ContainerArgs {
    pub fn enter(self, spec: &mut Spec) -> anyhow::Result<()> {
        spec.beside.init = self.init;
        let name = self.name.as_deref();
        spec.beside.name = name.map(|name| typed("--name", name, str::parse)).transpose()?;
        Ok(())
    }
}
