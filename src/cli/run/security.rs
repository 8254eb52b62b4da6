//! What the container may do.

use anyhow::Context;
use clap::Args;

use crate::cli::file;
use crate::spec::security::{SeccompChoice, SecurityOptions};
use crate::spec::{Seccomp, Spec, capabilities, seccomp};

#[derive(Debug, Args)]
#[command(next_help_heading = "Security")]
pub struct SecurityArgs {
    /// Give it a capability over itself, or ALL
    #[arg(long, value_name = "CAP")]
    cap_add: Vec<String>,

    /// Take a capability from it, or ALL
    #[arg(long, value_name = "CAP")]
    cap_drop: Vec<String>,

    /// seccomp=FILE|unconfined, no-new-privileges=false, mask=/p:/q, unmask=ALL|/p:/q
    #[arg(long, value_name = "KEY=VALUE")]
    security_opt: Vec<String>,

    /// Let it make containers of its own
    #[arg(long)]
    nested: bool,
}

impl SecurityArgs {
    pub fn enter(self, spec: &mut Spec) -> anyhow::Result<()> {
        let mut options = SecurityOptions::read(&self.security_opt)?;
        let granted = capabilities::granted(&self.cap_add, &self.cap_drop)?;
        match options.seccomp {
            SeccompChoice::Default => spec.beside.seccomp = Seccomp::Default,
            SeccompChoice::Unconfined => spec.beside.seccomp = Seccomp::Unconfined,
            SeccompChoice::File(path) => {
                let profile = seccomp::profile(&file::read(&path)?, &granted)
                    .with_context(|| format!("--security-opt seccomp={}", path.display()))?;
                spec.linux_mut().set_seccomp(Some(profile));
                spec.beside.seccomp = Seccomp::Profile;
            }
        }
        if self.nested {
            spec.beside.nested = true;
            options.masks.unmask_proc();
        }
        // newuidmap, which the containers inside need, gains privileges.
        let no_new_privileges = options.no_new_privileges.unwrap_or(!self.nested);
        let process = spec.process_mut();
        process.set_no_new_privileges(Some(no_new_privileges));
        process.set_capabilities(Some(capabilities::sets(granted)));
        spec.linux_mut()
            .set_masked_paths(Some(options.masks.masked))
            .set_readonly_paths(Some(options.masks.readonly));
        Ok(())
    }
}
