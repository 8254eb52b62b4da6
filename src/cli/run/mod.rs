//! `sublet run`: flags to [`Spec`], and the container's story from there.

mod background;
mod caller;
mod container;
pub mod environment;
mod health;
mod identity;
mod limits;
mod namespaces;
mod network;
mod ports;
mod process;
mod security;
mod storage;
mod telling;
#[cfg(test)]
mod tests;

use anyhow::{Context, anyhow};
use clap::{ArgAction, Args};
use oci_spec::runtime::BoxBuilder;

use super::terminal;
use crate::container::attach::Foreground;
use crate::container::detach::{Outcome, Which, detach};
use crate::container::run::{self as verb, Clock};
use crate::error::Explain;
use crate::host::Host;
use crate::plan::check_descriptors;
use crate::spec::keys::Keys;
use crate::spec::port::Source;
use crate::spec::{ContainerId, Root, Spec, Stdin};
use crate::sys::fd::standard;
use crate::sys::process::die_with_parent;
use crate::sys::tty::{is_terminal, size};
use background::BackgroundArgs;
pub use caller::Caller;
pub use telling::{DryRun, Telling};
#[cfg(test)]
pub(crate) use tests::{asked_alone, asked_words};

/// Run a program in a container of its own
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "sublet run [OPTIONS] ROOT [COMMAND [ARG]...]",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct RunArgs {
    /// ROOT, COMMAND and its arguments: one list, because after ROOT nothing
    /// is ours any more, whatever it begins with.
    #[arg(
        value_name = "ROOT",
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        hide = true
    )]
    words: Vec<String>,

    #[command(flatten)]
    container: container::ContainerArgs,
    #[command(flatten)]
    storage: storage::StorageArgs,
    #[command(flatten)]
    process: process::ProcessArgs,
    #[command(flatten)]
    identity: identity::IdentityArgs,
    #[command(flatten)]
    namespaces: namespaces::NamespaceArgs,
    #[command(flatten)]
    network: network::NetworkArgs,
    #[command(flatten)]
    ports: ports::PortArgs,
    #[command(flatten)]
    security: security::SecurityArgs,
    #[command(flatten)]
    limits: limits::LimitArgs,
    #[command(flatten)]
    background: background::BackgroundArgs,
    #[command(flatten)]
    health: health::HealthArgs,
    #[command(flatten)]
    telling: telling::TellingArgs,

    /// Print help (-h is --hostname, as elsewhere)
    #[arg(long, action = ArgAction::Help, help_heading = telling::HEADING)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

ROOT is a directory (/path or ./path; ./path:O keeps all changes out of it) or
the word host: this machine's own system, read-only, with empty /home and /tmp.
Without COMMAND it is a shell. What follows ROOT belongs to COMMAND: options of
sublet come before it.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet run host -- ls /home             nothing of yours is there
  sublet run -v \"$PWD:$PWD\" -w \"$PWD\" host make
  sublet run -it ./debian-root            a shell in a root of its own
  sublet run --read-only --user nobody ./root /bin/server --port 80
  sublet run --dry-run host               what would be done

The exit code is the command's; 125: sublet itself failed, 126: the command
cannot be executed, 127: it was not found, 128+n: signal n killed it.";

/// All that a command line of `run` says.
#[derive(Debug)]
pub struct Asked {
    /// The container. Where no command was given, `process.args` is empty and
    /// the plan chooses a shell.
    pub spec: Spec,
    /// What to tell about it.
    pub telling: Telling,
    /// Whether it runs in the background.
    pub detach: bool,
    /// Whether it ends with the process that has called us.
    pub dies_with_parent: bool,
    /// What is typed to leave it, in the foreground.
    pub keys: Option<Keys>,
    /// What the user should hear before it starts.
    pub warnings: Vec<String>,
}

