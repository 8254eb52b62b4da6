//! `sublet man`: manual pages, made of the command line's definition.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context;
use clap::builder::Resettable;
use clap::{ArgAction, Args};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::help::TOPICS;
use crate::container::time::utc;
use crate::error::Explain;
use crate::state::Moment;

/// Write manual pages into a directory
#[derive(Debug, Args)]
#[command(override_usage = "sublet man DIR", after_help = EXAMPLES)]
pub struct ManArgs {
    /// The directory, made if need be
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const EXAMPLES: &str = "\
Examples:
  sublet man ~/.local/share/man/man1      man sublet-run then finds them";

/// Writes a page for the program, and one for each verb and each topic of help.
pub fn run(args: &ManArgs) -> anyhow::Result<u8> {
    let at = &args.directory;
    fs::create_dir_all(at)
        .with_context(|| format!("make {}", at.display()))
        .hint("one of yours that man looks into: ~/.local/share/man/man1")?;
    for (name, page) in pages()? {
        let path = at.join(name);
        fs::write(&path, page).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(0)
}

/// The day of the program's file, as mdoc(7) writes it.
fn date() -> String {
    let file = fs::metadata("/proc/self/exe").and_then(|facts| facts.modified());
    let since = file.ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let nanos = since.map_or(0, |since| since.as_nanos());
    let text = utc(Moment(u64::try_from(nanos).unwrap_or(0)));
    text.split('T').next().unwrap_or_default().to_owned()
}

/// Names of files, and what they hold.
fn pages() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut command = super::for_reading();
    command.build();
    let date = date();
    let page = |command: clap::Command| {
        let man = Man::new(command.clone()).manual("sublet").date(&date);
        let page = of_command(&command, &man).context("make a page")?;
        anyhow::Ok((man.get_filename(), page))
    };
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(|verb| {
        let name = format!("sublet-{}", verb.get_name());
        // Names of commands live as long as the program.
        page(verb.clone().name(&*name.leak()))
    });
    let verbs: Vec<_> = verbs.collect();
    let (name, mut own) = page(command.clone())?;
    see_also(&mut own)?;
    let topics = TOPICS.map(|(name, text)| topic(name, text, &date));
    [Ok((name, own))].into_iter().chain(verbs).chain(topics).collect()
}

/// The page of a command. What its help says beside its options is not among
/// what clap_mangen knows of it.
fn of_command(command: &clap::Command, man: &Man) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    section("DESCRIPTION", &description(command), &mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(examples) = command.get_after_help() {
        section("EXAMPLES", &examples.to_string(), &mut page)?;
    }
    if command.get_version().is_some() {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// What its help says between usage and options, else what it is in one line:
/// its help without the options, behind the usage.
fn description(command: &clap::Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.get_overridden_usage().map(ToString::to_string).unwrap_or_default();
    let mut bare = command
        .clone()
        .mut_args(|arg| arg.hide(true))
        .mut_subcommands(|verb| verb.hide(true))
        .after_help(Resettable::Reset);
    let help = bare.render_help().to_string();
    let text = help.split_once(&usage).map(|(_, text)| text.trim()).unwrap_or_default();
    if text.is_empty() { about } else { text.to_owned() }
}

/// A section of text. Paragraphs that have columns or are indented stay as they
/// are in the terminal.
fn section(title: &str, text: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (at, paragraph) in text.split("\n\n").enumerate() {
        if at > 0 {
            roff.control("PP", []);
        }
        let as_it_is = paragraph.lines().any(|line| line.starts_with(' '));
        if as_it_is {
            roff.control("nf", []);
        }
        for line in paragraph.lines() {
            roff.text([roman(line)]);
        }
        if as_it_is {
            roff.control("fi", []);
        }
    }
    roff.to_writer(page)
}

/// A topic of `sublet help`: its first line says what it is about, and the rest
/// is as it is in the terminal.
fn topic(name: &str, text: &str, date: &str) -> anyhow::Result<(String, Vec<u8>)> {
    let page = format!("sublet-help-{name}");
    let (about, text) = text.split_once('\n').context("a topic has a first line")?;
    let mut roff = Roff::new();
    roff.control("TH", [page.as_str(), "1", date, "sublet", "sublet"])
        .control("SH", ["NAME"])
        .text([roman(format!("{page} - {about}"))])
        .control("SH", ["DESCRIPTION"])
        .control("nf", []);
    for line in text.trim_matches('\n').lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    Ok((format!("{page}.1"), roff.render().into_bytes()))
}

fn see_also(page: &mut Vec<u8>) -> anyhow::Result<()> {
    let topics = TOPICS.map(|(name, _)| format!("sublet-help-{name}(1)"));
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]).text([roman(topics.join(", "))]);
    roff.to_writer(page).context("make a page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page() {
        let pages = pages().unwrap();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for verb in super::super::command().get_subcommands() {
            let name = format!("sublet-{}.1", verb.get_name());
            assert!(names.contains(&name.as_str()), "{name} in {names:?}");
        }
        let text = |name: &str| {
            let page = pages.iter().find(|(known, _)| known == name).unwrap();
            String::from_utf8_lossy(&page.1).into_owned()
        };
        let run = text("sublet-run.1");
        assert!(run.contains("\\-\\-publish") && run.contains(".SH EXAMPLES"), "{run}");
        let described = |page: &str| {
            let page = text(page);
            let (_, text) = page.split_once(".SH DESCRIPTION\n").unwrap();
            text.split(".SH ").next().unwrap().replace("\\-", "-").replace('\n', " ")
        };
        for (page, said) in [
            ("sublet-run.1", "ROOT is a directory (/path or ./path;"),
            ("sublet-wait.1", "-1"),
            ("sublet-doctor.1", "exit"),
            ("sublet-port.1", "clients kept"),
            ("sublet-completion.1", "Print what a shell needs"),
        ] {
            let text = described(page);
            assert!(text.contains(said), "{page}: {text}");
            assert!(!text.contains("Usage") && !text.contains("Examples:"), "{page}: {text}");
        }
        let columns = ".nf\nExamples:\n  sublet run host \\-\\- ls /home             nothing of";
        assert!(run.contains(columns), "{run}");
        for (topic, _) in TOPICS {
            assert!(text(&format!("sublet-help-{topic}.1")).contains(".SH DESCRIPTION"), "{topic}");
        }
        assert!(
            text("sublet.1").contains("sublet\\-help\\-exit\\-codes(1)"),
            "{}",
            text("sublet.1")
        );
    }
}
