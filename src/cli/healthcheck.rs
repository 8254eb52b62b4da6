//! `sublet healthcheck run`: asks a container whether it is well, now.

use anyhow::anyhow;
use clap::{ArgAction, Args, Subcommand};

use super::terminal;
use crate::container::exec::Target;
use crate::container::health::run as check;
use crate::container::record;
use crate::error::{EXIT_CONTAINER, Explain};

/// Ask a container whether it is well
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet healthcheck run CONTAINER",
    help_template = HELP,
    after_help = EXAMPLES,
    disable_help_subcommand = true
)]
pub struct HealthcheckArgs {
    #[command(subcommand)]
    what: Option<What>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum What {
    Run(RunArgs),
}

/// Run its health check once, now
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet healthcheck run CONTAINER",
    after_help = "\
The exit code is 0 if the check has succeeded, and 1 if it has failed; then what
it said is told."
)]
struct RunArgs {
    /// A name, an id or the beginning of one
    #[arg(value_name = "CONTAINER", hide = true)]
    container: Option<String>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

It runs the command of --health-cmd of sublet run in the container, besides those
checks that its launcher makes; what comes of it counts as theirs.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet healthcheck run web
  sublet ps --filter health=unhealthy
  sublet inspect -f '{{json .State.Health}}' web

The exit code is 0 if the check has succeeded, 1 if it has failed, and 125 if the
container does not run or has none.";

/// Asks one, and gives the code to end with.
pub fn run(args: HealthcheckArgs) -> anyhow::Result<u8> {
    let Some(What::Run(RunArgs { container: Some(word), .. })) = &args.what else {
        return Err(anyhow!("CONTAINER is missing: a name or an id"))
            .hint("sublet healthcheck run CONTAINER; sublet ps shows those that run");
    };
    let store = record::store()?;
    let target = Target::find(&store, word)?;
    // Before anything is said: it may start over.
    target.protect_program()?;
    let (status, checked) = check(&store, &store.find(word)?)?;
    if checked.code == 0 {
        return Ok(0);
    }
    let said = super::columns::plain(checked.output.trim_end());
    terminal::answer(&format!("{}\n", status.name()))?;
    terminal::tell(format_args!("sublet: the check ended with {}: {said}", checked.code));
    Ok(EXIT_CONTAINER)
}
