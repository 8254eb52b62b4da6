//! `sublet ps`: which containers there are.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{ArgAction, Args, ValueEnum};
use serde_json::Value;

use super::columns::{aligned, plain};
use super::pace::{Pace, Waited};
use super::run::typed;
use super::template::Template;
use super::terminal::{self, Reader};
use crate::container::list::{Wanted, list};
use crate::container::record;
use crate::container::view::View;
use crate::error::{Explain, causes};
use crate::spec::ContainerId;
use crate::state::Moment;

/// List containers
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet ps [OPTIONS]",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct PsArgs {
    /// Those that don't run, too
    #[arg(short, long)]
    all: bool,

    /// Only those: id, name, status, health, label, label!, exited or until; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,

    /// table, json (an array), jsonl (a line a container), or fields: {{.Names}}
    #[arg(long, value_name = "FORM", default_value = "table", hide_default_value = true)]
    format: String,

    /// The newest N, whether they run or not
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,

    /// The newest, whether it runs or not
    #[arg(short, long)]
    latest: bool,

    /// Whole ids and commands
    #[arg(long)]
    no_trunc: bool,

    /// No line of titles above a table
    #[arg(long)]
    noheading: bool,

    /// In the order of: created, id, names, command, status or pid
    #[arg(long, value_enum, value_name = "FIELD", hide_possible_values = true)]
    sort: Option<Sort>,

    /// Again every so many seconds, until ctrl-C
    #[arg(short, long, value_name = "SECONDS")]
    watch: Option<u32>,

    /// docker's flag: no container takes room on a disk
    #[arg(short, long, hide = true)]
    size: bool,

    /// Ids alone
    #[arg(short, long)]
    quiet: bool,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// What a list is ordered by; the newest first without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    Created,
    Id,
    Names,
    Command,
    Status,
    Pid,
}

impl Sort {
    /// By the field, and those that are equal there as they were.
    fn order(self, views: &mut [View]) {
        match self {
            Self::Created => views.sort_by(|one, other| one.created_at.cmp(&other.created_at)),
            Self::Id => views.sort_by(|one, other| one.id.cmp(&other.id)),
            Self::Names => views.sort_by(|one, other| one.names.cmp(&other.names)),
            Self::Command => views.sort_by(|one, other| one.command.cmp(&other.command)),
            Self::Status => views.sort_by(|one, other| one.state.cmp(other.state)),
            Self::Pid => views.sort_by_key(|view| view.pid),
        }
    }
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

Without -a it is those that run. When they end, their records stay, unless they
were started with --rm; of those without -d, a name, a label or a --cidfile the
newest hundred. One with --rm that has none of these, nor a limit, is not known.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet ps -a --filter exited=137        those that were killed
  sublet ps -q --filter name=^web         ids of those whose name begins so
  sublet ps -a --format '{{.Names}} {{.Status}}'
  sublet ps -a --format jsonl             for a program
  sublet ps --watch 2 --sort names        every two seconds

The fields are ID, Names, Root, Command, CreatedAt, RunningFor, Status, State,
Labels, Pid and ExitCode.";

/// How they are shown.
enum Format {
    Table,
    Json,
    Jsonl,
    Fields(Template),
    /// Below titles.
    FieldsTable(Template),
}

impl Format {
    fn read(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "table" => Self::Table,
            "json" => Self::Json,
            "jsonl" => Self::Jsonl,
            _ => match text.strip_prefix("table ") {
                Some(fields) => Self::FieldsTable(Template::read(fields)?),
                None => Self::Fields(Template::read(text)?),
            },
        })
    }

    /// Whether the first line is one of titles.
    fn has_titles(&self) -> bool {
        matches!(self, Self::Table | Self::FieldsTable(_))
    }

    fn text(&self, views: &[View], whole: bool) -> anyhow::Result<String> {
        let lines = |template: &Template| {
            let lines = views.iter().map(|view| Ok(template.fill(&value(view, whole)?)? + "\n"));
            lines.collect::<anyhow::Result<String>>()
        };
        match self {
            Self::Table => Ok(table(views, whole)),
            Self::Json => Ok(terminal::pretty_json(views)? + "\n"),
            Self::Jsonl => views.iter().map(|view| Ok(terminal::json(view)? + "\n")).collect(),
            Self::Fields(template) => lines(template).map(terminal::shown),
            Self::FieldsTable(template) => {
                let rows = template.titles() + "\n" + &lines(template)?;
                let cells = |line: &str| line.split('\t').map(plain).collect();
                Ok(aligned(&rows.lines().map(cells).collect::<Vec<_>>()))
            }
        }
    }
}

/// A view for a template: as in a table, ids are short.
fn value(view: &View, whole: bool) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(view).context("write a container as JSON")?;
    if !whole {
        value["ID"] = view.id.short().into();
        value["Command"] = command(view, whole).into();
    }
    Ok(value)
}

fn id(id: &ContainerId, whole: bool) -> String {
    if whole { id.as_str() } else { id.short() }.to_owned()
}

/// As much of a command as can be read at a glance.
fn command(view: &View, whole: bool) -> String {
    const MOST: usize = 30;
    if whole || view.command.chars().count() <= MOST {
        return view.command.clone();
    }
    view.command.chars().take(MOST - 1).chain(['…']).collect()
}

