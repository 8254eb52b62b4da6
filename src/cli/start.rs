//! `sublet start` and `sublet restart`: containers that run, or run anew.

use std::time::Duration;

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::attach::code;
use super::run::behind;
use super::staying::StayingArgs;
use super::terminal;
use crate::container::attach::{Foreground, Wanted, attach};
use crate::container::detach::Which;
use crate::container::record;
use crate::container::run::protect_program;
use crate::container::signal::stop;
use crate::error::{EXIT_CONTAINER, EXIT_LAUNCHER, Explain};
use crate::plan::check_descriptors;
use crate::spec::sockets::Sockets;
use crate::state::{Afterwards, Life, Record, Store};

/// Start containers that have ended, or were only prepared
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet start [OPTIONS] CONTAINER...",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct StartArgs {
    /// Names or ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    /// Show what it says from its first word on, and end with its code
    #[arg(short, long)]
    attach: bool,

    /// The same, and let it read your standard input
    #[arg(short, long)]
    interactive: bool,

    #[command(flatten)]
    staying: StayingArgs,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. It runs in the background, as
it was asked for when it was made; sublet logs shows what it says. One that runs
is left as it is. With -a or -i it is one, and you stay with it as sublet attach
does: whatever ends you, it runs on, but for signals that are passed on to it.
Sockets that systemd hands on (LISTEN_FDS) are the container's, if it is one.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet start web
  sublet start web db
  sublet start -ai shell                  its terminal, which ctrl-p ctrl-q leaves

The exit code is 1 if one of them is not there, and that of sublet run if one
could not be started; with -a or -i the container's, or 0 if you have left it.";

/// Stop containers and start them again
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet restart [OPTIONS] CONTAINER...",
    help_template = HELP_RESTART,
    after_help = EXAMPLES_RESTART
)]
pub struct RestartArgs {
    /// Names or ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    /// Seconds between its stop signal and SIGKILL [default: its --stop-timeout, else 10]
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS")]
    time: Option<u32>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP_RESTART: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. One that does not run is only
started. It runs in the background then. One that runs with --rm is left as it is:
nothing is left of it to be started again.

{all-args}{after-help}";

const EXAMPLES_RESTART: &str = "\
Examples:
  sublet restart web
  sublet restart -t 60 db                 a minute to write everything down

The exit code is 1 if one of them is not there or does not end.";

/// Starts each, and gives the code to end with.
pub fn run(args: StartArgs) -> anyhow::Result<u8> {
    if args.attach || args.interactive {
        return attached(&args);
    }
    let sockets = sockets(&args.containers)?;
    each(&args.containers, |store, word| match store.find(word)?.life {
        Life::Running { .. } | Life::Restarting { .. } => {
            terminal::answer(&format!("{word}\n")).map(|_| 0)
        }
        _ => again(store, word, &sockets, None),
    })
}

/// Starts one and stays with it, and gives the code to end with.
fn attached(args: &StartArgs) -> anyhow::Result<u8> {
    let keys = args.staying.keys()?;
    let (input, proxy) = (args.interactive, args.staying.sig_proxy);
    if args.containers.len() > 1 {
        return Err(anyhow!("--attach and --interactive take one container"))
            .hint("without them sublet start starts several, and sublet attach goes to one");
    }
    let sockets = sockets(&args.containers)?;
    each(&args.containers, |store, word| {
        let record = store.find(word)?;
        match record.life {
            Life::Running { .. } | Life::Restarting { .. } => {
                let wanted = Wanted { input, keys: keys.clone(), proxy };
                Ok(code(attach(store, &record, wanted)?, word))
            }
            _ => {
                let foreground = Foreground { input, keys: keys.clone(), ends: false, proxy };
                again(store, word, &sockets, Some(foreground))
            }
        }
    })
}

/// Stops each and starts it again, and gives the code to end with.
pub fn run_restart(args: RestartArgs) -> anyhow::Result<u8> {
    let patience = args.time.map(|seconds| Duration::from_secs(seconds.into()));
    let sockets = sockets(&args.containers)?;
    each(&args.containers, |store, word| {
        let record = store.find(word)?;
        outlives_its_stop(&record)?;
        stop(store, &record, None, patience)?;
        again(store, word, &sockets, None)
    })
}

/// Insists that there is something to be started again once it has been
/// stopped.
fn outlives_its_stop(record: &Record) -> anyhow::Result<()> {
    if record.afterwards == Afterwards::Remove && record.life.launcher().is_some() {
        let label = record.label();
        let hint = format!(
            "sublet stop {label}, then the same sublet run; without --rm it could be restarted"
        );
        return Err(anyhow!("container {label} is removed as soon as it ends: --rm")).hint(hint);
    }
    Ok(())
}

/// Starts one that is known. Whether it is still, only the start itself can
/// tell: others may have removed it meanwhile.
fn again(
    store: &Store,
    word: &str,
    sockets: &Sockets,
    foreground: Option<Foreground>,
) -> anyhow::Result<u8> {
    let code = behind(Which::Known(word, sockets), sockets.count, foreground, word)?;
    let is_gone = code == EXIT_LAUNCHER && store.seek(word)?.is_none();
    Ok(if is_gone { EXIT_CONTAINER } else { code })
}

/// Those of a service manager that the one container is to have.
fn sockets(containers: &[String]) -> anyhow::Result<Sockets> {
    let sockets = Sockets::read(&|name| std::env::var_os(name), std::process::id());
    if sockets.count > 0 && containers.len() > 1 {
        return Err(anyhow!("the sockets of LISTEN_FDS are for one container"))
            .hint("start each by a command of its own, those without by env -u LISTEN_FDS");
    }
    // Before anything of ours is open, which might have their numbers.
    check_descriptors(sockets.count)?;
    Ok(sockets)
}

/// Does `act` to each, which gives a code; what goes wrong with one keeps it
/// from no other.
fn each(
    containers: &[String],
    act: impl Fn(&Store, &str) -> anyhow::Result<u8>,
) -> anyhow::Result<u8> {
    if containers.is_empty() {
        return Err(anyhow!("CONTAINER is missing: a name or an id"))
            .hint("sublet ps -a shows those that are known");
    }
    protect_program()?;
    let store = record::store()?;
    let mut code = 0;
    for word in containers {
        match act(&store, word) {
            Ok(0) => {}
            Ok(failed) => code = failed,
            Err(error) => {
                terminal::tell_error(&error);
                code = EXIT_CONTAINER;
            }
        }
    }
    Ok(code)
}
