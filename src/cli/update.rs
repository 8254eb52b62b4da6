//! `sublet update`: other limits, said as for `run`.

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::changeable::ChangeableArgs;
use super::terminal;
use crate::container::{record, update};
use crate::error::Explain;
use crate::host::Host;
use crate::spec::resources::change::Said;

/// Change the limits of running containers
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet update [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct UpdateArgs {
    /// Names or ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    #[command(flatten)]
    limits: ChangeableArgs,

    /// Print help
    #[arg(short, long, action = ArgAction::Help, help_heading = "Limits")]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. What is not said stays as it
is. All is checked before anything is changed.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet update -m 1g web                 more memory; its swap stays as it is
  sublet update --cpus 0.5 web db         half a processor each
  sublet update --cpus 0 --memory -1 web  no such limits any more";

/// Changes limits, and prints each container that was changed.
pub fn run(args: UpdateArgs) -> anyhow::Result<u8> {
    if args.containers.is_empty() {
        return Err(anyhow!("CONTAINER is missing: a name or an id"))
            .hint("sublet stats shows those that run");
    }
    let said = args.limits.said()?;
    if said == Said::default() {
        return Err(anyhow!("no limit is given")).hint("sublet update --help lists them");
    }
    let (store, host) = (record::store()?, Host::new());
    let check = |word: &String| update::check(&store, word, &said, &host);
    let updates: Vec<_> = args.containers.iter().map(check).collect::<anyhow::Result<_>>()?;
    for (word, update) in args.containers.iter().zip(updates) {
        update.notes.iter().for_each(|note| terminal::tell_warning(note));
        update.apply(&store)?;
        terminal::answer(&format!("{word}\n"))?;
    }
    Ok(0)
}
