//! `sublet-oci`: the command line of an OCI runtime, which is runc's.
//!
//! The same program under another name. Engines read its errors: their words,
//! and where they are told ([`log`]), are part of what it is.

mod args;
mod exec;
mod log;
mod template;
mod update;
mod words;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Parser;

use super::columns::{aligned, plain};
use super::terminal::{Reader, answer};
use crate::container::oci::create::Create;
use crate::container::oci::delete::Force;
use crate::container::oci::events::Seen;
use crate::container::oci::features::features;
use crate::container::oci::kill::Whom;
use crate::container::oci::{Runtime, absent, id, wait};
use crate::container::run::protect_program_for_good;
use crate::container::top;
use crate::error::{EXIT_CONTAINER, Explain};
use crate::host::Host;
use crate::spec::ContainerId;
use crate::spec::duration::duration;
use crate::spec::oci::Engine;
use crate::spec::resources::control::Cgroups;
use args::{Cli, Create as CreateArgs, Events, Format, Ps, Verb};
use log::{Log, Stderr, Tongue};

/// What `exec` ends with where the program does not run, as runc has it.
const EXIT_EXEC: u8 = 255;

/// What it is called.
const NAME: &str = "sublet-oci";

/// Whether this is how the program was called.
pub fn is_called(name: Option<OsString>) -> bool {
    let name = name.unwrap_or_default();
    Path::new(&name).file_name() == Some(OsStr::new(NAME))
}

/// Runs the command line of this process. Ends with 0, with 1 where something
/// failed (`exec`: 255), and `run` and `exec` in the foreground with the program's
/// own code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads to its end is no failure.
            _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_CONTAINER } else { 0 });
        }
    };
    let stderr = match cli.verb {
        Verb::Create(_) | Verb::Run(_) | Verb::Exec(_) => Stderr::Containers,
        _ => Stderr::Ours,
    };
    let tongue = match cli.verb {
        Verb::Update(_) => Tongue::Flags,
        _ => Tongue::Configuration,
    };
    let log = Log::open(cli.log.as_deref(), cli.log_format.into(), stderr, tongue);
    let failed = if matches!(cli.verb, Verb::Exec(_)) { EXIT_EXEC } else { EXIT_CONTAINER };
    match run(cli, &log) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log.error(&error);
            ExitCode::from(failed)
        }
    }
}

fn run(cli: Cli, log: &Log) -> anyhow::Result<u8> {
    let root = cli.root.as_deref();
    let runtime = || Runtime::open(root);
    // Whoever only asks for a container makes no directory for others.
    let having = |id: &ContainerId| Runtime::look(root)?.map_or_else(|| absent(id), Ok);
    let cgroups = cli.cgroups();
    match cli.verb {
        Verb::Create(args) => {
            protect_program_for_good()?;
            create(&runtime()?, args, cgroups, log).map(|_| 0)
        }
        Verb::Run(args) => {
            protect_program_for_good()?;
            let (runtime, id) = (runtime()?, id(&args.create.id)?);
            let payload = create(&runtime, args.create, cgroups, log)?;
            let delete = || runtime.delete(&id, Force::Yes, |error| log.warn_of(error));
            if let Err(error) = runtime.start(&id, &Host::new()) {
                delete().unwrap_or_else(|error| log.warn_of(&error));
                // It is our child.
                let _ = wait::stay(payload);
                return Err(error);
            }
            if args.detach {
                return Ok(0);
            }
            let code = wait::stay(payload);
            if !args.keep {
                delete()?;
            }
            code
        }
        Verb::Start(args) => {
            let id = id(&args.id)?;
            having(&id)?.start(&id, &Host::new()).map(|()| 0)
        }
        Verb::State(args) => {
            let id = id(&args.id)?;
            answer(&having(&id)?.state(&id)?).map(|_| 0)
        }
        Verb::Kill(args) => {
            let signal =
                args.signal.parse().with_context(|| format!("signal {:?}", args.signal))?;
            let whom = if args.all { Whom::All } else { Whom::First };
            let id = id(&args.id)?;
            having(&id)?.kill(&id, signal, whom).map(|()| 0)
        }
        Verb::Delete(args) => {
            let force = if args.force { Force::Yes } else { Force::No };
            let id = id(&args.id)?;
            match (Runtime::look(root)?, force) {
                (Some(runtime), _) => runtime.delete(&id, force, |error| log.warn_of(error))?,
                (None, Force::Yes) => {}
                (None, Force::No) => return absent(&id),
            }
            Ok(0)
        }
        Verb::List(args) => list(Runtime::look(root)?, args.format, args.quiet, log),
        Verb::Ps(args) => {
            let id = id(&args.id)?;
            ps(&having(&id)?, &id, &args)
        }
        Verb::Spec(args) => template::write(args.bundle.as_deref()).map(|()| 0),
        Verb::Features => answer(&(serde_json::to_string_pretty(&features())? + "\n")).map(|_| 0),
        Verb::Exec(args) => {
            protect_program_for_good()?;
            let exec = args.read()?;
            having(&exec.id)?.exec(exec, &Host::new(), |note| log.warn(note))
        }
        Verb::Pause(args) => {
            let id = id(&args.id)?;
            having(&id)?.pause(&id).map(|()| 0)
        }
        Verb::Resume(args) => {
            let id = id(&args.id)?;
            having(&id)?.resume(&id).map(|()| 0)
        }
        Verb::Update(args) => {
            let id = id(&args.id)?;
            having(&id)?.update(&id, args.read()?, &Host::new()).map(|()| 0)
        }
        Verb::Events(args) => {
            let id = id(&args.id)?;
            events(&having(&id)?, &id, &args)
        }
    }
}

