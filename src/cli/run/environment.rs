//! Variables, as `run` and `exec` take them.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::typed;
use crate::cli::file;
use crate::spec::env::{Environment, Lookup, Variable};
use crate::spec::env_file;

#[derive(Debug, Args)]
pub struct EnvironmentArgs {
    /// A variable; NAME alone takes your value
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// Variables from a file, one a line, quotes and all
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

impl EnvironmentArgs {
    /// Adds them: those of files first, so that what is typed wins.
    pub fn enter(
        &self,
        environment: &mut Environment,
        caller: Lookup,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        for path in &self.env_file {
            let from = || format!("--env-file {}", path.display());
            let text =
                String::from_utf8(file::read(path)?).context("not UTF-8").with_context(from)?;
            let read = env_file::env_file(&text, caller).with_context(from)?;
            read.variables.into_iter().for_each(|variable| environment.set(variable));
            warnings.extend(read.warnings.iter().map(|text| format!("{}: {text}", from())));
        }
        for text in &self.env {
            let variable = typed("--env", text, |text| Variable::read(text, caller))?;
            variable.into_iter().for_each(|variable| environment.set(variable));
        }
        Ok(())
    }
}
