//! `sublet rm`: containers that are no more wanted.

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::terminal;
use crate::container::record;
use crate::container::remove::{Force, remove};
use crate::error::{EXIT_CONTAINER, Explain};
use crate::state::Store;

/// Remove containers that have ended
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet rm [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct RmArgs {
    /// Names or ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    /// Kill those that run; one that is not there is no error
    #[arg(short, long)]
    force: bool,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. What is left of one that has
ended is its record; with that goes its name.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet rm web                           its name is free again
  sublet rm -f web db                     even if they run
  sublet prune                            all that have ended

The exit code is 1 if one of them could not be removed.";

/// Removes each, prints those that are gone, and gives the code to end with.
pub fn run(args: RmArgs) -> anyhow::Result<u8> {
    if args.containers.is_empty() {
        return Err(anyhow!("CONTAINER is missing: a name or an id"))
            .hint("sublet ps -a shows those that are known");
    }
    let store = record::store()?;
    let force = if args.force { Force::Kill } else { Force::Spare };
    let mut code = 0;
    for word in &args.containers {
        match remove_one(&store, word, force) {
            Ok(Some(())) => _ = terminal::answer(&format!("{word}\n"))?,
            Ok(None) => terminal::tell_warning(&format!("there is no container {word}")),
            Err(error) => {
                terminal::tell_error(&error);
                code = EXIT_CONTAINER;
            }
        }
    }
    Ok(code)
}

/// `None` where there is nothing to remove, and that is as well.
fn remove_one(store: &Store, word: &str, force: Force) -> anyhow::Result<Option<()>> {
    let record = match force {
        Force::Spare => Some(store.find(word)?),
        Force::Kill => store.seek(word)?,
    };
    record.map(|record| remove(store, &record, force)).transpose()
}
