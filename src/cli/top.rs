//! `sublet top`: the processes of a container.

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::columns::{aligned, plain};
use super::terminal;
use crate::container::record;
use crate::container::top::{TITLES, processes, ps, rows};
use crate::error::Explain;

/// Show the processes of a container
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet top CONTAINER [PS-OPTION]...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct TopArgs {
    /// CONTAINER, and options for ps(1).
    #[arg(value_name = "CONTAINER", num_args = 1.., trailing_var_arg = true, hide = true)]
    words: Vec<String>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. Ids are the host's: nothing in
the container is asked. What follows CONTAINER is for ps(1), which is then run on
the host.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet top web
  sublet top web -eo pid,rss,args         by ps; a column has to be PID";

/// Shows them.
pub fn run(args: TopArgs) -> anyhow::Result<u8> {
    let Some((container, options)) = args.words.split_first() else {
        return Err(anyhow!("CONTAINER is missing: a name or an id"))
            .hint("sublet ps shows those that run");
    };
    let pids = processes(&record::store()?, container)?;
    let text = if options.is_empty() {
        let titles = TITLES.map(str::to_owned).to_vec();
        let cells = |row: Vec<String>| row.iter().map(|cell| plain(cell)).collect();
        aligned(
            &[titles].into_iter().chain(rows(&pids)?.into_iter().map(cells)).collect::<Vec<_>>(),
        )
    } else {
        terminal::shown(ps(options, &pids)?)
    };
    terminal::answer(&text).map(|_| 0)
}
