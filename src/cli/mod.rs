//! Words in, words out.
#![forbid(unsafe_code)]

mod attach;
mod changeable;
mod columns;
mod completion;
mod config;
mod cp;
mod create;
mod diff;
mod doctor;
mod each;
mod events;
mod exec;
mod file;
mod healthcheck;
mod help;
mod info;
mod inspect;
mod kill;
mod later;
mod logs;
mod man;
mod ns;
mod oci;
mod pace;
mod paper;
mod pause;
mod port;
mod prune;
mod ps;
mod rename;
mod rm;
mod run;
mod start;
mod stats;
mod staying;
mod stop;
mod template;
mod terminal;
mod top;
mod update;
mod wait;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{EXIT_LAUNCHER, Explain, exit_code};
use attach::AttachArgs;
use completion::CompletionArgs;
use cp::CpArgs;
use create::CreateArgs;
use diff::DiffArgs;
use doctor::DoctorArgs;
use events::EventsArgs;
use exec::ExecArgs;
use healthcheck::HealthcheckArgs;
use help::HelpArgs;
use info::InfoArgs;
use inspect::InspectArgs;
use kill::KillArgs;
use logs::LogsArgs;
use man::ManArgs;
use ns::NsArgs;
use pause::{PauseArgs, UnpauseArgs};
use port::PortArgs;
use prune::PruneArgs;
use ps::PsArgs;
use rename::RenameArgs;
use rm::RmArgs;
use run::RunArgs;
#[cfg(test)]
pub(crate) use run::{asked_alone, asked_words};
use start::{RestartArgs, StartArgs};
use stats::StatsArgs;
use stop::StopArgs;
use top::TopArgs;
use update::UpdateArgs;
use wait::WaitArgs;
use why::WhyArgs;

/// Runs programs in containers, without root and without a daemon
#[derive(Debug, Parser)]
#[command(
    version,
    args_override_self = true,
    disable_help_flag = true,
    disable_help_subcommand = true,
    override_usage = "sublet VERB [OPTIONS]"
)]
struct Cli {
    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,

    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Box<RunArgs>),
    Create(Box<CreateArgs>),
    Start(StartArgs),
    Restart(RestartArgs),
    Exec(Box<ExecArgs>),
    Cp(CpArgs),
    Ps(PsArgs),
    Inspect(InspectArgs),
    Why(WhyArgs),
    Ns(NsArgs),
    Diff(DiffArgs),
    Events(EventsArgs),
    Logs(LogsArgs),
    Attach(AttachArgs),
    Stats(StatsArgs),
    Top(TopArgs),
    Update(Box<UpdateArgs>),
    Stop(StopArgs),
    Kill(KillArgs),
    Pause(PauseArgs),
    Unpause(UnpauseArgs),
    Wait(WaitArgs),
    Rename(RenameArgs),
    Port(PortArgs),
    Healthcheck(HealthcheckArgs),
    Rm(RmArgs),
    Prune(PruneArgs),
    Doctor(DoctorArgs),
    Info(InfoArgs),
    Completion(CompletionArgs),
    Man(ManArgs),
    Help(HelpArgs),
}

