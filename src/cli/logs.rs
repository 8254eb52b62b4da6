//! `sublet logs`: what containers in the background have said.

use std::io::{IsTerminal, stderr, stdout};

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::run::typed;
use super::terminal;
use crate::container::logs::{self, Said, Since, Wanted};
use crate::container::record;
use crate::error::Explain;
use crate::log::Stream;

/// Show what containers in the background have said
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet logs [OPTIONS] CONTAINER",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct LogsArgs {
    /// Its name or id, or the beginning of its id
    #[arg(value_name = "CONTAINER", hide = true)]
    container: Option<String>,

    /// Go on until it ends
    #[arg(short, long)]
    follow: bool,

    /// Only what was said since then: 10m for ten minutes ago, or a time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,

    /// Only what was said until then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,

    /// Only the last lines: a number, or all
    #[arg(short = 'n', long, value_name = "N", default_value = "all", hide_default_value = true)]
    tail: String,

    /// Put the time before each line
    #[arg(short, long)]
    timestamps: bool,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

What it has said on standard error comes on standard error. On a terminal, what
would change more of that than a colour is shown as an escape: \\u{1b}. Times are
UTC: 2026-11-26T06:30:00, a day, or seconds since 1970.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet logs web
  sublet logs -f -n 20 web                the last lines, and all that come
  sublet logs --since 10m -t web
  sublet logs web 2>/dev/null | less      as it was said

A container in the foreground has no log: its output is its caller's.";

/// Shows it, and gives the code to end with.
pub fn run(args: LogsArgs) -> anyhow::Result<u8> {
    let Some(word) = &args.container else {
        return Err(anyhow!("CONTAINER is missing: a name or an id"))
            .hint("sublet ps -a shows those that are known");
    };
    let time = |flag, text: &Option<String>| {
        text.as_ref().map(|text| typed(flag, text, str::parse::<Since>)).transpose()
    };
    let wanted = Wanted {
        follow: args.follow,
        since: time("--since", &args.since)?,
        until: time("--until", &args.until)?,
        tail: typed("--tail", &args.tail, logs::tail)?,
    };
    let store = record::store()?;
    let record = store.find(word)?;
    let people = [stdout().is_terminal(), stderr().is_terminal()];
    logs::logs(&store, &record, &wanted, |Said { time, stream, begins, ends, text }| {
        let escape = match stream {
            Stream::Out => people[0],
            Stream::Err => people[1],
        };
        let mut bytes = Vec::with_capacity(text.len() + 40);
        if args.timestamps && begins {
            bytes.extend_from_slice(time.as_bytes());
            bytes.push(b' ');
        }
        match escape {
            true => terminal::escape(text, &mut bytes),
            false => bytes.extend_from_slice(text),
        }
        if ends {
            bytes.push(b'\n');
        }
        terminal::pass_on(stream, &bytes)
    })?;
    Ok(0)
}
