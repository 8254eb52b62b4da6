//! `sublet stop`: containers that are to end.

use clap::{ArgAction, Args};

use super::each::each;
use std::time::Duration;

use crate::container::signal::stop;

/// End running containers: SIGTERM, and SIGKILL for those that stay
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet stop [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct StopArgs {
    /// Names or ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    /// Seconds between SIGTERM and SIGKILL
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS", default_value_t = 10)]
    time: u32,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. One that has ended is
stopped already; one that is paused goes on first.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet stop web
  sublet stop -t 60 db                    a minute to write everything down
  sublet stop -t 0 web                    at once, as sublet kill

The exit code is 1 if one of them is not there or does not end.";

/// Stops each, one after the other.
pub fn run(args: StopArgs) -> anyhow::Result<u8> {
    let patience = Duration::from_secs(args.time.into());
    each(&args.containers, |store, word| {
        stop(store, &store.find(word)?, patience)?;
        Ok(word.to_owned())
    })
}