/// Runs one container in the foreground and gives the code to end with.
pub fn run(args: RunArgs) -> anyhow::Result<u8> {
    let asked = args.into_spec(&Caller::here())?;
    let Asked { spec, telling, detach, dies_with_parent, keys, warnings } = asked;
    BackgroundArgs::check(detach, &spec)?;
    if telling.dry_run.is_none() {
        if dies_with_parent {
            die_with_parent().context("--die-with-parent")?;
        }
        // First of all: it may start over, and then all would be said twice.
        verb::protect_program()?;
    }
    for warning in &warnings {
        terminal::tell_warning(warning);
    }
    if telling.dry_run == Some(DryRun::Oci) {
        return terminal::answer(&telling::oci(&spec)?).map(|_| 0);
    }
    if detach {
        return start_behind(spec);
    }
    if telling.dry_run.is_none()
        && !telling.timing
        && let Some(keys) = keys.filter(|_| can_be_left(&spec))
    {
        return start_before(spec, keys);
    }
    let host = Host::new();
    match telling.dry_run {
        Some(DryRun::Json) => terminal::answer(&(verb::plan(&spec, &host)?.to_json()? + "\n")),
        Some(_) => terminal::answer(&verb::plan(&spec, &host)?.to_string()),
        None => return start(&spec, telling.timing, &host),
    }
    .map(|_| 0)
}

fn start(spec: &Spec, timing: bool, host: &Host) -> anyhow::Result<u8> {
    let clock = if timing { Clock::On } else { Clock::Off };
    let tell = |line: &str| terminal::tell(format_args!("sublet: {line}"));
    let exit = verb::run(spec, clock, host, tell, terminal::tell_warning)?;
    if clock == Clock::On {
        terminal::tell(format_args!("{}", exit.timing));
    }
    Ok(exit.code)
}

/// Writes a container down for later, prints its id, and gives the code to end
/// with.
pub fn create(args: RunArgs) -> anyhow::Result<u8> {
    let asked = args.into_spec(&Caller::here())?;
    let Asked { spec, telling, detach, dies_with_parent, warnings, .. } = asked;
    if detach || dies_with_parent || telling.timing || telling.dry_run.is_some() {
        return Err(anyhow!("nothing is run by it"))
            .context("--detach, --die-with-parent, --timing and --dry-run")
            .hint("sublet run has them; sublet start starts it in the background");
    }
    can_wait(&spec)?;
    warnings.iter().for_each(|warning| terminal::tell_warning(warning));
    crate::container::create::create(&spec, &Host::new(), terminal::tell_warning)?;
    terminal::answer(&format!("{}\n", spec.beside.id)).map(|_| 0)
}

/// Whether nothing that it is to have is open only now.
fn can_wait(spec: &Spec) -> anyhow::Result<()> {
    let port = spec.beside.ports.iter().find(|port| matches!(port.source, Source::Handed(_)));
    if let Some(port) = port {
        return Err(anyhow!("a socket that systemd has opened can't be kept for later"))
            .with_context(|| format!("--publish {}", port.source))
            .hint("sublet run has it; an address of the host can be published at any time");
    }
    if spec.beside.sockets > 0 {
        return Err(anyhow!("nobody keeps them until sublet start"))
            .context("the sockets of LISTEN_FDS")
            .hint(
                "sublet start hands on those that it is started with itself; without: \
                 env -u LISTEN_FDS sublet create ...",
            );
    }
    if spec.beside.preserve_fds > 0 {
        return Err(anyhow!("nobody keeps open files until sublet start"))
            .with_context(|| format!("--preserve-fds {}", spec.beside.preserve_fds))
            .hint("sublet run -d has them");
    }
    Ok(())
}

/// Starts it in the background, and prints its id.
fn start_behind(spec: Spec) -> anyhow::Result<u8> {
    let (id, handed) = (spec.beside.id.clone(), spec.beside.preserve_fds);
    // Before anything of ours is open, which might have their numbers.
    check_descriptors(handed)?;
    behind(Which::New(Box::new(spec)), handed, None, id.as_str())
}

/// Whether keys can be typed at what it has as its terminal. A socket that was
/// handed to us can't be handed on.
fn can_be_left(spec: &Spec) -> bool {
    let process = spec.oci.process().as_ref();
    process.and_then(|process| process.terminal()).unwrap_or(false)
        && spec.beside.stdin == Stdin::Inherit
        && !spec.beside.ports.iter().any(|port| matches!(port.source, Source::Handed(_)))
        && is_terminal(standard(0))
}

