//! `sublet kill`: a signal for containers.

use clap::{ArgAction, Args};

use super::each::each;
use super::run::typed;
use crate::container::signal::kill;
use crate::spec::signal::Signal;

/// Send a signal to running containers
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet kill [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct KillArgs {
    /// Names or ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

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
    each(&args.containers, |store, word| {
        kill(store, &store.find(word)?, signal)?;
        Ok(word.to_owned())
    })
}
