//! `sublet wait`: until containers have ended.

use clap::{ArgAction, Args};

use super::each::each;
use crate::container::wait::wait;

/// Wait until containers have ended, and print their exit codes
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet wait CONTAINER...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct WaitArgs {
    /// Names or ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. A line for each, in the order
in which they were named; -1 where nobody knows the code, because the launcher
was killed.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet wait build                       prints 0 once it has succeeded

The exit code is 1 if one of them is not there, or was started with --rm.";

/// Waits for each, one after the other.
pub fn run(args: WaitArgs) -> anyhow::Result<u8> {
    each(&args.containers, |store, word| {
        Ok(wait(store, word)?.map_or_else(|| "-1".to_owned(), |code| code.to_string()))
    })
}