/// Prints figures once or until the container is over.
fn events(runtime: &Runtime, id: &ContainerId, args: &Events) -> anyhow::Result<u8> {
    let interval = duration(&args.interval).context("--interval")?;
    let mut seen = Seen::default();
    loop {
        let Some(events) = runtime.events(id, &mut seen)? else { return Ok(0) };
        for event in events {
            if answer(&format!("{event}\n"))? == Reader::Gone {
                return Ok(0);
            }
        }
        if args.stats || !runtime.lasts(id, interval)? {
            return Ok(0);
        }
    }
}

fn create(
    runtime: &Runtime,
    args: CreateArgs,
    cgroups: Cgroups,
    log: &Log,
) -> anyhow::Result<nix::unistd::Pid> {
    if args.no_pivot {
        return Err(anyhow!("--no-pivot: without pivot_root the container could find its way out"))
            .hint("leave it out: the root needs no place of its own to be pivoted to");
    }
    let create = Create {
        id: id(&args.id)?,
        bundle: args.bundle,
        console_socket: args.console_socket,
        pid_file: args.pid_file,
        engine: Engine { cgroups, preserve_fds: args.preserve_fds },
    };
    runtime.create(&create, &Host::new(), |note| log.warn(note))
}

fn list(runtime: Option<Runtime>, format: Format, quiet: bool, log: &Log) -> anyhow::Result<u8> {
    let lines = runtime.map(|runtime| runtime.list(|error| log.warn_of(error))).transpose()?;
    let lines = lines.unwrap_or_default();
    let text = match format {
        _ if quiet => lines.iter().map(|line| format!("{}\n", line.id)).collect(),
        Format::Json => serde_json::to_string(&lines)? + "\n",
        Format::Table => {
            let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED"].map(str::to_owned);
            let row = |line: crate::container::oci::list::Line| {
                let status = line.status.word().to_owned();
                let bundle = plain(&line.bundle);
                vec![line.id, line.pid.to_string(), status, bundle, line.created]
            };
            let rows: Vec<_> =
                [head.to_vec()].into_iter().chain(lines.into_iter().map(row)).collect();
            aligned(&rows)
        }
    };
    answer(&text).map(|_| 0)
}

fn ps(runtime: &Runtime, id: &ContainerId, args: &Ps) -> anyhow::Result<u8> {
    let pids = runtime.pids(id)?;
    let text = match args.format {
        Format::Json if !args.options.is_empty() => {
            return Err(anyhow!("--format json is a list of pids: it takes no options of ps"))
                .hint("sublet-oci ps ID -o pid,args shows more of each");
        }
        Format::Json => serde_json::to_string(&pids)? + "\n",
        Format::Table if !args.options.is_empty() => {
            top::ps(&args.options, &pids.into_iter().collect())?
        }
        Format::Table => {
            let rows = pids.iter().map(|pid| format!("{pid}\n"));
            ["PID\n".to_owned()].into_iter().chain(rows).collect()
        }
    };
    answer(&text).map(|_| 0)
}
