//! `sublet info`: what holds here, and who said so.

use clap::{ArgAction, Args};
use serde_json::{Value, json};

use super::columns::{aligned, plain};
use super::config;
use super::run::Caller;
use super::terminal;
use crate::container::run::plan;
use crate::host::Host;
use crate::spec::{ContainerId, Root, Spec};
use crate::state::Directory;

/// Show settings and who made them, paths, and what a run gets here
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet info [OPTIONS]",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct InfoArgs {
    /// For a program
    #[arg(long)]
    json: bool,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

A setting is a flag of sublet run, without its dashes, below a line [run] of
~/.config/sublet/config.toml (or $XDG_CONFIG_HOME/sublet/config.toml), or for
everybody of /etc/sublet/config.toml. The command line comes before both.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet info
  sublet info --json | jq -r .settings.network.origin

A file of settings:
  [run]
  network = \"auto\"
  memory = \"2g\"
  publish-address = \"0.0.0.0\"";

/// Shows it.
pub fn run(args: InfoArgs) -> anyhow::Result<u8> {
    let value = info()?;
    let text = match args.json {
        true => terminal::pretty_json(&value)? + "\n",
        false => page(&value),
    };
    terminal::answer(&text).map(|_| 0)
}

fn info() -> anyhow::Result<Value> {
    let files = config::files(|name| std::env::var_os(name));
    let made = config::settings(&files)?;
    made.iter().try_for_each(config::check)?;
    let settings = config::KEYS.iter().map(|key| {
        let value = match made.iter().find(|setting| setting.key == key.name) {
            Some(setting) => json!({
                "value": setting.value,
                "origin": format!("{}:{}", setting.file.display(), setting.line),
            }),
            None => json!({ "value": key.default, "origin": "default" }),
        };
        (key.name.to_owned(), value)
    });
    let settings: serde_json::Map<_, _> = settings.collect();
    let host = Host::new();
    let state = match Directory::find("sublet") {
        Ok(directory) => json!(directory.path().display().to_string()),
        Err(_) => Value::Null,
    };
    let read: Vec<_> =
        files.iter().map(|file| (file.display().to_string(), file.exists())).collect();
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "program": host.gates().program.display().to_string(),
        "state": state,
        "config": read.iter().map(|(path, there)| json!({ "path": path, "there": there }))
            .collect::<Vec<_>>(),
        "settings": settings,
        "rungs": rungs(&host)?,
    }))
}

/// What a run without a wish gets here.
fn rungs(host: &Host) -> anyhow::Result<Value> {
    let id = ContainerId::from_random(Caller::here().random()?);
    Ok(match plan(&Spec::new(id, Root::Host), host) {
        Ok(plan) => json!({
            "ids": plan.outline.idmap.to_string(),
            "network": plan.network.to_string(),
            "namespaces": plan.outline.namespaces.names(),
            "notes": plan.notes,
        }),
        Err(error) => json!({ "error": crate::error::causes(&error) }),
    })
}

fn page(value: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => plain(text),
        Value::Null => "none: sublet doctor says why".to_owned(),
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let mut rows = vec![
        vec!["version".to_owned(), text(&value["version"])],
        vec!["program".to_owned(), text(&value["program"])],
        vec!["state".to_owned(), text(&value["state"])],
    ];
    for file in value["config"].as_array().into_iter().flatten() {
        let there = if file["there"] == true { "" } else { " (not there)" };
        rows.push(vec!["config".to_owned(), text(&file["path"]) + there]);
    }
    let rungs = &value["rungs"];
    for name in ["ids", "network", "namespaces", "error"] {
        if !rungs[name].is_null() {
            rows.push(vec![name.to_owned(), text(&rungs[name])]);
        }
    }
    for note in rungs["notes"].as_array().into_iter().flatten() {
        rows.push(vec!["less".to_owned(), text(note)]);
    }
    let mut settings = vec![["SETTING", "VALUE", "ORIGIN"].map(str::to_owned).to_vec()];
    for key in config::KEYS {
        let setting = &value["settings"][key.name];
        settings.push(vec![key.name.to_owned(), text(&setting["value"]), text(&setting["origin"])]);
    }
    aligned(&rows) + "\n" + &aligned(&settings)
}
