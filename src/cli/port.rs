//! `sublet port`: published ports, and their change while a container runs.

use anyhow::anyhow;
use clap::{ArgAction, Args, Subcommand};
use serde_json::Value;

use super::run::typed;
use super::template::Template;
use super::terminal;
use crate::container::port::{View, change, list};
use crate::container::record;
use crate::control::Request;
use crate::error::{EXIT_CONTAINER, Explain};
use crate::spec::port;
use crate::state::PublishedPort;

/// Show or change the published ports of a container
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet port [OPTIONS] CONTAINER [PORT[/PROTOCOL]]\n       \
                      sublet port add CONTAINER -p [[IP:]HOST:]PORT[/udp]...\n       \
                      sublet port rm CONTAINER [[IP:]HOST:]PORT[/udp]...",
    help_template = HELP,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct PortArgs {
    #[command(subcommand)]
    change: Option<Change>,

    /// A name, an id or the beginning of one
    #[arg(value_name = "CONTAINER", hide = true)]
    container: Option<String>,

    /// A port of the container: 80, 80/tcp, 53/udp
    #[arg(value_name = "PORT", hide = true)]
    port: Option<String>,

    /// text, json (an array), jsonl (a line a port), or fields: {{.HostPort}}
    #[arg(short, long, value_name = "FORM", default_value = "text", hide_default_value = true)]
    format: String,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum Change {
    Add(AddArgs),
    Rm(RmArgs),
}

/// Publish more ports of a running container
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet port add CONTAINER -p [[IP:]HOST:]PORT[/udp]...",
    after_help = "\
All are published or none, and what was bound is printed. As at the start, that
is 127.0.0.1 if no IP is given, and any free port if no HOST."
)]
struct AddArgs {
    /// A name, an id or the beginning of one
    #[arg(value_name = "CONTAINER", hide = true)]
    container: Option<String>,

    /// As for sublet run; may be repeated
    #[arg(
        short = 'p',
        long = "publish",
        value_name = "[[IP:]HOST:]PORT[/udp]",
        allow_hyphen_values = true
    )]
    publish: Vec<String>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// Publish ports of a running container no longer
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet port rm CONTAINER [[IP:]HOST:]PORT[/udp]...",
    after_help = "\
PORT alone is meant wherever it is published, 8080:80 where that is port 8080 of
127.0.0.1. All are freed or none. Connections that are there go on."
)]
struct RmArgs {
    /// A name, an id or the beginning of one
    #[arg(value_name = "CONTAINER", hide = true)]
    container: Option<String>,

    /// What is published no longer
    #[arg(value_name = "PORT", hide = true)]
    ports: Vec<String>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

CONTAINER is a name, an id or the beginning of one. Services see the addresses of
their clients where it says \"clients kept\", and one of the container's where it
says \"clients masked\": sublet's documentation has the reasons.

{options}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet port web                         80/tcp -> 127.0.0.1:8080  clients masked
  sublet port web 80                      127.0.0.1:8080
  sublet port --format json web           for a program
  sublet port add web -p 0.0.0.0:8443:443
  sublet port rm web 443

The exit code is 1 if the container or the port is not there, or a port can't be
had.";

enum Format {
    Text,
    Json,
    Jsonl,
    Fields(Template),
}

impl Format {
    fn read(text: &str) -> anyhow::Result<Self> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "jsonl" => Ok(Self::Jsonl),
            _ => Template::read(text).map(Self::Fields),
        }
    }

    fn text(&self, ports: &[PublishedPort], told: Told) -> anyhow::Result<String> {
        let values: Vec<Value> = ports
            .iter()
            .map(|port| serde_json::to_value(View::from(port)))
            .collect::<Result<_, _>>()?;
        match self {
            Self::Text => Ok(ports.iter().map(|port| line(port, told) + "\n").collect()),
            Self::Json => Ok(terminal::pretty_json(&values)? + "\n"),
            Self::Jsonl => Ok(values.iter().map(|value| format!("{value}\n")).collect()),
            Self::Fields(template) => {
                let lines = values.iter().map(|value| Ok(template.fill(value)? + "\n"));
                lines.collect::<anyhow::Result<String>>()
            }
        }
    }
}

