//! `sublet inspect`: all that is known of containers.

use anyhow::{anyhow, ensure};
use clap::{ArgAction, Args};
use serde_json::Value;

use super::run::typed;
use super::template::Template;
use super::terminal;
use crate::container::inspect::inspect;
use crate::container::record;
use crate::error::{EXIT_CONTAINER, Explain};

/// Show all that is known of containers
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet inspect [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct InspectArgs {
    /// Names or ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    /// json (an array), jsonl (a line a container), or fields: {{.State.ExitCode}}
    #[arg(short, long, value_name = "FORM", default_value = "json", hide_default_value = true)]
    format: String,

    /// container, the only type that there is
    #[arg(long, value_name = "TYPE", default_value = "container", hide = true)]
    r#type: String,

    /// The newest
    #[arg(short, long)]
    latest: bool,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one, running or ended.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet inspect web
  sublet inspect -f '{{.State.Status}} {{.State.ExitCode}}' web
  sublet inspect -f '{{json .Usage}}' web

The exit code is 1 if one of them is not there.";

enum Format {
    Json,
    Jsonl,
    Fields(Template),
}

impl Format {
    fn read(text: &str) -> anyhow::Result<Self> {
        match text {
            "json" => Ok(Self::Json),
            "jsonl" => Ok(Self::Jsonl),
            _ => Template::read(text).map(Self::Fields),
        }
    }

    fn text(&self, found: &[Value]) -> anyhow::Result<String> {
        match self {
            Self::Json => Ok(terminal::pretty_json(found)? + "\n"),
            Self::Jsonl => Ok(found.iter().map(|one| format!("{one}\n")).collect()),
            Self::Fields(template) => {
                let lines = found.iter().map(|one| Ok(template.fill(one)? + "\n"));
                lines.collect::<anyhow::Result<String>>().map(terminal::shown)
            }
        }
    }
}

/// Shows those that are there, and gives the code to end with.
pub fn run(args: InspectArgs) -> anyhow::Result<u8> {
    ensure!(
        matches!(args.r#type.as_str(), "container" | "all"),
        "--type {:?}: there are only containers",
        args.r#type
    );
    let store = record::store()?;
    let mut containers = args.containers;
    if args.latest {
        let newest = store.list()?.records.pop().map(|record| record.id.to_string());
        containers.extend(newest);
    }
    if containers.is_empty() {
        return Err(anyhow!("CONTAINER is missing: a name or an id"))
            .hint("sublet ps -a shows those that are known");
    }
    let format = typed("--format", &args.format, Format::read)?;
    let (mut found, mut code) = (Vec::new(), 0);
    for word in &containers {
        match store.find(word) {
            Ok(record) => {
                // What can't be read is null; the record is what counts.
                let spec = store.spec(&record).ok();
                found.push(inspect(&record, spec.as_ref()));
            }
            Err(error) => {
                terminal::tell_error(&error);
                code = EXIT_CONTAINER;
            }
        }
    }
    terminal::answer(&format.text(&found)?)?;
    Ok(code)
}
