//! What the container may do.

use clap::Args;
use oci_spec::runtime::{Capabilities, LinuxCapabilities};

use super::typed;
use crate::error::Explain;
use crate::security::caps::{CapSet, Change};
use crate::spec::Spec;
use crate::spec::security::SecurityOptions;

/// The last capability that has a name, CAP_CHECKPOINT_RESTORE. `ALL` reaches
/// to it here; the kernel may have fewer.
const LAST_CAP: u8 = 40;

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
        spec.beside.seccomp = options.seccomp;
        if self.nested {
            spec.beside.nested = true;
            options.masks.unmask_proc();
        }
        // newuidmap, which the containers inside need, gains privileges.
        let no_new_privileges = options.no_new_privileges.unwrap_or(!self.nested);
        let add = changes("--cap-add", &self.cap_add)?;
        let drop = changes("--cap-drop", &self.cap_drop)?;
        spec.beside.added_capabilities = CapSet::named(&add);
        let granted = CapSet::DEFAULT.changed(&add, &drop, LAST_CAP)?.to_oci()?;
        spec.process_mut()
            .set_no_new_privileges(Some(no_new_privileges))
            .set_capabilities(Some(sets(granted)));
        spec.linux_mut()
            .set_masked_paths(Some(options.masks.masked))
            .set_readonly_paths(Some(options.masks.readonly));
        Ok(())
    }
}

fn changes(flag: &str, words: &[String]) -> anyhow::Result<Vec<Change>> {
    let words = words.iter().flat_map(|words| words.split(','));
    let read = |word| {
        typed(flag, word, str::parse)
            .hint("capabilities(7) lists them; eleven are there without asking")
    };
    words.map(read).collect()
}

/// The five sets of a process that has `granted`. Nothing is inheritable or
/// ambient, so that a change of user loses all of it.
fn sets(granted: Capabilities) -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(granted.clone()))
        .set_effective(Some(granted.clone()))
        .set_permitted(Some(granted))
        .set_inheritable(Some(Capabilities::new()))
        .set_ambient(Some(Capabilities::new()));
    sets
}