/// Runs the command line of this process.
///
/// Ends with the payload's code, or 125 where there was none because of us
/// ([`crate::error`]).
pub fn main() -> ExitCode {
    // Ignored, as a caller may hand it down, no program that is asked on the
    // way could be waited for.
    _ = crate::sys::process::expect_children();
    if oci::is_called(std::env::args_os().next()) {
        return oci::main();
    }
    let words = match config::with_settings(std::env::args_os().collect()) {
        Ok(words) => words,
        Err(error) => {
            terminal::tell_error(&error);
            return ExitCode::from(exit_code(&error));
        }
    };
    let done = match parse(words) {
        Ok(Cli { verb: Verb::Run(args), .. }) => run::run(*args),
        Ok(Cli { verb: Verb::Create(args), .. }) => create::run(*args),
        Ok(Cli { verb: Verb::Start(args), .. }) => start::run(args),
        Ok(Cli { verb: Verb::Restart(args), .. }) => start::run_restart(args),
        Ok(Cli { verb: Verb::Exec(args), .. }) => exec::run(*args),
        Ok(Cli { verb: Verb::Cp(args), .. }) => cp::run(args),
        Ok(Cli { verb: Verb::Ps(args), .. }) => ps::run(args),
        Ok(Cli { verb: Verb::Inspect(args), .. }) => inspect::run(args),
        Ok(Cli { verb: Verb::Why(args), .. }) => why::run(args),
        Ok(Cli { verb: Verb::Ns(args), .. }) => ns::run(args),
        Ok(Cli { verb: Verb::Diff(args), .. }) => diff::run(args),
        Ok(Cli { verb: Verb::Events(args), .. }) => events::run(args),
        Ok(Cli { verb: Verb::Rename(args), .. }) => rename::run(args),
        Ok(Cli { verb: Verb::Logs(args), .. }) => logs::run(args),
        Ok(Cli { verb: Verb::Attach(args), .. }) => attach::run(args),
        Ok(Cli { verb: Verb::Stats(args), .. }) => stats::run(args),
        Ok(Cli { verb: Verb::Top(args), .. }) => top::run(args),
        Ok(Cli { verb: Verb::Update(args), .. }) => update::run(*args),
        Ok(Cli { verb: Verb::Stop(args), .. }) => stop::run(args),
        Ok(Cli { verb: Verb::Kill(args), .. }) => kill::run(args),
        Ok(Cli { verb: Verb::Pause(args), .. }) => pause::run(args),
        Ok(Cli { verb: Verb::Unpause(args), .. }) => pause::run_unpause(args),
        Ok(Cli { verb: Verb::Wait(args), .. }) => wait::run(args),
        Ok(Cli { verb: Verb::Port(args), .. }) => port::run(args),
        Ok(Cli { verb: Verb::Healthcheck(args), .. }) => healthcheck::run(args),
        Ok(Cli { verb: Verb::Rm(args), .. }) => rm::run(args),
        Ok(Cli { verb: Verb::Prune(args), .. }) => prune::run(args),
        Ok(Cli { verb: Verb::Doctor(args), .. }) => doctor::run(args),
        Ok(Cli { verb: Verb::Info(args), .. }) => info::run(args),
        Ok(Cli { verb: Verb::Completion(args), .. }) => completion::run(&args),
        Ok(Cli { verb: Verb::Man(args), .. }) => man::run(&args),
        Ok(Cli { verb: Verb::Help(args), .. }) => help::run(&args),
        Err(error) => usage(error),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            terminal::tell_error(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    let mut command = match words.get(1) {
        Some(verb) if verb == "run" => alone::<RunArgs>("run"),
        Some(verb) if verb == "exec" => alone::<ExecArgs>("exec"),
        _ => help::grouped(Cli::command()),
    };
    if words.iter().any(|word| shows_switches(word.as_encoded_bytes())) {
        command = with_switches(command);
    }
    let mut matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The whole command line.
fn command() -> clap::Command {
    with_switches(help::grouped(Cli::command()))
}

/// The same for who only reads it: completions and manual pages. Switches take
/// no value there.
fn for_reading() -> clap::Command {
    Cli::command()
}

/// The part of it that one verb needs: a start doesn't wait for the flags of all
/// other verbs to be put together.
fn alone<A: Args>(verb: &'static str) -> clap::Command {
    let verb = A::augment_args(clap::Command::new(verb));
    clap::Command::new("sublet").args_override_self(true).subcommand(verb)
}

/// Whether it could give a switch its value, or asks what can be given: to look
/// through the flags for switches takes as long as a mount does.
fn shows_switches(word: &[u8]) -> bool {
    word.starts_with(b"-") && (word.contains(&b'=') || word == b"--help" || word == b"-h")
}

/// Every switch also takes `=true` and `=false`, as those of docker and podman
/// do.
fn with_switches(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|verb| {
        verb.mut_args(|arg| match arg.get_action() {
            ArgAction::SetTrue => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_value("false")
                .default_missing_value("true")
                .value_name("BOOL")
                .hide_default_value(true)
                .hide_possible_values(true),
            _ => arg,
        })
    })
}

/// Answers a command line that asks for help or cannot be understood.
fn usage(mut error: clap::Error) -> anyhow::Result<u8> {
    if let Some(error) = later::explain(&error) {
        return Err(error);
    }
    later::keep_near(&mut error);
    match error.kind() {
        ErrorKind::InvalidUtf8 => {
            bail!("an argument is not UTF-8, and OCI's JSON can hold nothing else")
        }
        ErrorKind::MissingRequiredArgument if lacks_root(&error) => {
            return Err(anyhow!("ROOT is missing: a directory, or the word host")).hint(
                "sublet run host -- ls    runs a program of this machine\nsublet run --help",
            );
        }
        // It would advise to put a -- before the flag, which makes it ROOT.
        ErrorKind::UnknownArgument => _ = error.remove(ContextKind::Suggested),
        _ => {}
    }
    // Help that nobody reads to its end is no failure.
    _ = error.print();
    Ok(if error.use_stderr() { EXIT_LAUNCHER } else { 0 })
}

/// Whether what is missing is the ROOT of `run` or `create`.
fn lacks_root(error: &clap::Error) -> bool {
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
        return false;
    };
    missing.iter().any(|arg| arg.starts_with("<ROOT>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        super::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_definition_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn a_verb_alone_is_what_it_is_among_all() {
        let help = |command: clap::Command, verb: &str| {
            let mut command = with_switches(command);
            command.find_subcommand_mut(verb).unwrap().render_long_help().to_string()
        };
        let run = help(alone::<RunArgs>("run"), "run");
        assert!(run.contains("--cidfile"));
        assert_eq!(run, help(Cli::command(), "run"));
        let exec = help(alone::<ExecArgs>("exec"), "exec");
        assert!(exec.contains("--detach-keys"));
        assert_eq!(exec, help(Cli::command(), "exec"));
        let twice = ["--name", "a", "--name", "b", "--rm", "--rm=false", "host"];
        let beside = asked_words(&twice).unwrap().spec.beside;
        assert_eq!((beside.label(), beside.known.remove), ("b", false));
    }

    #[test]
    fn help_is_an_answer_and_usage_an_error() {
        for line in [
            "sublet --help",
            "sublet -h",
            "sublet --version",
            "sublet run --help",
            "sublet exec --help",
            "sublet exec -h",
            "sublet cp --help",
            "sublet stats --help",
            "sublet stats -h",
            "sublet top --help",
            "sublet update --help",
            "sublet ps --help",
            "sublet inspect -h",
            "sublet rm --help",
            "sublet stop --help",
            "sublet kill -h",
            "sublet pause --help",
            "sublet unpause --help",
            "sublet wait -h",
            "sublet why --help",
            "sublet ns --help",
            "sublet diff -h",
            "sublet events --help",
            "sublet rename -h",
            "sublet logs -h",
            "sublet attach --help",
            "sublet create --help",
            "sublet start -h",
            "sublet restart -h",
            "sublet port --help",
            "sublet port add -h",
            "sublet port rm --help",
            "sublet prune --help",
            "sublet healthcheck --help",
            "sublet healthcheck run -h",
            "sublet doctor --help",
            "sublet info -h",
            "sublet completion --help",
            "sublet man -h",
            "sublet help --help",
        ] {
            assert!(!parse(line).unwrap_err().use_stderr(), "{line}");
        }
        for line in
            ["sublet", "sublet walk", "sublet run", "sublet run --frob host", "sublet run -h"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn only_run_and_create_lack_a_root() {
        for line in ["sublet run", "sublet run --rm", "sublet create", "sublet create --rm"] {
            assert!(lacks_root(&parse(line).unwrap_err()), "{line}");
        }
        for (line, usage) in [
            ("sublet man", "Usage: sublet man DIR\n"),
            ("sublet completion", "Usage: sublet completion bash|zsh|fish\n"),
            ("sublet walk", "Usage: sublet VERB [OPTIONS]\n"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(!lacks_root(&error), "{line}");
            let text = error.to_string();
            assert!(error.use_stderr() && text.contains(usage), "{line}: {text}");
        }
    }
}
