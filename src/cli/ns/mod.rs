//! `sublet ns`: which containers share which namespaces, as a tree, as JSON, or
//! as a picture.

mod svg;
mod tree;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{ArgAction, Args};

use super::paper::Paper;
use super::terminal;
use crate::container::{newfile, ns, record};
use crate::error::{Explain, causes};
use crate::host::Host;

/// Show which containers share which namespaces, and their control groups
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet ns [OPTIONS] [CONTAINER]",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct NsArgs {
    /// A name or an id, or the beginning of an id
    #[arg(value_name = "CONTAINER", hide = true)]
    container: Option<String>,

    /// For programs
    #[arg(long, conflicts_with = "svg")]
    json: bool,

    /// Draw a picture into a file; - is standard output
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

Without CONTAINER it is all that run, those too that have no record; with one,
that and those that share a namespace with it. The host is what you are in
yourself. A number such as net #1 marks what several containers share.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet ns
  sublet ns web                           web, and who shares something with it
  sublet ns --svg containers.svg          to be looked at in a browser
  sublet ns --json

It reads /proc and the records and asks nobody. What others than you run, it
can't look into.";

/// Shows it, and gives the code to end with.
pub fn run(args: NsArgs) -> anyhow::Result<u8> {
    let store = record::store()?;
    let wanted = args.container.as_deref().map(|word| store.find(word)).transpose()?;
    let listing = store.list()?;
    for problem in &listing.problems {
        terminal::tell_warning(&causes(problem));
    }
    let mut picture = ns::look(&listing, &Host::new())?;
    if let Some(record) = &wanted {
        picture = picture.around(record.id.as_str());
        if picture.members.is_empty() {
            anyhow::bail!("container {} does not run, and is in no namespace", record.label());
        }
    }
    let text = match (args.json, &args.svg) {
        (true, _) => terminal::pretty_json(&picture.to_json())? + "\n",
        (false, None) => tree::tree(&picture, Paper::of_output()),
        (false, Some(file)) => {
            let text = svg::svg(&picture);
            if file != Path::new("-") {
                newfile::write(file, text.as_bytes())
                    .with_context(|| format!("--svg: write {}", file.display()))
                    .hint("--svg - writes to standard output")?;
                return Ok(0);
            }
            text
        }
    };
    terminal::answer(&text).map(|_| 0)
}

/// How much is used of what may be used.
fn of(used: Option<String>, limit: Option<String>) -> Option<String> {
    match (used, limit) {
        (Some(used), Some(limit)) => Some(format!("{used} of {limit}")),
        (Some(used), None) => Some(used),
        (None, limit) => limit,
    }
}

/// The beginning and the end of a text that is too long.
fn shortened(text: &str, most: usize, gap: &str) -> String {
    let count = text.chars().count();
    let room = most.saturating_sub(gap.chars().count());
    if count <= most {
        return text.to_owned();
    }
    let (first, last) = (room.div_ceil(2), room / 2);
    let begin: String = text.chars().take(first).collect();
    let end: String = text.chars().skip(count - last).collect();
    begin + gap + &end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_loses_its_middle() {
        assert_eq!(shortened("abcdefgh", 8, "…"), "abcdefgh");
        assert_eq!(shortened("abcdefgh", 5, "…"), "ab…gh");
        assert_eq!(shortened("größer", 4, "..."), "g...");
        assert_eq!(shortened("abc", 0, "…"), "…");
    }
}
