//! `sublet pause` and `sublet unpause`: containers that stand still.

use clap::{ArgAction, Args};

use super::each::each;
use crate::container::pause::{pause, unpause};

/// Stop all processes of containers where they are
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet pause CONTAINER...",
    help_template = HELP,
    after_help = PAUSE_EXAMPLES
)]
pub struct PauseArgs {
    #[command(flatten)]
    which: Which,
}

/// Let paused containers go on
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet unpause CONTAINER...",
    help_template = HELP,
    after_help = UNPAUSE_EXAMPLES
)]
pub struct UnpauseArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
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

CONTAINER is a name, an id or the beginning of one, with a control group of its
own: started with a limit, or with --cgroups require.

{all-args}{after-help}";

const PAUSE_EXAMPLES: &str = "\
Examples:
  sublet pause build                      it takes no processor time until unpause

The exit code is 1 if one of them could not be paused.";

const UNPAUSE_EXAMPLES: &str = "\
Examples:
  sublet unpause build

The exit code is 1 if one of them was not paused.";

/// Pauses each.
pub fn run(args: PauseArgs) -> anyhow::Result<u8> {
    each(&args.which.containers, |store, word| {
        pause(&store.find(word)?)?;
        Ok(word.to_owned())
    })
}

/// Lets each go on.
pub fn run_unpause(args: UnpauseArgs) -> anyhow::Result<u8> {
    each(&args.which.containers, |store, word| {
        unpause(&store.find(word)?)?;
        Ok(word.to_owned())
    })
}