fn table(views: &[View], whole: bool) -> String {
    let titles = ["CONTAINER ID", "ROOT", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(views.iter().map(|view| {
        vec![
            id(&view.id, whole),
            plain(&view.root),
            plain(&command(view, whole)),
            view.running_for.clone(),
            view.status.clone(),
            view.ports.clone(),
            view.names.clone(),
        ]
    }));
    aligned(&rows)
}

/// Lists, and gives the code to end with.
pub fn run(args: PsArgs) -> anyhow::Result<u8> {
    if args.size {
        return Err(anyhow!("--size: no container takes room on a disk"))
            .hint("what one has changed lies in memory (sublet stats) or in its root (du)");
    }
    let format = typed("--format", &args.format, Format::read)?;
    let filters = args.filter.iter().map(|text| typed("--filter", text, str::parse));
    let wanted = Wanted {
        all: args.all,
        last: args.last.or(args.latest.then_some(1)),
        filters: filters.collect::<anyhow::Result<_>>()?,
    };
    let store = record::store()?;
    let repaints = args.watch.is_some() && std::io::stdout().is_terminal();
    let mut pace = None;
    loop {
        let listing = list(&store, &wanted)?;
        for problem in &listing.problems {
            terminal::tell_warning(&causes(problem));
        }
        let now = Moment::now();
        let mut views: Vec<View> =
            listing.records.iter().map(|record| View::of(record, now)).collect();
        if let Some(sort) = args.sort {
            sort.order(&mut views);
        }
        let mut text = match args.quiet {
            true => views.iter().map(|view| id(&view.id, args.no_trunc) + "\n").collect(),
            false => format.text(&views, args.no_trunc)?,
        };
        if args.noheading && !args.quiet && format.has_titles() {
            text = text.split_once('\n').map_or_else(String::new, |(_, rest)| rest.to_owned());
        }
        if repaints {
            text = terminal::repaint(&text);
        }
        let reader = terminal::answer(&text)?;
        let Some(seconds) = args.watch else { return Ok(0) };
        let pace = match &mut pace {
            Some(pace) => pace,
            none => none.insert(Pace::new()?),
        };
        let pause = Duration::from_secs(seconds.max(1).into());
        if reader == Reader::Gone || pace.wait(pause)? == Waited::Interrupted {
            return Ok(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::view::tests::{ended, record};
    use crate::state::{End, Record};

    fn text(form: &str, records: &[Record], whole: bool) -> String {
        let now = Moment(180_000_000_000);
        let views: Vec<_> = records.iter().map(|record| View::of(record, now)).collect();
        Format::read(form).unwrap().text(&views, whole).unwrap()
    }

    fn two() -> [Record; 2] {
        let mut web = record(0xab, Some("web"));
        web.asked.command =
            ["sh", "-c", "while :; do :; done # \u{1b}[2J"].map(str::to_owned).into();
        [web, ended(record(0xcd, None), End::Code(7))]
    }

    #[test]
    fn an_order_is_that_of_a_field() {
        let mut views: Vec<_> =
            two().iter().map(|record| View::of(record, Moment(180_000_000_000))).collect();
        let mut order = |sort: Sort| {
            sort.order(&mut views);
            views.iter().map(|view| view.id.as_str()[..2].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            (order(Sort::Names), order(Sort::Id)),
            (vec!["cd".into(), "ab".into()], vec!["ab".into(), "cd".into()])
        );
        assert_eq!(order(Sort::Status), ["cd", "ab"]);
        assert_eq!(order(Sort::Command), ["ab", "cd"]);
        assert_eq!(order(Sort::Pid), ["cd", "ab"]);
    }

    #[test]
    fn people_get_a_table() {
        let lines = [
            "CONTAINER ID  ROOT  COMMAND                              CREATED        STATUS                    PORTS  NAMES",
            "abababababab  host  sh -c while :; do :; done # \\u{1b}…  3 minutes ago  Up 3 minutes                     web",
            "cdcdcdcdcdcd  host  sleep 600                            3 minutes ago  Exited (7) 2 minutes ago",
        ];
        assert_eq!(text("table", &two(), false), lines.join("\n") + "\n");
        let whole = text("table", &two(), true);
        assert!(whole.contains(&"ab".repeat(32)) && whole.contains("# \\u{1b}[2J"), "{whole}");
        assert_eq!(text("table", &[], false).lines().count(), 1);
    }

    #[test]
    fn programs_get_an_array_a_line_each_or_fields() {
        let array: Value = serde_json::from_str(&text("json", &two(), false)).unwrap();
        assert_eq!((&array[1]["ExitCode"], &array[0]["State"]), (&7.into(), &"running".into()));
        assert_eq!(array[0]["ID"], "ab".repeat(32));
        let lines = text("jsonl", &two(), false);
        assert_eq!(serde_json::from_str::<Value>(lines.lines().nth(1).unwrap()).unwrap(), array[1]);
        assert_eq!(text("{{.ID}} {{.Names}}", &two(), false), "abababababab web\ncdcdcdcdcdcd \n");
        assert_eq!(
            text("table {{.Names}}\\t{{.ExitCode}}", &two(), false),
            "NAMES  EXIT CODE\nweb    <nil>\n       7\n"
        );
        assert_eq!(
            (text("json", &[], false), text("jsonl", &[], false)),
            ("[]\n".into(), "".into())
        );
        assert!(Format::read("yaml").is_err());
    }
}
