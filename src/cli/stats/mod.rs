//! `sublet stats`: a table that follows, or figures for programs.

mod table;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::ensure;
use clap::{ArgAction, Args, ValueEnum};

use super::pace::{Pace, Waited};
use super::run::typed;
use super::terminal::{self, Reader};
use crate::container::record;
use crate::container::stats::{self, Figures, Which};
use crate::error::causes;
use crate::spec::duration::duration;
use table::Ids;

/// Show what running containers use
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet stats [OPTIONS] [CONTAINER...]",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct StatsArgs {
    /// Names or ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    /// Those that don't run, too
    #[arg(short, long)]
    all: bool,

    /// One reading, and not one after the other
    #[arg(long)]
    no_stream: bool,

    /// Whole ids
    #[arg(long)]
    no_trunc: bool,

    /// table, json (one reading, an array) or jsonl (a line a container)
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        default_value = "table",
        hide_possible_values = true,
        hide_default_value = true
    )]
    format: Format,

    /// Time between two readings [default: 1s]
    #[arg(short, long, value_name = "TIME")]
    interval: Option<String>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Jsonl,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one; without, it is all that run.
What is not known is --, as all is of one without a control group of its own:
start it with a limit, or with --cgroups require.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet stats                            all, every second; ctrl-C ends it
  sublet stats --no-stream web            one reading of one container
  sublet stats --format jsonl -i 10s      for a program, every ten seconds

CPU % is of one processor, and THROTTLED the part of its periods in which the
quota was used up. Memory is without the cache that can be dropped at once.
PRESSURE is the part of the last ten seconds in which something had to wait for
cpu, memory and io.";

/// The time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Before the first two, where nobody has said: several periods of a quota.
const FIRST: Duration = Duration::from_millis(500);

/// Shows figures until the user has had enough, and gives the code to end with.
pub fn run(args: StatsArgs) -> anyhow::Result<u8> {
    let interval = args.interval.as_deref().map(|text| typed("--interval", text, interval));
    let interval = interval.transpose()?;
    let store = record::store()?;
    let which = stats::which(&store, &args.containers, args.all)?;
    let pace = Pace::new()?;
    let streams = !args.no_stream && args.format != Format::Json;
    let view = View {
        format: args.format,
        ids: if args.no_trunc { Ids::Whole } else { Ids::Short },
        repaints: streams && std::io::stdout().is_terminal(),
    };

    let mut before = stats::read(&store, &which)?;
    for problem in &before.problems {
        terminal::tell_warning(&causes(problem));
    }
    let mut pause = interval.unwrap_or(FIRST);
    if before.readings.is_empty() {
        // There is nothing to be measured yet.
        pause = Duration::ZERO;
    }
    loop {
        if pace.wait(pause)? == Waited::Interrupted {
            return Ok(0);
        }
        let now = stats::read(&store, &which)?;
        let over = matches!(which, Which::These(_)) && now.are_final();
        let reader = view.show(&Figures::between(&before, &now))?;
        if reader == Reader::Gone || over || !streams {
            return Ok(0);
        }
        (before, pause) = (now, interval.unwrap_or(INTERVAL));
    }
}

fn interval(text: &str) -> anyhow::Result<Duration> {
    let interval = duration(text)?;
    let bounds = Duration::from_millis(50)..=Duration::from_secs(24 * 3600);
    ensure!(bounds.contains(&interval), "an interval is from 50ms to 24h");
    Ok(interval)
}

/// How figures are shown.
struct View {
    format: Format,
    ids: Ids,
    /// A reading takes the place of the one before.
    repaints: bool,
}

impl View {
    fn show(&self, figures: &[Figures]) -> anyhow::Result<Reader> {
        terminal::answer(&self.text(figures)?)
    }

    fn text(&self, figures: &[Figures]) -> anyhow::Result<String> {
        Ok(match self.format {
            Format::Table if self.repaints => terminal::repaint(&table::table(figures, self.ids)),
            Format::Table => table::table(figures, self.ids),
            Format::Json => terminal::pretty_json(figures)? + "\n",
            Format::Jsonl => {
                let lines: Result<Vec<_>, _> = figures.iter().map(serde_json::to_string).collect();
                lines?.into_iter().map(|line| line + "\n").collect()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::stats::tests::nothing;

    fn view(format: Format) -> View {
        View { format, ids: Ids::Short, repaints: false }
    }

    #[test]
    fn programs_get_an_array_or_a_line_each() {
        let two = [nothing(), nothing()];
        let array: serde_json::Value =
            serde_json::from_str(&view(Format::Json).text(&two).unwrap()).unwrap();
        assert_eq!(array.as_array().map(Vec::len), Some(2));
        let lines = view(Format::Jsonl).text(&two).unwrap();
        assert_eq!(lines.lines().count(), 2);
        for line in lines.lines() {
            let one: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(one, array[0]);
        }
    }

    #[test]
    fn nothing_is_an_empty_array_or_no_line() {
        assert_eq!(view(Format::Json).text(&[]).unwrap(), "[]\n");
        assert_eq!(view(Format::Jsonl).text(&[]).unwrap(), "");
        assert_eq!(view(Format::Table).text(&[]).unwrap().lines().count(), 1);
    }

    #[test]
    fn intervals_have_bounds() {
        assert_eq!(interval("2").unwrap(), Duration::from_secs(2));
        assert_eq!(interval("50ms").unwrap(), Duration::from_millis(50));
        for text in ["0", "49ms", "25h", "", "-1", "soon"] {
            assert!(interval(text).is_err(), "{text:?} was taken");
        }
    }
}