/// Starts it before the caller's eyes, and gives the code to end with.
fn start_before(mut spec: Spec, keys: Keys) -> anyhow::Result<u8> {
    // Its supervisor has nothing of our terminal.
    if let Some((rows, columns)) = size(standard(0)) {
        let size = BoxBuilder::default().height(u64::from(rows)).width(u64::from(columns)).build();
        spec.process_mut().set_console_size(size.ok());
    }
    let (label, handed) = (spec.beside.label().to_owned(), spec.beside.preserve_fds);
    let foreground = Foreground { input: true, keys: Some(keys), ends: true, proxy: true };
    behind(Which::New(Box::new(spec)), handed, Some(foreground), &label)
}

/// Starts a container in the background, prints `answer` once it runs, or stays
/// with it in the `foreground`; gives the code to end with.
pub fn behind(
    which: Which<'_>,
    handed: u32,
    foreground: Option<Foreground>,
    answer: &str,
) -> anyhow::Result<u8> {
    let tell = |line: &str| terminal::tell(format_args!("sublet: {line}"));
    match detach(which, handed, foreground, tell, terminal::tell_warning)? {
        Outcome::Running => terminal::answer(&format!("{answer}\n")).map(|_| 0),
        Outcome::Over(outcome) => Ok(super::attach::code(outcome, answer)),
        Outcome::Failed { report, code } => {
            terminal::tell_report(&report);
            Ok(code)
        }
    }
}

impl RunArgs {
    /// What was typed, as what is meant by it.
    pub fn into_spec(self, caller: &Caller) -> anyhow::Result<Asked> {
        let mut words = self.words.into_iter();
        let root = words.next().context("ROOT is missing")?;
        let root = typed("ROOT", &root, str::parse::<Root>)?;
        let mut words = words.peekable();
        // `ROOT -- COMMAND` is meant as a fence and not as a command.
        words.next_if(|word| word == "--");
        let command: Vec<String> = words.collect();

        let mut spec = Spec::new(ContainerId::from_random(caller.random()?), root);
        let mut warnings = Vec::new();
        self.container.enter(&mut spec)?;
        self.identity.enter(&mut spec)?;
        self.namespaces.enter(&mut spec)?;
        self.ports.enter(&mut spec, self.network.word())?;
        self.network.enter(&mut spec)?;
        self.storage.enter(&mut spec)?;
        self.process.enter(&mut spec, command, caller, &mut warnings)?;
        is_program(&spec)?;
        self.security.enter(&mut spec)?;
        self.limits.enter(&mut spec, caller)?;
        let (detach, keys) = (self.background.detach(), self.background.keys()?);
        let dies_with_parent = self.background.dies_with_parent();
        self.health.enter(&mut spec)?;
        self.background.enter(&mut spec)?;
        let telling = self.telling.into();
        Ok(Asked { spec, telling, detach, dies_with_parent, keys, warnings })
    }
}

/// Whether what is run can be one: options behind ROOT are meant for sublet.
fn is_program(spec: &Spec) -> anyhow::Result<()> {
    let arguments = spec.oci.process().as_ref().and_then(|process| process.args().as_ref());
    match arguments.and_then(|arguments| arguments.first()) {
        Some(word) if word.starts_with('-') => {
            Err(anyhow!("{word:?} is no program")).hint("options of sublet come before ROOT")
        }
        _ => Ok(()),
    }
}

/// Reads `--detach-keys`, of which nothing is none.
pub fn detach_keys(text: &str) -> anyhow::Result<Option<Keys>> {
    match text {
        "" => Ok(None),
        keys => typed("--detach-keys", keys, str::parse).map(Some),
    }
}

/// Reads what was typed for a flag; an error names both.
pub fn typed<T>(
    flag: &str,
    text: &str,
    read: impl FnOnce(&str) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    read(text).with_context(|| format!("{flag} {text:?}"))
}
