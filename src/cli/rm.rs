//! `sublet rm`: containers that are no more wanted.

use clap::{ArgAction, Args};

use super::each::{Absent, Which, each};
use crate::container::remove::{Force, remove};

/// Remove containers that have ended
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet rm [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct RmArgs {
    #[command(flatten)]
    which: Which,

    /// Kill those that run; one that is not there is no error
    #[arg(short, long)]
    force: bool,

    /// Its anonymous volumes too, of which there are none
    #[arg(short, long, hide = true)]
    volumes: bool,

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
  sublet rm -a --filter status=exited
  sublet prune                            all that have ended

The exit code is 1 if one of them could not be removed.";

/// Removes each, prints those that are gone, and gives the code to end with.
pub fn run(args: RmArgs) -> anyhow::Result<u8> {
    let (force, absent) = match (args.force, args.which.absent()) {
        (true, Absent::Refused) => (Force::Kill, Absent::Told),
        (true, absent) => (Force::Kill, absent),
        (false, absent) => (Force::Spare, absent),
    };
    // docker's flag, for which there is nothing to do.
    _ = args.volumes;
    each(&args.which, absent, |_| true, |store, record| remove(store, record, force).map(|()| None))
}
