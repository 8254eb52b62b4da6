//! `sublet help`: of all, of a verb, or of a topic; and the page of all, in
//! groups of what a person wants to do.

use anyhow::anyhow;
use clap::{ArgAction, Args, Command};

use super::terminal;
use crate::error::Explain;
use crate::state::nearest;

/// Print help: of a verb, or of a topic (files, exit-codes, network, limits)
#[derive(Debug, Args)]
#[command(override_usage = "sublet help [VERB|TOPIC]")]
pub struct HelpArgs {
    /// A verb, or a topic
    #[arg(value_name = "VERB|TOPIC")]
    word: Option<String>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// Short texts, each with its name.
pub const TOPICS: [(&str, &str); 4] = [
    ("files", include_str!("help/files.txt")),
    ("exit-codes", include_str!("help/exit-codes.txt")),
    ("network", include_str!("help/network.txt")),
    ("limits", include_str!("help/limits.txt")),
];

/// What somebody wants to do, and with which verbs.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Run", &["run", "create", "start", "restart", "attach", "exec", "cp"]),
    (
        "Look",
        &[
            "ps",
            "logs",
            "inspect",
            "why",
            "top",
            "stats",
            "events",
            "healthcheck",
            "diff",
            "ns",
            "wait",
        ],
    ),
    (
        "Change and end",
        &["update", "port", "rename", "pause", "unpause", "stop", "kill", "rm", "prune"],
    ),
    ("Set up", &["doctor", "info", "completion", "man", "help"]),
];

const EXAMPLES: &str = "\
Examples:
  sublet run host -- ls /home        this machine's tools, nothing of yours
  sublet run -it -v \"$PWD:$PWD\" -w \"$PWD\" host
                                     a shell with this directory alone
  sublet run --name web -m 512m -p 8080:80 ./root /bin/server
  sublet doctor                      what this machine allows, and what helps
  sublet help network                a topic: files, exit-codes, network or limits";

/// Prints it.
pub fn run(args: &HelpArgs) -> anyhow::Result<u8> {
    let mut command = super::command();
    command.build();
    let Some(word) = &args.word else {
        return terminal::answer(&command.render_long_help().to_string()).map(|_| 0);
    };
    if let Some((_, text)) = TOPICS.iter().find(|(name, _)| name == word) {
        return terminal::answer(text).map(|_| 0);
    }
    if let Some(verb) = command.find_subcommand_mut(word) {
        return terminal::answer(&verb.render_long_help().to_string()).map(|_| 0);
    }
    let topics = TOPICS.map(|(name, _)| name);
    let verbs = command.get_subcommands().map(Command::get_name);
    let known: Vec<&str> = verbs.chain(topics).collect();
    let near = nearest(word, &known).map(|near| format!(", but there is {near}"));
    Err(anyhow!("there is no verb or topic {word:?}{}", near.unwrap_or_default()))
        .hint(format!("the topics are {}; sublet --help shows the verbs", topics.join(", ")))
}

/// The command with its verbs in groups.
pub fn grouped(command: Command) -> Command {
    let mut text = "{about}\n\n{usage-heading} {usage}\n".to_owned();
    for (title, verbs) in GROUPS {
        text.push_str(&format!("\n{title}:\n"));
        for verb in verbs {
            let about = command.find_subcommand(verb).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("  {verb:<11} {about}\n"));
        }
    }
    text.push_str("\n{options}\n\nsublet help VERB and sublet VERB --help say more.\n\n");
    text.push_str(EXAMPLES);
    text.push('\n');
    command.help_template(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_one_group() {
        let command = super::super::command();
        let text = command.clone().render_long_help().to_string();
        for verb in command.get_subcommands() {
            let groups = GROUPS.iter().filter(|(_, verbs)| verbs.contains(&verb.get_name()));
            assert_eq!(groups.count(), 1, "{}", verb.get_name());
            assert!(text.contains(&format!("  {:<11} ", verb.get_name())), "{text}");
        }
        let count: usize = GROUPS.iter().map(|(_, verbs)| verbs.len()).sum();
        assert_eq!(count, command.get_subcommands().count());
        for line in text.lines() {
            assert!(line.chars().count() <= 88, "{line}");
        }
    }

    /// Every flag that a topic names is one of `run`.
    #[test]
    fn topics_name_flags_that_are_there() {
        let command = super::super::command();
        let mut known = Vec::new();
        for verb in command.get_subcommands() {
            for arg in verb.get_arguments() {
                known.extend(arg.get_long_and_visible_aliases().unwrap_or_default());
                known.extend(arg.get_short().map(|_| ""));
            }
        }
        let letters: Vec<char> = command
            .find_subcommand("run")
            .unwrap()
            .get_arguments()
            .filter_map(|a| a.get_short())
            .collect();
        for (name, text) in TOPICS {
            assert!(text.len() < 3000 && text.ends_with('\n'), "{name}");
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
            for word in text.split(|c: char| c.is_whitespace() || ",;()'\"".contains(c)) {
                let flag = word.trim_end_matches(['.', ':']);
                if let Some(flag) = flag.strip_prefix("--") {
                    let flag = flag.split('=').next().unwrap_or(flag);
                    assert!(flag.is_empty() || known.contains(&flag), "{name}: --{flag}");
                } else if let Some(flag) = flag.strip_prefix('-').and_then(|f| f.chars().next()) {
                    assert!(!flag.is_alphabetic() || letters.contains(&flag), "{name}: -{flag}");
                }
            }
        }
    }

    /// The exit codes are those of the sources.
    #[test]
    fn the_topic_of_exit_codes_has_ours() {
        use crate::error::{EXIT_LAUNCHER, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND};
        let (_, text) = TOPICS.iter().find(|(name, _)| *name == "exit-codes").unwrap();
        for code in [EXIT_LAUNCHER, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND] {
            assert!(text.contains(&format!("\n  {code} ")), "{code}");
        }
    }
}
