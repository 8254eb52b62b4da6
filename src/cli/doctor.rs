//! `sublet doctor`: what this machine allows, why not, and what helps.

mod page;

use clap::{ArgAction, Args};
use serde_json::json;

use super::run::Caller;
use super::terminal;
use crate::doctor::{self, Report, ci, script};
use crate::host::Host;

/// Show what this machine allows, why not, and what helps
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet doctor [OPTIONS]",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct DoctorArgs {
    /// For a program
    #[arg(long)]
    json: bool,

    /// A shell script for root that mends what is lacking here
    #[arg(long, conflicts_with_all = ["json", "ci"])]
    fix_script: bool,

    /// The rungs that a job of CI can stand on here, and a line for each
    #[arg(long)]
    ci: bool,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

It tries all that a container needs, in children that are thrown away: nothing
is left, root is not needed, and it takes a second at most, unless something
hangs. The exit code is 0 if all is there, 1 if containers run with less, and 2
if they don't run.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet doctor                           a page for you
  sublet doctor --fix-script > fix.sh     what root can do, to be read and run
  sublet doctor --ci                      what a job of CI can count on
  sublet doctor --json | jq -r '.findings[] | select(.verdict != \"ok\") | .id'

docs/troubleshooting.md has all that it can say.";

/// Looks, prints, and gives the code to end with.
pub fn run(args: DoctorArgs) -> anyhow::Result<u8> {
    let report = doctor::examine(&Host::new(), Caller::here().random()?)?;
    let text = match (args.json, args.fix_script, args.ci) {
        (true, _, true) => serde_json::to_string_pretty(&ci::rungs(&report))? + "\n",
        (true, ..) => json(&report)?,
        (_, true, _) => script::script(&report),
        (_, _, true) => page::rungs(&report),
        _ => page::page(&report, terminal::Paint::for_answers()),
    };
    terminal::answer(&text)?;
    Ok(report.verdict.code())
}

fn json(report: &Report) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(report)?;
    value["version"] = env!("CARGO_PKG_VERSION").into();
    value["exit_code"] = json!(report.verdict.code());
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}
