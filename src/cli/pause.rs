//! `sublet pause` and `sublet unpause`: containers that stand still.

use clap::{ArgAction, Args};

use super::each::{Which, each};
use crate::container::pause::{is_paused, pause, unpause};
use crate::state::{Life, Record};

/// Stop all processes of containers where they are
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet pause [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = PAUSE_EXAMPLES
)]
pub struct PauseArgs {
    #[command(flatten)]
    which: Which,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// Let paused containers go on
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet unpause [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = UNPAUSE_EXAMPLES
)]
pub struct UnpauseArgs {
    #[command(flatten)]
    which: Which,

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
    let can = |record: &Record| {
        matches!(record.life, Life::Running { .. }) && record.place.is_some() && !is_paused(record)
    };
    each(&args.which, args.which.absent(), can, |_, record| pause(record).map(|()| None))
}

/// Lets each go on.
pub fn run_unpause(args: UnpauseArgs) -> anyhow::Result<u8> {
    each(&args.which, args.which.absent(), is_paused, |_, record| unpause(record).map(|()| None))
}
