//! `sublet diff`: what a container has changed in its root.

use anyhow::anyhow;
use clap::{ArgAction, Args, ValueEnum};
use serde_json::json;

use super::columns::plain;
use super::terminal;
use crate::container::diff::{Became, Changes, diff};
use crate::container::record;
use crate::error::{EXIT_CONTAINER, Explain};

/// Show what a container has changed in its throw-away root
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet diff [OPTIONS] CONTAINER",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct DiffArgs {
    /// A name or an id, or the beginning of an id
    #[arg(value_name = "CONTAINER", hide = true)]
    container: Option<String>,

    /// json: for programs
    #[arg(long, value_enum, value_name = "FORM", hide_possible_values = true)]
    format: Option<Format>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. It has to run on an overlay,
ROOT:O. A line for each path: A what was added, C what was changed, D what was
deleted. What lies under a mount, such as a volume or /tmp, is not looked at.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet run --name try ./debian:O -- sh -c 'touch /new; sleep 600' &
  sublet diff try

The exit code is 1 if it is not there, or its changes can't be told.";

/// Shows them, and gives the code to end with.
pub fn run(args: DiffArgs) -> anyhow::Result<u8> {
    let Some(word) = &args.container else {
        return Err(anyhow!("CONTAINER is missing: a name or an id"))
            .hint("sublet ps shows those that run");
    };
    let record = record::store()?.find(word).exits_with(EXIT_CONTAINER)?;
    let changes = diff(&record).exits_with(EXIT_CONTAINER)?;
    let text = match args.format {
        Some(Format::Json) => terminal::pretty_json(&lists(&changes))? + "\n",
        None => changes
            .iter()
            .map(|(path, became)| {
                format!("{} {}\n", became.letter(), plain(&path.to_string_lossy()))
            })
            .collect(),
    };
    terminal::answer(&text).map(|_| 0)
}

/// podman's form of it.
fn lists(changes: &Changes) -> serde_json::Value {
    let list = |wanted: Became| {
        let those = changes.iter().filter(|(_, became)| **became == wanted);
        those.map(|(path, _)| path.to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    json!({
        "added": list(Became::Added),
        "changed": list(Became::Changed),
        "deleted": list(Became::Deleted),
    })
}
