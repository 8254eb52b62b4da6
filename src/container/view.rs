//! What `ps` tells of a container.

use std::collections::BTreeMap;

use serde::Serialize;

use super::time::{between, utc};
use super::{pause, port};
use crate::spec::ContainerId;
use crate::state::{End, Life, Moment, Record, Wellness};

/// A container in a list, under the names that docker and podman have for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct View {
    /// The whole id.
    #[serde(rename = "ID")]
    pub id: ContainerId,
    /// Its name, or nothing.
    pub names: String,
    /// Its root; of a directory the whole path.
    pub root: String,
    /// Its command and the arguments, in one line.
    pub command: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// How long ago that was.
    pub running_for: String,
    /// How it is, for people.
    pub status: String,
    /// The same in a word: [`pause::status`].
    pub state: &'static str,
    /// Its ports that the host has, in a line.
    pub ports: String,
    /// What the user says of it.
    pub labels: BTreeMap<String, String>,
    /// Its first process; none where it doesn't run.
    pub pid: Option<i32>,
    /// What it ended with, or its start that failed; none where it did not, or
    /// nobody knows.
    pub exit_code: Option<u8>,
}

impl View {
    /// As it is `now`.
    pub fn of(record: &Record, now: Moment) -> Self {
        let code = match &record.life {
            Life::Exited(exit) => exit.end.code(),
            Life::Created { .. } => record.failed.as_ref().map(|failed| failed.code),
            Life::Running { .. } => None,
            Life::Restarting { exit, .. } => exit.end.code(),
        };
        let state = pause::status(record);
        Self {
            id: record.id.clone(),
            names: record.name.as_ref().map_or_else(String::new, ToString::to_string),
            root: record.asked.root.clone(),
            command: record.asked.command.join(" "),
            created_at: utc(record.created),
            running_for: format!("{} ago", between(record.created, now)),
            status: status(&record.life, now) + more(record, state),
            state,
            ports: port::line(&record.ports),
            labels: record.asked.labels.clone(),
            pid: pid(&record.life),
            exit_code: code,
        }
    }
}

/// The first process, as long as it runs.
pub(super) fn pid(life: &Life) -> Option<i32> {
    match life {
        Life::Running { payload, .. } => Some(payload.pid),
        _ => None,
    }
}

/// What is said of one that runs beside since when, in docker's words.
fn more(record: &Record, state: &str) -> &'static str {
    match (state, &record.health) {
        ("paused", _) => " (Paused)",
        ("running", Some(health)) => match health.status {
            Wellness::Starting => " (health: starting)",
            Wellness::Healthy => " (healthy)",
            Wellness::Unhealthy => " (unhealthy)",
        },
        _ => "",
    }
}

fn status(life: &Life, now: Moment) -> String {
    let exit = match life {
        Life::Created { .. } => return "Created".to_owned(),
        Life::Running { started, .. } => return format!("Up {}", between(*started, now)),
        Life::Restarting { exit, .. } => {
            let (code, ago) = (exit.end.code().unwrap_or(0), between(exit.finished, now));
            return format!("Restarting ({code}) {ago} ago");
        }
        Life::Exited(exit) => exit,
    };
    let ago = format!("{} ago", between(exit.finished, now));
    match (exit.end, exit.end.code()) {
        (_, Some(code)) if exit.usage.oom_killed => format!("Exited ({code}) {ago}, out of memory"),
        (_, Some(code)) => format!("Exited ({code}) {ago}"),
        (End::Reboot, None) => format!("Lost (reboot) {ago}"),
        (_, None) => format!("Lost (launcher killed) {ago}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::state::{Asked, Exit, Identity, Story, Usage};

    const SECOND: u64 = 1_000_000_000;

    /// One that runs since the epoch.
    pub(crate) fn record(id: u8, name: Option<&str>) -> Record {
        let command = vec!["sleep".to_owned(), "600".to_owned()];
        let asked = Asked { root: "host".to_owned(), command, labels: [].into(), limits: None };
        let name = name.map(|name| name.parse().unwrap());
        let mut record = Record::new(ContainerId::from_random([id; 32]), name, asked, None);
        record.created = Moment(0);
        let someone = Identity { boot: String::new(), pid: 7, start: 1 };
        let (launcher, payload) = (someone.clone(), someone);
        record.life = Life::Running { launcher, payload, started: Moment(0) };
        record
    }

    /// The same a minute later.
    pub(crate) fn ended(mut record: Record, end: End) -> Record {
        let (started, finished) = (Some(Moment(0)), Moment(60 * SECOND));
        let (usage, story) = (Usage::default(), Story::default());
        record.life = Life::Exited(Exit { started, finished, end, usage, story });
        record
    }

    /// The same, about to be started again.
    pub(crate) fn restarting(mut record: Record) -> Record {
        let launcher = record.life.launcher().cloned().unwrap();
        let Life::Exited(exit) = ended(record.clone(), End::Code(1)).life else { unreachable!() };
        record.life = Life::Restarting { launcher, exit };
        record
    }

    fn seen(record: &Record) -> View {
        View::of(record, Moment(180 * SECOND))
    }

    #[test]
    fn how_it_is_in_words() {
        let running = record(1, Some("web"));
        assert_eq!(seen(&running).status, "Up 3 minutes");
        let mut asked = running.clone();
        asked.health = Some(crate::state::Health::default());
        assert_eq!(seen(&asked).status, "Up 3 minutes (health: starting)");
        asked.health.as_mut().unwrap().status = Wellness::Healthy;
        assert_eq!(seen(&asked).status, "Up 3 minutes (healthy)");
        assert_eq!(seen(&ended(asked, End::Code(0))).status, "Exited (0) 2 minutes ago");
        assert_eq!((seen(&running).pid, seen(&running).exit_code), (Some(7), None));
        for (end, status, state, code) in [
            (End::Code(0), "Exited (0) 2 minutes ago", "exited", Some(0)),
            (End::Signal(15), "Exited (143) 2 minutes ago", "exited", Some(143)),
            (End::SupervisorLost, "Lost (launcher killed) 2 minutes ago", "supervisor-lost", None),
            (End::Reboot, "Lost (reboot) 2 minutes ago", "reboot", None),
        ] {
            let seen = seen(&ended(running.clone(), end));
            assert_eq!((seen.status.as_str(), seen.state, seen.exit_code), (status, state, code));
            assert_eq!(seen.pid, None);
        }
        let mut killed = ended(running.clone(), End::Signal(9));
        let Life::Exited(exit) = &mut killed.life else { unreachable!() };
        exit.usage.oom_killed = true;
        assert_eq!(seen(&killed).status, "Exited (137) 2 minutes ago, out of memory");
        let mut created = running;
        created.life = Life::Created { launcher: None };
        assert_eq!((seen(&created).status.as_str(), seen(&created).state), ("Created", "created"));
    }

    #[test]
    fn fields_are_dockers() {
        let json = serde_json::to_value(seen(&record(0xab, None))).unwrap();
        assert_eq!(json["ID"], "ab".repeat(32));
        assert_eq!((&json["Names"], &json["Command"]), (&"".into(), &"sleep 600".into()));
        assert_eq!(json["CreatedAt"], "1970-01-01T00:00:00.000000000Z");
        assert_eq!(json["RunningFor"], "3 minutes ago");
        assert_eq!(json["ExitCode"], serde_json::Value::Null);
    }
}