/// What a line says.
#[derive(Clone, Copy)]
enum Told {
    /// All of it.
    All,
    /// Where clients connect: what `docker port` prints of one port.
    Host,
}

/// As docker has it; what we have more is behind that.
fn line(port: &PublishedPort, told: Told) -> String {
    match told {
        Told::Host => port.host.to_string(),
        Told::All => format!(
            "{}/{} -> {}  clients {}",
            port.container, port.protocol, port.host, port.client
        ),
    }
}

/// Shows or changes them, and gives the code to end with.
pub fn run(args: PortArgs) -> anyhow::Result<u8> {
    let format = typed("--format", &args.format, Format::read)?;
    let (request, container) = match args.change {
        Some(Change::Add(args)) => {
            if args.publish.is_empty() {
                return Err(anyhow!("-p is missing: which ports"))
                    .hint("sublet port add CONTAINER -p 8080:80");
            }
            for text in &args.publish {
                typed("--publish", text, port::publish)?;
            }
            (Request::Publish(args.publish), args.container)
        }
        Some(Change::Rm(args)) => {
            if args.ports.is_empty() {
                return Err(anyhow!("PORT is missing: which ports"))
                    .hint("sublet port rm CONTAINER 80");
            }
            for text in &args.ports {
                typed("PORT", text, port::publish)?;
            }
            (Request::Withdraw(args.ports), args.container)
        }
        None => {
            let container = named(args.container)?;
            let shown = shown(&container, args.port.as_deref());
            let (ports, told) = shown.exits_with(EXIT_CONTAINER)?;
            terminal::answer(&format.text(&ports, told)?)?;
            return Ok(0);
        }
    };
    let container = named(container)?;
    let changed = record::store().and_then(|store| change(&store, &container, &request));
    let changed = changed.exits_with(EXIT_CONTAINER)?;
    if matches!(request, Request::Publish(_)) {
        terminal::answer(&Format::Text.text(&changed, Told::All)?)?;
    }
    Ok(0)
}

fn shown(container: &str, port: Option<&str>) -> anyhow::Result<(Vec<PublishedPort>, Told)> {
    let ports = list(&record::store()?.find(container)?, port)?;
    Ok((ports, if port.is_some() { Told::Host } else { Told::All }))
}

fn named(container: Option<String>) -> anyhow::Result<String> {
    let missing = container.ok_or_else(|| anyhow!("CONTAINER is missing: a name or an id"));
    missing.hint("sublet ps shows those that run")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::port::tests::published;

    fn text(form: &str, port: Option<&str>) -> String {
        let told = if port.is_some() { Told::Host } else { Told::All };
        let ports = list(&published(), port).unwrap();
        Format::read(form).unwrap().text(&ports, told).unwrap()
    }

    #[test]
    fn people_get_dockers_lines_and_one_column_more() {
        assert_eq!(
            text("text", None),
            "53/udp -> 127.0.0.1:5353  clients masked\n\
             80/tcp -> 127.0.0.1:8080  clients masked\n\
             80/tcp -> [::1]:8080  clients masked\n\
             443/tcp -> 0.0.0.0:8443  clients kept\n"
        );
        assert_eq!(text("text", Some("80")), "127.0.0.1:8080\n[::1]:8080\n");
    }

    #[test]
    fn programs_get_json_or_fields() {
        let array: Value = serde_json::from_str(&text("json", None)).unwrap();
        assert_eq!(
            (&array[0]["HostPort"], &array[3]["ClientAddress"]),
            (&5353.into(), &"kept".into())
        );
        assert_eq!(text("jsonl", None).lines().count(), 4);
        assert_eq!(text("{{.HostIp}} {{.HostPort}}", Some("443")), "0.0.0.0 8443\n");
        assert!(Format::read("yaml").is_err());
    }
}
