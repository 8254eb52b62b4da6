//! The container as a whole.

use clap::Args;

use crate::spec::Spec;

#[derive(Debug, Args)]
#[command(next_help_heading = "Container")]
pub struct ContainerArgs {
    /// A name for it, which is its id too; random without
    #[arg(long)]
    pub name: Option<String>,

    /// Run a small init that reaps orphans and passes on signals
    #[arg(long)]
    init: bool,

    /// Leave nothing behind when it ends, as is always done
    #[arg(long)]
    rm: bool,
}

impl ContainerArgs {
    pub fn enter(self, spec: &mut Spec) {
        spec.beside.init = self.init;
    }
}
