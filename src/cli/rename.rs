//! `sublet rename`: another name for a container.

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::run::typed;
use crate::container::record;
use crate::error::{EXIT_CONTAINER, Explain};
use crate::spec::Name;

/// Give a container another name
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet rename CONTAINER NAME",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct RenameArgs {
    /// Its name or its id, and what it is to be called
    #[arg(value_name = "CONTAINER", hide = true)]
    words: Vec<String>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one, running or not; one that has
no name gets one. No other container may have it. Inside, the host name stays what
it was.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet rename web web-old               and the name web is free

The exit code is 1 if it is not there, or the name is taken.";

/// Renames it, and gives the code to end with.
pub fn run(args: RenameArgs) -> anyhow::Result<u8> {
    let [container, name] = &args.words[..] else {
        return Err(anyhow!("two words are needed: CONTAINER NAME"))
            .hint("sublet rename web web-old");
    };
    let name: Name = typed("NAME", name, str::parse)?;
    let store = record::store()?;
    let renamed = store.find(container).and_then(|record| store.call(&record.id, &name));
    renamed.exits_with(EXIT_CONTAINER).map(|_| 0)
}
