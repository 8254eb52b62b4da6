//! `sublet why`: how containers came to their ends.

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::columns::{plain, wrapped};
use super::paper::Paper;
use super::terminal;
use crate::container::list::{Wanted, list};
use crate::container::why::{Reason, Why, why};
use crate::container::{pause, record};
use crate::error::{EXIT_CONTAINER, Explain};
use crate::state::{Moment, Record, Store};

/// Tell how containers came to their ends
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet why [OPTIONS] [CONTAINER...]",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct WhyArgs {
    /// Names or ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    /// For programs: an array
    #[arg(long)]
    json: bool,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one; without, it is the newest.
What was seen is told: the exit code and what it means, the signal and who has
sent it, memory and processes that ran out, a system call that was refused, the
step at which a start has failed. What nobody can know is told as well.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet why web
  sublet why --json web db

The exit code is 1 if one of them is not there. One that was started with --rm is
not known any more once it has ended, and a start that failed only by its name.";

/// Tells of each, and gives the code to end with.
pub fn run(args: WhyArgs) -> anyhow::Result<u8> {
    let store = record::store()?;
    let (mut found, mut code) = (Vec::new(), 0);
    if args.containers.is_empty() {
        found.push(newest(&store)?);
    }
    for word in &args.containers {
        match store.find(word) {
            Ok(record) => found.push(record),
            Err(error) => {
                terminal::tell_error(&error);
                code = EXIT_CONTAINER;
            }
        }
    }
    let now = Moment::now();
    let told: Vec<(&Record, Why)> =
        found.iter().map(|record| (record, why(record, pause::status(record), now))).collect();
    let text = match args.json {
        true => {
            let told: Vec<&Why> = told.iter().map(|(_, why)| why).collect();
            terminal::pretty_json(&told)? + "\n"
        }
        false => {
            let paper = Paper::of_output();
            let told: Vec<_> = told.iter().map(|(record, why)| text(record, why, paper)).collect();
            told.join("\n")
        }
    };
    terminal::answer(&text).map(|_| code)
}

fn newest(store: &Store) -> anyhow::Result<Record> {
    let listing = list(store, &Wanted { last: Some(1), ..Wanted::default() })?;
    let newest = listing.records.into_iter().next();
    newest
        .ok_or_else(|| anyhow!("no container is known"))
        .hint("those are that were started with --name or with a limit")
}

/// A line that says which and what, and the story below it.
fn text(record: &Record, why: &Why, paper: Paper) -> String {
    let end = match (why.reason, why.exit_code) {
        (Reason::Running, _) => why.status.to_owned(),
        (Reason::NotStarted, Some(code)) => format!("not started, {code}"),
        (Reason::OutOfMemory, Some(code)) => format!("out of memory, {code}"),
        (_, Some(code)) => format!("{}, {code}", why.status),
        (_, None) => why.status.to_owned(),
    };
    let good = matches!((why.reason, why.exit_code), (Reason::Running, _) | (_, Some(0)));
    let end = if good { paper.good(&end) } else { paper.bad(&end) };
    let command = plain(&record.asked.command.join(" "));
    let mut text = format!("{} ({}): {end}\n", paper.strong(record.label()), record.id.short());
    let room = paper.width();
    text.push_str(&wrapped(&command, room, "  $ ", "    "));
    for sentence in &why.story {
        text.push_str(&wrapped(&plain(sentence), room, "  ", "  "));
    }
    for hint in &why.hints {
        text.push_str(&wrapped(&plain(hint), room, "  hint: ", "        "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::view::tests::{ended, record};
    use crate::state::{End, Life};

    #[test]
    fn a_story_has_a_title_and_fits_its_paper() {
        let mut killed = ended(record(0xab, Some("web")), End::Signal(9));
        killed.asked.command = vec!["sh".to_owned(), "\u{1b}[2J".to_owned()];
        let Life::Exited(exit) = &mut killed.life else { unreachable!() };
        exit.usage.oom_killed = true;
        exit.usage.memory_limit = Some(64 << 20);
        exit.usage.oom_process = Some("py\u{7}thon".to_owned());
        let why = why(&killed, "exited", Moment(180_000_000_000));
        let told = text(&killed, &why, Paper::plain(40));
        assert!(
            told.starts_with("web (abababababab): out of memory, 137\n  $ sh \\u{1b}[2J\n"),
            "{told}"
        );
        assert!(told.contains("  hint: give it more memory:"), "{told}");
        assert!(told.contains("py\\u{7}thon"), "{told}");
        assert!(told.lines().all(|line| line.chars().count() <= 40), "{told}");
    }
}
