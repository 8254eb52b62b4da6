//! Running in the background, and how that is kept and ended.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;

use super::typed;
use crate::error::Explain;
use crate::spec::Spec;
use crate::spec::background::{Log, Notify, Restart, Stop};
use crate::spec::health::OnFailure;
use crate::spec::keys::Keys;
use crate::spec::port::Source;
use crate::spec::signal::Signal;

#[derive(Debug, Args)]
#[command(next_help_heading = "Background")]
pub struct BackgroundArgs {
    /// Run it in the background, and print its id
    #[arg(short, long, conflicts_with_all = ["dry_run", "timing"])]
    detach: bool,

    /// Kill it when the process that has called sublet ends
    #[arg(long)]
    die_with_parent: bool,

    /// What is typed to leave one with -it running; '' for nothing [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,

    /// When it is started again: no, on-failure[:N], always, unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,

    /// What ends it, for sublet stop [default: SIGTERM]
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,

    /// Seconds from then to SIGKILL [default: 10]
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<u32>,

    /// Where its output goes in the background: k8s-file or none
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,

    /// How much one file of the log holds [default: 10m]
    #[arg(long, value_name = "SIZE")]
    log_max_size: Option<String>,

    /// How many files there are of it [default: 3]
    #[arg(long, value_name = "NUMBER")]
    log_max_file: Option<String>,

    /// The same in docker's words: max-size=10m, max-file=3
    #[arg(long, value_name = "KEY=VALUE")]
    log_opt: Vec<String>,

    /// Who tells systemd that it is ready: container, conmon, healthy or ignore
    /// [default: container]
    #[arg(long, value_name = "WHO")]
    sdnotify: Option<String>,

    /// Write the process id of its first process to a file
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
}

impl BackgroundArgs {
    /// Whether the caller wants to go on.
    pub fn detach(&self) -> bool {
        self.detach
    }

    /// Whether the caller's end is to be its end.
    pub fn dies_with_parent(&self) -> bool {
        self.die_with_parent
    }

    /// What is typed to leave a container in the foreground; none with `''`.
    pub fn keys(&self) -> anyhow::Result<Option<Keys>> {
        self.detach_keys.as_deref().map_or(Ok(Some(Keys::default())), super::detach_keys)
    }

    /// After all that it may not go with.
    pub fn enter(self, spec: &mut Spec) -> anyhow::Result<()> {
        if let Some(driver) = &self.log_driver {
            spec.beside.log = typed("--log-driver", driver, Log::driver)?;
        }
        // As settings they stand there for every container, with a log or not.
        if let Log::File(rotation) = &mut spec.beside.log {
            if let Some(size) = &self.log_max_size {
                typed("--log-max-size", size, |size| rotation.set_max_size(size))?;
            }
            if let Some(number) = &self.log_max_file {
                typed("--log-max-file", number, |number| rotation.set_max_file(number))?;
            }
        }
        for option in &self.log_opt {
            typed("--log-opt", option, |option| spec.beside.log.option(option))?;
        }
        let notify = self.sdnotify.as_deref();
        let notify =
            notify.map(|who| typed("--sdnotify", who, str::parse::<Notify>)).transpose()?;
        spec.beside.notify = notify.unwrap_or(Notify::Container);
        if spec.beside.notify == Notify::Healthy {
            let told = match &spec.beside.health {
                None => Some("--health-cmd: there is nothing that says so"),
                Some(health) if health.interval == Duration::MAX => {
                    Some("a --health-interval: nobody would ask")
                }
                Some(_) => None,
            };
            if let Some(told) = told {
                return Err(anyhow!("--sdnotify healthy without {told}"))
                    .hint("--health-cmd 'nc -z 127.0.0.1 80' --health-interval 2s");
            }
        }
        let signal = self.stop_signal.as_deref();
        let signal = signal.map(|signal| typed("--stop-signal", signal, str::parse::<Signal>));
        let (signal, timeout) = (signal.transpose()?.map(|signal| signal.0), self.stop_timeout);
        spec.beside.stop = Stop { signal, timeout };
        let pidfile = self.pidfile.map(std::path::absolute).transpose();
        spec.beside.known.pidfile = pidfile.context("--pidfile")?;
        if let Some(policy) = &self.restart {
            spec.beside.restart = typed("--restart", policy, str::parse)?;
        }
        if self.detach && self.die_with_parent {
            return Err(anyhow!("in the background it has no caller who stays"))
                .context("--die-with-parent with --detach")
                .hint("leave one of the two out; in a unit of systemd it ends with that");
        }
        let handed = |port: &crate::spec::port::Port| matches!(port.source, Source::Handed(_));
        if self.detach && spec.beside.ports.iter().any(handed) {
            return Err(anyhow!("a socket that systemd has opened can't be handed on"))
                .context("--detach")
                .hint("a service runs in the background already: leave --detach out");
        }
        if let Some(flag) = again(spec)
            && spec.beside.known.remove
        {
            return Err(anyhow!("{flag} with --rm: what is removed can't be started again"))
                .hint("leave one of the two out");
        }
        Ok(())
    }

    /// Whether what is asked for can be had in the foreground.
    pub fn check(detach: bool, spec: &Spec) -> anyhow::Result<()> {
        match again(spec).filter(|_| !detach) {
            None => Ok(()),
            Some(flag) => {
                Err(anyhow!("{flag} without --detach: who waits for it would not see its end"))
                    .hint(format!("sublet run -d {flag} ... runs it in the background"))
            }
        }
    }
}

/// The flag that asks for it to be started again, if one does.
fn again(spec: &Spec) -> Option<&'static str> {
    let unwell = spec.beside.health.as_ref().map(|health| health.on_failure);
    match spec.beside.restart {
        Restart::No if unwell == Some(OnFailure::Restart) => Some("--health-on-failure restart"),
        Restart::No => None,
        _ => Some("--restart"),
    }
}
