//! `sublet events`: what happens to containers.

use std::os::fd::AsFd;
use std::str::FromStr;

use anyhow::{Context, anyhow};
use clap::{ArgAction, Args};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::columns::plain;
use super::run::typed;
use super::template::Template;
use super::terminal::{self, Reader};
use crate::container::events::{Event, Follower};
use crate::container::record;
use crate::container::time::moment;
use crate::error::{Explain, causes};
use crate::state::{Moment, nearest};
use crate::sys::Errno;

/// Show what happens to containers
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet events [OPTIONS]",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct EventsArgs {
    /// Only those: event, container or label; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,

    /// json (a line each), or fields: {{.Action}}
    #[arg(long, value_name = "FORM")]
    format: Option<String>,

    /// What has happened since then, too: 10m, 2026-01-31T12:00:00Z
    #[arg(long, value_name = "MOMENT")]
    since: Option<String>,

    /// Until then, and no longer
    #[arg(long, value_name = "MOMENT")]
    until: Option<String>,

    /// Go on with what comes [default: true]
    #[arg(long, value_name = "BOOL", default_missing_value = "true", num_args = 0..=1,
          require_equals = true, hide_possible_values = true)]
    stream: Option<bool>,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

Events are create, start, kill, die, stop, oom, pause, unpause, update, rename,
destroy, health_status, exec_create, exec_start, exec_detach, exec_die, attach and
detach, under docker's names and with its fields. What has been is read from the
records that there still are, and what comes from their changes. ctrl-C ends it.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet events                           from now on
  sublet events --since 1h --until 0s     of the last hour, and no further
  sublet events --filter event=die --format '{{.Actor.Attributes.name}}'
  sublet events --filter container=web --filter event=exec_die
  sublet events --format json             for a program

What a container without a record does is not seen, nor what was done to one
that has been removed; the code of one that ends with --rm is told while somebody
looks on.";

/// The events that there are, without what is told behind a colon.
const ACTIONS: [&str; 18] = [
    "attach",
    "create",
    "destroy",
    "detach",
    "die",
    "exec_create",
    "exec_detach",
    "exec_die",
    "exec_start",
    "health_status",
    "kill",
    "oom",
    "pause",
    "rename",
    "start",
    "stop",
    "unpause",
    "update",
];

/// Those of docker's and podman's that nothing here brings about: who waits for
/// them beside others waits well.
const NEVER: [&str; 19] = [
    "checkpoint",
    "cleanup",
    "commit",
    "connect",
    "copy",
    "disconnect",
    "export",
    "import",
    "init",
    "mount",
    "prune",
    "refresh",
    "resize",
    "restart",
    "restore",
    "sync",
    "top",
    "umount",
    "unmount",
];

/// The event that is meant, by docker's word or podman's.
fn action(word: &str) -> anyhow::Result<&str> {
    let (action, _) = word.split_once(':').unwrap_or((word, ""));
    match action {
        "remove" => Ok("destroy"),
        "died" => Ok("die"),
        "exec" => Ok("exec_start"),
        "exec_died" => Ok("exec_die"),
        _ if ACTIONS.contains(&action) || NEVER.contains(&action) => Ok(word),
        _ => Err(anyhow!("there is no event {action:?}")).hint(match nearest(action, &ACTIONS) {
            Some(near) => format!("there is {near}"),
            None => ACTIONS.join(", "),
        }),
    }
}

/// What an event has to be.
enum Filter {
    /// Of that type, as all are.
    Type,
    Action(String),
    Container(String),
    Label(String, Option<String>),
}

impl FromStr for Filter {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (key, value) =
            text.split_once('=').with_context(|| format!("{text:?} is not KEY=VALUE"))?;
        Ok(match key {
            "event" => Self::Action(action(value)?.to_owned()),
            "container" => Self::Container(value.to_owned()),
            "label" => match value.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(value.to_owned(), None),
            },
            "type" if value == "container" => Self::Type,
            _ => {
                return Err(anyhow!("there is no filter {key:?}"))
                    .hint("event, container, label, and type=container");
            }
        })
    }
}

