//! `sublet kill`: a signal for containers.

use clap::{ArgAction, Args};

use super::each::{Which, each};
use super::run::typed;
use crate::container::signal::kill;
use crate::spec::signal::Signal;
use crate::state::{Life, Record};

/// Send a signal to running containers
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet kill [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct KillArgs {
    #[command(flatten)]
    which: Which,

    /// A name or a number: HUP, SIGUSR1, 15, RTMIN+3
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. The signal is for its first
process.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet kill web                         at once, and without a chance to tidy up
  sublet kill -s HUP web                  have it read its configuration anew

The exit code is 1 if one of them is not there or does not run.";

/// Sends it to each.
pub fn run(args: KillArgs) -> anyhow::Result<u8> {
    let signal = typed("--signal", &args.signal, str::parse::<Signal>)?;
    let runs = |record: &Record| matches!(record.life, Life::Running { .. });
    each(&args.which, args.which.absent(), runs, |store, record| {
        kill(store, record, signal).map(|()| None)
    })
}
