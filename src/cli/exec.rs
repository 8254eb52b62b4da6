//! `sublet exec`: a further program in a container that runs.

use anyhow::{anyhow, bail};
use clap::{ArgAction, Args, ValueEnum};

use super::run::environment::EnvironmentArgs;
use super::run::typed;
use super::terminal;
use crate::container::exec::Target;
use crate::container::record;
use crate::error::Explain;
use crate::host::Host;
use crate::monitor::beside::{LOST, Outcome};
use crate::plan::check_descriptors;
use crate::plan::enter::Ties;
use crate::spec::env::{Environment, Variable};
use crate::spec::keys::Keys;
use crate::spec::sockets::Sockets;
use crate::spec::{Spec, Stdin, UserRequest, process};

/// Run a program in a container that runs
#[derive(Debug, Args)]
#[command(
    disable_help_flag = true,
    override_usage = "sublet exec [OPTIONS] CONTAINER COMMAND [ARG]...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct ExecArgs {
    /// CONTAINER, COMMAND and its arguments: after CONTAINER nothing is ours
    /// any more, whatever it begins with.
    #[arg(value_name = "CONTAINER", num_args = 1.., trailing_var_arg = true, hide = true)]
    words: Vec<String>,

    /// Let it read your standard input
    #[arg(short, long)]
    interactive: bool,

    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,

    /// Run it in the background, without your input and output
    #[arg(short, long)]
    detach: bool,

    #[command(flatten)]
    variables: EnvironmentArgs,

    /// Where it starts [default: where the container's own did]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,

    /// Who runs it, from the root's own /etc/passwd [default: who runs the container's own]
    #[arg(short, long, value_name = "NAME|UID[:GROUP|GID]", allow_negative_numbers = true)]
    user: Option<String>,

    /// Keys that leave its terminal and let it go on: ctrl-p,ctrl-q [default: none]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,

    /// Let it have your open files 3 to 2+N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u32,

    /// Print what would be done: text or json
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text",
        hide_possible_values = true
    )]
    dry_run: Option<Form>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// In what form a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// In words
    Text,
    /// For programs
    Json,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. What follows it belongs to
COMMAND: options of sublet come before it. COMMAND has the user, the directory,
the variables, the rights and the limits of the container's own.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet exec web ps
  sublet exec -it web sh                  a shell in it
  sublet exec -u nobody -w /tmp -e A=b web env
  sublet exec -i web tar -x -C /srv < files.tar

The exit code is the command's; 125: sublet itself failed, 126: the command
cannot be executed, 127: it was not found, 128+n: signal n killed it. If sublet
is killed with SIGKILL the command goes on, unless it has a terminal.";

/// Runs it and gives the code to end with.
pub fn run(args: ExecArgs) -> anyhow::Result<u8> {
    let mut words = args.words.iter();
    let Some(container) = words.next() else {
        return Err(anyhow!("CONTAINER is missing: a name or an id"))
            .hint("sublet ps shows those that run");
    };
    // Before anything of ours is open.
    check_descriptors(args.preserve_fds)?;
    let store = record::store()?;
    let target = Target::find(&store, container)?;
    if args.dry_run.is_none() {
        // Before anything is said: it may start over.
        target.protect_program()?;
    }
    let mut spec = target.spec(&store)?;
    let mut warnings = Vec::new();
    args.enter(&mut spec, &mut warnings)?;
    warnings.iter().for_each(|warning| terminal::tell_warning(warning));
    let ties = if args.detach { Ties::Detached } else { Ties::Attached };
    let keys = args.detach_keys.as_deref();
    let keys = keys.map(|keys| typed("--detach-keys", keys, str::parse::<Keys>)).transpose()?;
    let host = Host::new();
    if let Some(form) = args.dry_run {
        let (entry, _) = target.plan(&spec, ties, &host)?;
        let told = match form {
            Form::Text => entry.to_string(),
            Form::Json => entry.to_json()? + "\n",
        };
        return terminal::answer(&told).map(|_| 0);
    }
    match target.exec(&store, &spec, ties, keys, &host, terminal::tell_warning)? {
        Outcome::Ended(code) => Ok(code),
        Outcome::Left => Ok(0),
        Outcome::Lost => bail!(LOST),
    }
}

impl ExecArgs {
    /// Puts what was typed in the payload's place.
    fn enter(&self, spec: &mut Spec, warnings: &mut Vec<String>) -> anyhow::Result<()> {
        // `CONTAINER -- COMMAND` is meant as a fence and not as a command.
        let mut command = self.words.iter().skip(1).peekable();
        command.next_if(|word| *word == "--");
        let command: Vec<String> = command.cloned().collect();
        if command.is_empty() {
            return Err(anyhow!("COMMAND is missing: what to run in the container"))
                .hint("sublet exec -it CONTAINER sh    is a shell, if it has one");
        }
        if command[0].starts_with('-') {
            return Err(anyhow!("{:?} is no program", command[0]))
                .hint("options of sublet come before CONTAINER");
        }
        spec.hand(&Sockets::default());
        spec.beside.preserve_fds = self.preserve_fds;
        spec.beside.stdin = if self.interactive { Stdin::Inherit } else { Stdin::Null };
        if let Some(user) = &self.user {
            spec.beside.user = Some(typed("--user", user, str::parse::<UserRequest>)?);
        }
        let caller = |name: &str| std::env::var_os(name);
        let asked = spec.process_mut();
        let mut environment = Environment::of(asked.env().as_deref().unwrap_or_default());
        if self.tty {
            let term = caller("TERM").and_then(|term| term.into_string().ok());
            environment.set(Variable::new("TERM", term.as_deref().unwrap_or("xterm")));
        }
        self.variables.enter(&mut environment, &caller, warnings)?;
        asked
            .set_terminal(Some(self.tty))
            .set_args(Some(command))
            .set_env(Some(environment.into_strings()));
        if let Some(workdir) = &self.workdir {
            asked.set_cwd(typed("--workdir", workdir, process::workdir)?);
        }
        Ok(())
    }
}