impl Filter {
    fn passes(&self, event: &Event) -> bool {
        let attributes = &event.actor.attributes;
        match self {
            Self::Type => true,
            Self::Action(action) => {
                // Without what is told behind it, as docker has it.
                let word = event.action.split_once(':').map_or(&*event.action, |(word, _)| word);
                event.action == *action || word == action
            }
            Self::Container(word) => {
                event.id.starts_with(word.as_str()) || attributes.get("name") == Some(word)
            }
            Self::Label(key, value) => attributes
                .get(key)
                .is_some_and(|label| value.as_ref().is_none_or(|value| value == label)),
        }
    }
}

/// Of those with one key any is enough, but for labels.
fn pass(filters: &[Filter], event: &Event) -> bool {
    let same = |one: &Filter, other: &Filter| {
        std::mem::discriminant(one) == std::mem::discriminant(other)
            && !matches!(one, Filter::Label(..))
    };
    filters.iter().all(|filter| {
        filter.passes(event)
            || filters.iter().any(|other| same(filter, other) && other.passes(event))
    })
}

enum Format {
    Text,
    Json,
    Fields(Template),
}

impl Format {
    fn line(&self, event: &Event) -> anyhow::Result<String> {
        Ok(match self {
            Self::Text => plain(&event.line()),
            Self::Json => terminal::json(event)?,
            Self::Fields(template) => {
                terminal::shown(template.fill(&serde_json::to_value(event)?)?)
            }
        } + "\n")
    }
}

/// Shows them, and gives the code to end with.
pub fn run(args: EventsArgs) -> anyhow::Result<u8> {
    let now = Moment::now();
    let read = |flag: &str, text: &Option<String>| {
        text.as_deref().map(|text| typed(flag, text, |text| moment(text, now))).transpose()
    };
    let (since, until) = (read("--since", &args.since)?, read("--until", &args.until)?);
    let format = match args.format.as_deref() {
        None => Format::Text,
        Some("json" | "jsonl" | "{{json .}}") => Format::Json,
        Some(text) => Format::Fields(typed("--format", text, Template::read)?),
    };
    let filters = args.filter.iter().map(|text| typed("--filter", text, str::parse));
    let filters: Vec<Filter> = filters.collect::<anyhow::Result<_>>()?;
    let (mut follower, listing) = Follower::new(&record::store()?)?;
    for problem in &listing.problems {
        terminal::tell_warning(&causes(problem));
    }
    let show = |events: Vec<Event>| -> anyhow::Result<Reader> {
        let lines = events
            .iter()
            .filter(|event| pass(&filters, event))
            .filter(|event| until.is_none_or(|until| event.at() <= until))
            .map(|event| format.line(event))
            .collect::<anyhow::Result<String>>()?;
        if lines.is_empty() { Ok(Reader::There) } else { terminal::answer(&lines) }
    };
    let mut been = follower.past();
    // A start and an end in the past may ask for nothing that comes.
    been.retain(|event| since.is_some_and(|since| event.at() >= since));
    let mut reader = show(been)?;
    let stays = args.stream.unwrap_or(true);
    while stays && reader == Reader::There {
        let left = until.map(|until| until.0.saturating_sub(Moment::now().0));
        if left == Some(0) {
            break;
        }
        wait(&follower, left)?;
        reader = show(follower.events()?)?;
    }
    Ok(0)
}

/// Until something has happened, or so many nanoseconds have passed.
fn wait(follower: &Follower, left: Option<u64>) -> anyhow::Result<()> {
    let left = left.map(|left| i32::try_from(left.div_ceil(1_000_000)).unwrap_or(i32::MAX));
    let left = left.and_then(|left| left.try_into().ok()).unwrap_or(PollTimeout::NONE);
    match poll(&mut [PollFd::new(follower.as_fd(), PollFlags::POLLIN)], left) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno).context("wait for events"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::hint;

    #[test]
    fn an_event_that_never_comes_is_refused() {
        for (word, meant) in [
            ("die", "die"),
            ("died", "die"),
            ("remove", "destroy"),
            ("exec", "exec_start"),
            ("exec_start: sh", "exec_start: sh"),
            ("health_status: healthy", "health_status: healthy"),
            ("restart", "restart"),
        ] {
            assert_eq!(action(word).unwrap(), meant);
        }
        let refused = |word| hint(&action(word).unwrap_err()).unwrap().to_owned();
        assert_eq!(refused("strat"), "there is start");
        assert!(refused("bogus").starts_with("attach, create, "));
    }
}
