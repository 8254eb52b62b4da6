//! `sublet completion`: what a shell needs to complete command lines, made of
//! their definition.

use clap::{ArgAction, Args, ValueEnum};
use clap_complete::generate;
use clap_complete::shells::{Bash, Fish, Zsh};

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

/// The verbs whose words are containers.
const VERBS: [&str; 12] = [
    "start", "restart", "inspect", "why", "stats", "update", "stop", "kill", "pause", "unpause",
    "wait", "rm",
];

/// What lists them: of those without a name, nothing.
const NAMES: &str = "sublet ps -a --format '{{.Names}}' 2>/dev/null";

fn script(shell: Shell) -> String {
    let mut command = super::for_reading();
    let mut bytes = Vec::new();
    match shell {
        Shell::Bash => generate(Bash, &mut command, "sublet", &mut bytes),
        Shell::Zsh => generate(Zsh, &mut command, "sublet", &mut bytes),
        Shell::Fish => generate(Fish, &mut command, "sublet", &mut bytes),
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match shell {
        Shell::Bash => text + &bash(),
        Shell::Zsh => zsh(&text),
        Shell::Fish => text + &fish(),
    }
}

/// Words that are no flag: the generated function knows none.
fn bash() -> String {
    let verbs = VERBS.join("|");
    format!(
        "
_sublet_or_names() {{
    case \"${{COMP_WORDS[1]}},$2\" in
        *,-*) _sublet \"$@\" ;;
        {verbs},*) COMPREPLY=( $(compgen -W \"$({NAMES})\" -- \"$2\") ) ;;
        *) _sublet \"$@\" ;;
    esac
}}
complete -F _sublet_or_names -o bashdefault -o default sublet
",
        verbs = verbs.replace('|', ",*|")
    )
}

/// The positional arguments of those verbs are called `containers`.
fn zsh(text: &str) -> String {
    let names = format!(
        "_sublet_names() {{\n    local -a names\n    names=(${{(f)\"$({NAMES})\"}})\n    \
         compadd -a names\n}}\n\n"
    );
    let completed: String = text
        .lines()
        .map(|line| match line.contains("containers") {
            true => line.replace(":_default", ":_sublet_names") + "\n",
            false => line.to_owned() + "\n",
        })
        .collect();
    match completed.split_once("_sublet() {") {
        Some((before, after)) => format!("{before}{names}_sublet() {{{after}"),
        None => completed,
    }
}

fn fish() -> String {
    let verbs = VERBS.join(" ");
    format!("complete -c sublet -n \"__fish_seen_subcommand_from {verbs}\" -f -a \"({NAMES})\"\n")
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
        assert!(script(Shell::Zsh).contains(":_sublet_names'"), "the place of names is found");
    }

    #[test]
    fn verbs_of_containers_are_verbs() {
        let command = super::super::command();
        for verb in VERBS {
            let verb = command.find_subcommand(verb).unwrap();
            assert!(verb.get_positionals().any(|word| word.get_id().as_str() == "containers"));
        }
    }
}
