//! `sublet wait`: until containers have ended.

use std::time::Duration;

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::each::{Which, each};
use super::run::typed;
use crate::container::wait::{wait, wait_for};
use crate::error::Explain;
use crate::spec::duration::duration;

/// Wait until containers have ended, and print their exit codes
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet wait [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct WaitArgs {
    #[command(flatten)]
    which: Which,

    /// Until it is that: exited, running, paused, restarting or created; may be repeated
    #[arg(long, value_name = "STATUS", default_value = "exited", hide_default_value = true)]
    condition: Vec<String>,

    /// How often it is looked at for other conditions than exited [default: 250ms]
    #[arg(long, value_name = "TIME")]
    interval: Option<String>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. A line for each, in the order
in which they were named; -1 where nobody knows the code, because the launcher
was killed, or where there is none yet under another --condition.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet wait build                       prints 0 once it has succeeded
  sublet wait --condition running web     until it runs

The exit code is 1 if one of them is not there, or was started with --rm.";

/// How often it is looked at where nothing tells.
const INTERVAL: Duration = Duration::from_millis(250);

/// Waits for each, one after the other.
pub fn run(args: WaitArgs) -> anyhow::Result<u8> {
    let wanted = args.condition.iter().map(|text| typed("--condition", text, condition));
    let wanted: Vec<&'static str> = wanted.collect::<anyhow::Result<_>>()?;
    let interval = args.interval.as_deref().map(|text| typed("--interval", text, duration));
    let interval = interval.transpose()?.unwrap_or(INTERVAL);
    each(
        &args.which,
        args.which.absent(),
        |_| true,
        |store, record| {
            let code = match wanted[..] {
                ["exited"] => wait(store, record.id.as_str())?,
                _ => wait_for(store, record, &wanted, interval)?,
            };
            Ok(Some(code.map_or_else(|| "-1".to_owned(), |code| code.to_string())))
        },
    )
}

/// A status that can be waited for; podman has two words for one of them.
fn condition(text: &str) -> anyhow::Result<&'static str> {
    Ok(match text {
        "exited" | "stopped" => "exited",
        "running" => "running",
        "paused" => "paused",
        "restarting" => "restarting",
        "created" => "created",
        _ => {
            return Err(anyhow!("{text:?} is not a condition"))
                .hint("exited, running, paused, restarting, created");
        }
    })
}
