//! What is told about a run, beside running it.

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::spec::Spec;

/// Where these flags, and `--help`, stand in the help.
pub const HEADING: &str = "Telling";

#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct TellingArgs {
    /// Print what would be done: text, json, or oci for what was asked as a config.json
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text",
        hide_possible_values = true
    )]
    dry_run: Option<DryRun>,

    /// Print where the time went, after the run
    #[arg(long)]
    timing: bool,
}

/// What to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Print instead of running.
    pub dry_run: Option<DryRun>,
    /// Print where the time went.
    pub timing: bool,
}

/// In what form a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// The plan in words
    Text,
    /// The plan for programs
    Json,
    /// What was asked for, as config.json of the OCI runtime specification
    Oci,
}

impl From<TellingArgs> for Telling {
    fn from(args: TellingArgs) -> Self {
        Self { dry_run: args.dry_run, timing: args.timing }
    }
}

/// The config.json of what was asked for. Sets are sorted, so that equal specs
/// read equally.
pub fn oci(spec: &Spec) -> anyhow::Result<String> {
    let mut json = serde_json::to_value(&spec.oci).context("write the OCI specification")?;
    if let Some(Value::Object(sets)) = json.pointer_mut("/process/capabilities") {
        for set in sets.values_mut().filter_map(Value::as_array_mut) {
            set.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
        }
    }
    Ok(format!("{json:#}\n"))
}
