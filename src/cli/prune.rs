//! `sublet prune`: no more of what has ended.

use std::io::{BufRead, Write};

use anyhow::{Context, anyhow};
use clap::{ArgAction, Args};

use super::run::typed;
use super::terminal;
use crate::container::list::{Wanted, list};
use crate::container::record;
use crate::container::remove::{Force, remove};
use crate::error::{EXIT_CONTAINER, Explain, causes};
use crate::state::{Life, Record};

/// Remove all containers that have ended
#[derive(Debug, Args)]
#[command(override_usage = "sublet prune [OPTIONS]", help_template = HELP)]
pub struct PruneArgs {
    /// Only those: id, name, status, label, label!, exited or until; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,

    /// Don't ask
    #[arg(short, long)]
    force: bool,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

What is left of a container that has ended is its record; with that goes its
name. It asks first, and prints the ids of those that are gone.

{all-args}";

/// Removes them, and gives the code to end with.
pub fn run(args: PruneArgs) -> anyhow::Result<u8> {
    let filters = args.filter.iter().map(|text| typed("--filter", text, str::parse));
    let filters = filters.collect::<anyhow::Result<_>>()?;
    let store = record::store()?;
    let mut listing = list(&store, &Wanted { all: true, last: None, filters })?;
    for problem in &listing.problems {
        terminal::tell_warning(&causes(problem));
    }
    // A start that failed has ended, too.
    let is_over = |record: &Record| match record.life {
        Life::Exited(_) => true,
        Life::Created { .. } => record.failed.is_some(),
        Life::Running { .. } | Life::Restarting { .. } => false,
    };
    listing.records.retain(is_over);
    if listing.records.is_empty() || !(args.force || is_wanted(&listing.records)?) {
        return Ok(0);
    }
    let mut code = 0;
    for record in &listing.records {
        match remove(&store, record, Force::Spare) {
            Ok(()) => _ = terminal::answer(&format!("{}\n", record.id))?,
            Err(error) => {
                terminal::tell_error(&error);
                code = EXIT_CONTAINER;
            }
        }
    }
    Ok(code)
}

/// Asks whoever is there.
fn is_wanted(records: &[Record]) -> anyhow::Result<bool> {
    let labels: Vec<&str> = records.iter().map(Record::label).collect();
    let mut errors = std::io::stderr().lock();
    // Who can't be asked answers nothing.
    _ = write!(errors, "This removes what is left of {}. Go on? [y/N] ", labels.join(", "));
    _ = errors.flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("read the answer")?;
    if answer.is_empty() {
        _ = writeln!(errors);
        return Err(anyhow!("nobody has answered, and nothing was removed"))
            .hint("sublet prune -f does not ask");
    }
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
