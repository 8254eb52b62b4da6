//! `sublet stop`: containers that are to end.

use std::time::Duration;

use clap::{ArgAction, Args};

use super::each::{Which, each};
use super::run::typed;

use crate::container::signal::stop;
use crate::spec::signal::Signal;
use crate::state::{Life, Record};

/// End running containers: SIGTERM, and SIGKILL for those that stay
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet stop [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct StopArgs {
    #[command(flatten)]
    which: Which,

    /// Seconds between its stop signal and SIGKILL [default: its --stop-timeout, else 10]
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS")]
    time: Option<u32>,

    /// What it is asked to end by [default: its --stop-signal, else TERM]
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,

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
  sublet stop -a --filter label=tier=test

The exit code is 1 if one of them is not there or does not end.";

/// Stops each, one after the other.
pub fn run(args: StopArgs) -> anyhow::Result<u8> {
    let patience = args.time.map(|seconds| Duration::from_secs(seconds.into()));
    let signal = args.signal.as_deref();
    let signal =
        signal.map(|signal| typed("--signal", signal, str::parse::<Signal>)).transpose()?;
    let runs =
        |record: &Record| matches!(record.life, Life::Running { .. } | Life::Restarting { .. });
    each(&args.which, args.which.absent(), runs, |store, record| {
        stop(store, record, signal, patience).map(|()| None)
    })
}
