//! `sublet completion`: what a shell needs to complete command lines, made of
//! their definition.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Args, Command, ValueEnum};
use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};

use super::help::TOPICS;
use super::terminal;

/// Print what a shell needs to complete sublet's command lines
#[derive(Debug, Args)]
#[command(override_usage = "sublet completion bash|zsh|fish", after_help = EXAMPLES)]
pub struct CompletionArgs {
    /// bash, zsh or fish
    #[arg(value_enum, hide_possible_values = true)]
    shell: Shell,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const EXAMPLES: &str = "\
Examples:
  sublet completion bash > ~/.local/share/bash-completion/completions/sublet
  sublet completion zsh > ~/.zfunc/_sublet        with fpath+=~/.zfunc before compinit
  sublet completion fish > ~/.config/fish/completions/sublet.fish";

/// A shell that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints it.
pub fn run(args: &CompletionArgs) -> anyhow::Result<u8> {
    terminal::answer(&script(args.shell)).map(|_| 0)
}

/// What lists their names: of those without one, nothing.
const NAMES: &str = "sublet ps -a --format '{{.Names}}' 2>/dev/null";

/// What a verb's words are called where they are containers, or begin with one.
const CONTAINER: &str = "CONTAINER";

/// The verbs whose words are containers, or begin with one.
fn verbs(command: &Command) -> Vec<&Command> {
    let takes = |verb: &&Command| !words(verb).is_empty();
    command.get_subcommands().filter(takes).collect()
}

/// The words of a verb, and of its own verbs, that are containers.
fn words(verb: &Command) -> Vec<&Arg> {
    let own = verb.get_positionals().filter(|word| {
        word.get_value_names().is_some_and(|names| names.iter().any(|name| name == CONTAINER))
    });
    own.chain(verb.get_subcommands().flat_map(words)).collect()
}

/// Flags that take one of a few words, or begin with one.
const WORDS: [(&str, &[&str]); 12] = [
    ("network", &["slirp4netns", "pasta", "auto", "none", "loopback", "host"]),
    ("userns", &["auto", "single", "nomap", "keep-id"]),
    ("restart", &["no", "on-failure", "always", "unless-stopped"]),
    ("pid", &["host", "private"]),
    ("ipc", &["host", "private"]),
    ("uts", &["host", "private"]),
    ("cgroupns", &["host", "private"]),
    ("cgroups", &["auto", "systemd", "direct", "require", "disabled"]),
    ("limits", &["strict", "best-effort"]),
    ("log-driver", &["k8s-file", "none"]),
    ("sdnotify", &["container", "conmon", "healthy", "ignore"]),
    ("health-on-failure", &["none", "kill", "restart", "stop"]),
];

/// The definition, in which what is read as text has the words that a person may
/// want to choose from.
fn with_words() -> Command {
    let command = super::for_reading();
    // Names of commands live as long as the program.
    let verbs = command.get_subcommands().map(|verb| &*verb.get_name().to_owned().leak());
    let help: Vec<&'static str> = verbs.chain(TOPICS.map(|(name, _)| name)).collect();
    let of_flag = |arg: Arg| match WORDS.iter().find(|(flag, _)| arg.get_long() == Some(flag)) {
        Some((_, words)) => arg.value_parser(PossibleValuesParser::new(*words)),
        None => arg,
    };
    let of_verb = |verb: Command| match verb.get_name() {
        "run" | "create" => verb.mut_args(of_flag),
        "help" => verb.mut_arg("word", |word| word.value_parser(PossibleValuesParser::new(&help))),
        _ => verb,
    };
    command.mut_subcommands(of_verb)
}

fn script(shell: Shell) -> String {
    let mut command = with_words();
    let mut bytes = Vec::new();
    match shell {
        Shell::Bash => generate(Bash, &mut command, "sublet", &mut bytes),
        Shell::Zsh => generate(Zsh, &mut command, "sublet", &mut bytes),
        Shell::Fish => generate(Fish, &mut command, "sublet", &mut bytes),
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match shell {
        Shell::Bash => text + &bash(&command),
        Shell::Zsh => zsh(&command, &text),
        Shell::Fish => text + &fish(&command),
    }
}

/// Words that are no flag: the generated function knows none.
fn bash(command: &Command) -> String {
    let case = |verb: &Command| {
        let own: String =
            verb.get_subcommands().map(|own| " ".to_owned() + own.get_name()).collect();
        let verb = verb.get_name();
        format!("        {verb},*) _sublet_names \"$2\"{own} ;;\n")
    };
    let cases: String = verbs(command).into_iter().map(case).collect();
    format!(
        "
# The names of containers, and behind a verb that has some its own verbs.
_sublet_names() {{
    local word=\"$1\" words
    words=\"$({NAMES})\"
    shift
    [[ $COMP_CWORD -ne 2 ]] || words=\"$* $words\"
    COMPREPLY=( $(compgen -W \"$words\" -- \"$word\") )
}}

# The same with what stands between a name and a path of it; else files.
_sublet_places() {{
    _sublet_names \"$1\"
    COMPREPLY=( \"${{COMPREPLY[@]/%/:}}\" )
    [[ ${{#COMPREPLY[@]}} -eq 0 ]] || compopt -o nospace 2>/dev/null || true
}}

_sublet_or_names() {{
    case \"${{COMP_WORDS[1]}},$2\" in
        *,-*) _sublet \"$@\" ;;
        cp,*) _sublet_places \"$2\" ;;
{cases}        *) _sublet \"$@\" ;;
    esac
}}
complete -F _sublet_or_names -o bashdefault -o default sublet
"
    )
}

/// The lines of those words name the function that lists them.
fn zsh(command: &Command, text: &str) -> String {
    let names = format!(
        "_sublet_names() {{\n    local -a names\n    names=(${{(f)\"$({NAMES})\"}})\n    \
         compadd -a names\n}}\n\n"
    );
    let marks: Vec<String> = verbs(command).into_iter().flat_map(words).map(mark).collect();
    let is_name = |line: &str| {
        let line = line.trim_start_matches(['\'', '*']);
        marks.iter().any(|mark| line.starts_with(mark))
    };
    let completed: String = text
        .lines()
        .map(|line| match is_name(line) {
            true => line.replace(":_default", ":_sublet_names") + "\n",
            false => line.to_owned() + "\n",
        })
        .collect();
    match completed.split_once("_sublet() {") {
        Some((before, after)) => format!("{before}{names}_sublet() {{{after}"),
        None => completed,
    }
}

/// How the line of such a word begins: up to what would be quoted in its help.
fn mark(word: &Arg) -> String {
    let help = word.get_help().map(ToString::to_string).unwrap_or_default();
    let plain = help.split(['\'', ':', '[']).next().unwrap_or_default();
    format!("::{} -- {plain}", word.get_id())
}

/// Words that are no flag, of which the generated lines have none.
fn fish(command: &Command) -> String {
    let line = |verbs: &str, words: &str| {
        format!("complete -c sublet -n \"__fish_seen_subcommand_from {verbs}\" {words}\n")
    };
    let names: Vec<_> = verbs(command).into_iter().map(Command::get_name).collect();
    let help = command.find_subcommand("help").and_then(|help| help.get_positionals().next());
    let help = help.map(Arg::get_possible_values).unwrap_or_default();
    let help: Vec<_> = help.iter().map(|word| word.get_name()).collect();
    [
        line(&names.join(" "), &format!("-f -a \"({NAMES})\"")),
        line("cp", &format!("-a \"({NAMES} | sed 's/\\$/:/')\"")),
        line("help", &format!("-f -a \"{}\"", help.join(" "))),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shells_know_all_verbs_and_the_names_of_containers() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = script(shell);
            for verb in super::super::command().get_subcommands() {
                assert!(text.contains(verb.get_name()), "{shell:?} {}", verb.get_name());
            }
            assert!(text.contains("--publish") || text.contains("-l publish"), "{shell:?}");
            assert!(text.contains(NAMES), "{shell:?}");
        }
    }

    #[test]
    fn words_are_those_of_flags_that_there_are() {
        let command = with_words();
        for verb in ["run", "create"] {
            let verb = command.find_subcommand(verb).unwrap();
            for (flag, words) in WORDS {
                let arg = verb.get_arguments().find(|arg| arg.get_long() == Some(flag));
                let values = arg.expect(flag).get_possible_values();
                let values: Vec<_> = values.iter().map(|value| value.get_name()).collect();
                assert_eq!(values, words, "{flag}");
                let line = |word: &&str| [&format!("--{flag}={word}"), "host"].map(str::to_owned);
                // What is refused is refused for what goes with it.
                for [word, root] in words.iter().map(line) {
                    let asked = crate::cli::asked_alone(&[&word, &root]);
                    let told = asked.err().map(|error| format!("{error:#}")).unwrap_or_default();
                    assert!(told.is_empty() || told.contains("without"), "{word}: {told}");
                }
            }
        }
        let help = command.find_subcommand("help").unwrap().get_positionals().next().unwrap();
        let values = help.get_possible_values();
        for word in ["run", "doctor", "exit-codes"] {
            assert!(values.iter().any(|value| value.get_name() == word), "{word}");
        }
    }

    #[test]
    fn all_words_that_are_containers_are_found() {
        let command = super::super::for_reading();
        let found: Vec<_> = verbs(&command).into_iter().map(Command::get_name).collect();
        for verb in ["start", "exec", "rename", "logs", "attach", "port", "rm", "top", "why"] {
            assert!(found.contains(&verb), "{verb} is not among {found:?}");
        }
        for verb in ["run", "create", "cp", "ps", "info", "help"] {
            assert!(!found.contains(&verb), "{verb} is among {found:?}");
        }
        let words: usize = verbs(&command).into_iter().map(|verb| words(verb).len()).sum();
        let text = script(Shell::Zsh);
        assert_eq!(text.matches(":_sublet_names'").count(), words);
        assert!(!text.contains("NAME]:_sublet_names"), "a flag of run has its own values");
    }
}
