//! Whether the container is well.

use std::time::Duration;

use anyhow::{anyhow, ensure};
use clap::Args;

use super::typed;
use crate::error::Explain;
use crate::spec::Spec;
use crate::spec::duration::duration;
use crate::spec::health::{self, Health};

#[derive(Debug, Args)]
#[command(next_help_heading = "Health")]
pub struct HealthArgs {
    /// What says in it that it is well: a line for its shell, or a JSON array
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,

    /// From one check to the next; disable for none by itself [default: 30s]
    #[arg(long, value_name = "TIME")]
    health_interval: Option<String>,

    /// How long one may take until it is killed [default: 30s]
    #[arg(long, value_name = "TIME")]
    health_timeout: Option<String>,

    /// How many have to fail in a row [default: 3]
    #[arg(long, value_name = "N")]
    health_retries: Option<u32>,

    /// How long those that fail don't count at first [default: 0s]
    #[arg(long, value_name = "TIME")]
    health_start_period: Option<String>,

    /// The interval in that time [default: 5s]
    #[arg(long, value_name = "TIME")]
    health_start_interval: Option<String>,

    /// What is done if it is not well: none, kill, restart or stop
    #[arg(long, value_name = "ACTION")]
    health_on_failure: Option<String>,

    /// Have no check
    #[arg(long)]
    no_healthcheck: bool,
}

/// docker's least time.
const LEAST: Duration = Duration::from_millis(1);

impl HealthArgs {
    pub fn enter(self, spec: &mut Spec) -> anyhow::Result<()> {
        let said = [
            ("--health-interval", self.health_interval.is_some()),
            ("--health-timeout", self.health_timeout.is_some()),
            ("--health-retries", self.health_retries.is_some()),
            ("--health-start-period", self.health_start_period.is_some()),
            ("--health-start-interval", self.health_start_interval.is_some()),
            ("--health-on-failure", self.health_on_failure.is_some()),
        ];
        let first = said.iter().find(|(_, said)| *said).map(|(flag, _)| *flag);
        let command = self.health_cmd.as_deref();
        if self.no_healthcheck {
            let other = first.or(command.map(|_| "--health-cmd"));
            return match other {
                None => Ok(()),
                Some(flag) => {
                    Err(anyhow!("{flag} with --no-healthcheck")).hint("leave one of the two out")
                }
            };
        }
        let Some(command) = command else {
            return match first {
                None => Ok(()),
                Some(flag) => Err(anyhow!("{flag} without --health-cmd: there is nothing to ask"))
                    .hint("--health-cmd 'nc -z 127.0.0.1 80'"),
            };
        };
        let Some(command) = typed("--health-cmd", command, health::command)? else { return Ok(()) };
        let mut health = Health::new(command);
        // docker's 0 is what holds without the flag.
        let time = |flag, text: &Option<String>, into: &mut Duration| {
            let Some(text) = text else { return Ok(()) };
            let time = typed(flag, text, |text| {
                let time = duration(text)?;
                ensure!(time.is_zero() || time >= LEAST, "it is less than {LEAST:?}");
                Ok(time)
            })?;
            if !time.is_zero() {
                *into = time;
            }
            anyhow::Ok(())
        };
        match self.health_interval.as_deref() {
            Some("disable") => health.interval = Duration::MAX,
            _ => time("--health-interval", &self.health_interval, &mut health.interval)?,
        }
        time("--health-timeout", &self.health_timeout, &mut health.timeout)?;
        time("--health-start-period", &self.health_start_period, &mut health.start_period)?;
        time("--health-start-interval", &self.health_start_interval, &mut health.start_interval)?;
        if let Some(retries) = self.health_retries.filter(|retries| *retries > 0) {
            health.retries = retries;
        }
        if let Some(action) = &self.health_on_failure {
            health.on_failure = typed("--health-on-failure", action, str::parse)?;
        }
        spec.beside.health = Some(health);
        Ok(())
    }
}
