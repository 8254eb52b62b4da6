//! `sublet create`: a container that is to be started later.

use clap::Args;

use super::run::{RunArgs, create};

/// Prepare a container for sublet start
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "sublet create [OPTIONS] ROOT [COMMAND [ARG]...]",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct CreateArgs {
    #[command(flatten)]
    run: RunArgs,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

What is asked for is looked at and written down, and its id is printed; nothing
runs. Variables of your environment have the value that they have now. ROOT and
COMMAND are as for sublet run.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet create --name web --restart always ./root /bin/server
  sublet start web";

/// Prepares it, prints its id, and gives the code to end with.
pub fn run(args: CreateArgs) -> anyhow::Result<u8> {
    create(args.run)
}
