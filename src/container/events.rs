//! `sublet events`: what happens to containers, told without anybody who would
//! have to be there all the time.
//!
//! A record holds the moments of a container's life; so what has been is read
//! from the records that there are, and what comes is the difference between a
//! record as it was and as it is. What a command asks for is in the record
//! before it is done, and the kernel tells by the files of a control group when
//! that is frozen or has run out of memory. Who enters a container or goes to it
//! changes no record, and writes that down beside it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use serde::Serialize;

use super::time::utc;
use crate::spec::ContainerId;
use crate::spec::signal::Signal;
use crate::state::happening::{Happening, Seen, What};
use crate::state::{Change, Life, Listing, Moment, Record, Request, Store, Watch};

/// Something that has happened, under docker's names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// docker's former word for it.
    pub status: String,
    /// The container's id.
    pub id: String,
    /// Its root: what an image is there.
    pub from: String,
    /// Always `container`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// What has happened: `create`, `start`, `die`, …
    #[serde(rename = "Action")]
    pub action: String,
    /// Whom it has happened to.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// Always `local`.
    pub scope: &'static str,
    /// Seconds since 1970.
    pub time: u64,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub time_nano: u64,
}

/// A container, and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Actor {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its labels, `name`, `root`, and what belongs to the event.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    fn new(record: &Record, action: &str, at: Moment, more: &[(&str, String)]) -> Self {
        let mut attributes = record.asked.labels.clone();
        let name = record.name.as_ref().map(|name| ("name", name.to_string()));
        let root = ("root", record.asked.root.clone());
        let all = name.into_iter().chain([root]).chain(more.iter().cloned());
        attributes.extend(all.map(|(key, value)| (key.to_owned(), value)));
        let id = record.id.to_string();
        Self {
            status: action.to_owned(),
            id: id.clone(),
            from: record.asked.root.clone(),
            kind: "container",
            action: action.to_owned(),
            actor: Actor { id, attributes },
            scope: "local",
            time: at.0 / 1_000_000_000,
            time_nano: at.0,
        }
    }

    /// When it happened.
    pub fn at(&self) -> Moment {
        Moment(self.time_nano)
    }

    /// In a line, as docker writes it.
    pub fn line(&self) -> String {
        let attributes = self.actor.attributes.iter();
        let attributes: Vec<String> =
            attributes.map(|(key, value)| format!("{key}={value}")).collect();
        let (at, list) = (utc(self.at()), attributes.join(", "));
        format!("{at} container {} {} ({list})", self.action, self.id)
    }
}

/// What has happened to a container between `before`, if it was known, and
/// `after`, as far as the records tell.
fn between(before: Option<&Record>, after: &Record) -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |action: &str, at: Moment, more: &[(&str, String)]| {
        events.push(Event::new(after, action, at, more));
    };
    let now = Moment::now();
    if before.is_none() {
        add("create", after.created, &[]);
    }
    if let Some(before) = before.filter(|before| before.name != after.name) {
        let old = before.name.as_ref().map_or_else(String::new, ToString::to_string);
        add("rename", now, &[("oldName", old)]);
    }
    let started = |record: &Record| match &record.life {
        Life::Running { started, .. } => Some(*started),
        Life::Restarting { exit, .. } | Life::Exited(exit) => exit.started,
        Life::Created { .. } => None,
    };
    if let Some(at) = started(after).filter(|at| before.and_then(started) != Some(*at)) {
        add("start", at, &[]);
    }
    let asked = after.request.as_ref();
    let new_request =
        asked.filter(|it| before.and_then(|before| before.request.as_ref()) != Some(it));
    if let Some(Request { at, signal, .. }) = new_request {
        add("kill", *at, &[("signal", signal.to_string())]);
    }
    let limits = |record: &Record| record.asked.limits.clone();
    if before.is_some_and(|before| limits(before) != limits(after)) {
        add("update", now, &[]);
    }
    let health = |record: &Record| record.health.as_ref().map(|health| health.status);
    if let Some(known) = &after.health
        && before.and_then(health).unwrap_or_default() != known.status
        && let Some(last) = known.log.last()
    {
        add(&format!("health_status: {}", known.status.name()), last.end, &[]);
    }
    let failed = |record: &Record| record.failed.clone();
    if let Some(failure) = failed(after).filter(|it| before.and_then(failed).as_ref() != Some(it)) {
        let more = [("exitCode", failure.code.to_string()), ("error", failure.error)];
        add("die", failure.at, &more);
    }
    // One that is started again has ended all the same, and only once.
    let over = |record: &Record| match &record.life {
        Life::Restarting { exit, .. } | Life::Exited(exit) => Some(exit.started),
        _ => None,
    };
    if let Life::Restarting { exit, .. } | Life::Exited(exit) = &after.life
        && before.and_then(over) != Some(exit.started)
    {
        if exit.usage.oom_killed {
            add("oom", exit.finished, &[]);
        }
        let mut more = vec![("status", after.life.status().to_owned())];
        more.extend(exit.end.code().map(|code| ("exitCode", code.to_string())));
        if let crate::state::End::Signal(number) = exit.end {
            more.push(("signal", Signal(number).to_string()));
        }
        if let Some(started) = exit.started {
            let lasted = exit.finished.0.saturating_sub(started.0) / 1_000_000_000;
            more.push(("execDuration", lasted.to_string()));
        }
        add("die", exit.finished, &more);
        if asked.is_some_and(|request| request.verb == "stop") {
            add("stop", exit.finished, &[]);
        }
    }
    events
}

/// The events of what has happened with a container: of a program that enters
/// it there are two, as there are for docker, who makes it first.
fn of(record: &Record, happening: &Happening) -> Vec<Event> {
    let at = happening.at;
    let program = |action: &str, exec: &str, more: Option<(&str, String)>| {
        let more = [("execID", exec.to_owned())].into_iter().chain(more);
        Event::new(record, action, at, &more.collect::<Vec<_>>())
    };
    match &happening.what {
        What::ExecStart { exec, command } => ["exec_create", "exec_start"]
            .map(|action| program(&format!("{action}: {command}"), exec, None))
            .into(),
        What::ExecDie { exec, code } => {
            vec![program("exec_die", exec, code.map(|code| ("exitCode", code.to_string())))]
        }
        What::ExecDetach { exec } => vec![program("exec_detach", exec, None)],
        What::Attach => vec![Event::new(record, "attach", at, &[])],
        What::Detach => vec![Event::new(record, "detach", at, &[])],
    }
}

/// What has happened to the containers that are still known, as their records
/// tell.
fn recorded(listing: &Listing) -> impl Iterator<Item = Event> {
    listing.records.iter().flat_map(|record| between(None, record))
}

/// What has been, and what comes.
pub struct Follower {
    store: Store,
    watch: Watch,
    known: HashMap<ContainerId, Known>,
    past: Vec<Event>,
}

/// A container as it was when it was last looked at.
struct Known {
    record: Record,
    paused: bool,
    /// How many of its processes were killed for want of memory.
    oom_kills: u64,
    /// What else has happened with it, as far as that was read.
    seen: Seen,
    /// Programs that have entered it and not ended.
    inside: BTreeSet<String>,
}

impl Known {
    /// The events of these.
    fn hear(&mut self, happenings: &[Happening]) -> Vec<Event> {
        for happening in happenings {
            match &happening.what {
                What::ExecStart { exec, .. } => _ = self.inside.insert(exec.clone()),
                What::ExecDie { exec, .. } => _ = self.inside.remove(exec),
                What::ExecDetach { .. } | What::Attach | What::Detach => {}
            }
        }
        happenings.iter().flat_map(|happening| of(&self.record, happening)).collect()
    }

    /// The events of the last, before it is removed. What else was said of the
    /// ends of those who are still inside has gone with it.
    fn hear_last(&mut self, happenings: &[Happening], now: Moment) -> Vec<Event> {
        let mut events = self.hear(happenings);
        let gone = |exec| Happening { at: now, what: What::ExecDie { exec, code: None } };
        let gone: Vec<_> = std::mem::take(&mut self.inside).into_iter().map(gone).collect();
        events.append(&mut self.hear(&gone));
        events
    }
}

impl Follower {
    /// From now on; `listing` is what was there before.
    ///
    /// # Errors
    /// Where the records can't be watched.
    pub fn new(store: &Store) -> anyhow::Result<(Self, Listing)> {
        // Watched first, so that nothing is missed between.
        let watch = Watch::new(store)?;
        let listing = store.list()?;
        let (store, known) = (store.clone(), HashMap::new());
        let mut follower = Self { store, watch, known, past: recorded(&listing).collect() };
        for record in &listing.records {
            let mut happened = Vec::new();
            follower.learn(record.clone(), &mut happened)?;
            follower.past.append(&mut happened);
        }
        follower.past.sort_by_key(Event::at);
        Ok((follower, listing))
    }

    /// What has happened before, in its order, to the containers that are still
    /// known.
    pub fn past(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.past)
    }

    /// What has happened since the last time.
    ///
    /// # Errors
    /// Where the records can't be watched any more.
    pub fn events(&mut self) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::new();
        for change in self.watch.changes()? {
            match change {
                Change::Changed(id) => self.look(&id, &mut events)?,
                // What is left of an attempt to make it is put away as well; by
                // now there may be another that has come further.
                Change::Removed(id, _) if self.is_there(&id) => self.look(&id, &mut events)?,
                Change::Removed(id, code) => self.removed(&id, code, &mut events),
                Change::Any => {
                    for id in self.known.keys().cloned().collect::<Vec<_>>() {
                        self.look(&id, &mut events)?;
                    }
                    for record in self.store.list()?.records {
                        self.look(&record.id, &mut events)?;
                    }
                }
            }
        }
        Ok(events)
    }

    fn look(&mut self, id: &ContainerId, events: &mut Vec<Event>) -> anyhow::Result<()> {
        let mut new = Vec::new();
        let looked = self.compare(id, &mut new);
        new.sort_by_key(Event::at);
        events.append(&mut new);
        looked
    }

    fn compare(&mut self, id: &ContainerId, events: &mut Vec<Event>) -> anyhow::Result<()> {
        // Before it is read, so that no change is missed.
        self.watch.add(&self.store, id)?;
        // What can't be read is for others to tell; what is gone is told by
        // its directory's new name.
        let Ok(Some(record)) = self.store.seek(id.as_str()) else { return Ok(()) };
        if record.id != *id {
            return Ok(());
        }
        let before = self.known.get(id);
        events.extend(between(before.map(|known| &known.record), &record));
        let (paused, oom_kills) = state_of(&record);
        let now = Moment::now();
        if let Some(before) = before {
            if before.paused != paused && matches!(record.life, Life::Running { .. }) {
                let action = if paused { "pause" } else { "unpause" };
                events.push(Event::new(&record, action, now, &[]));
            }
            if oom_kills > before.oom_kills {
                events.push(Event::new(&record, "oom", now, &[]));
            }
        }
        self.learn(record, events)
    }

    fn learn(&mut self, record: Record, events: &mut Vec<Event>) -> anyhow::Result<()> {
        self.watch.add(&self.store, &record.id)?;
        if matches!(record.life, Life::Running { .. }) {
            for file in files(&record) {
                self.watch.add_file(&file, &record.id)?;
            }
        }
        let (paused, oom_kills) = state_of(&record);
        let before = self.known.remove(&record.id);
        let (mut seen, inside) =
            before.map(|before| (before.seen, before.inside)).unwrap_or_default();
        let happenings = self.store.happenings(&record.id, &mut seen);
        let mut known = Known { record, paused, oom_kills, seen, inside };
        events.append(&mut known.hear(&happenings));
        self.known.insert(known.record.id.clone(), known);
        Ok(())
    }

    /// Whether a container that is known has a record still.
    fn is_there(&self, id: &ContainerId) -> bool {
        let Some(known) = self.known.get(id) else { return false };
        let found = self.store.seek(id.as_str()).ok().flatten();
        found.is_some_and(|it| it.id == *id && it.created == known.record.created)
    }

    fn removed(&mut self, id: &ContainerId, code: Option<u8>, events: &mut Vec<Event>) {
        let Some(mut known) = self.known.remove(id) else { return };
        let happenings = self.store.last_happenings(id, code, &mut known.seen);
        let now = Moment::now();
        events.append(&mut known.hear_last(&happenings, now));
        let Known { record, .. } = known;
        if let Life::Running { .. } = record.life {
            let code = code.map(|code| ("exitCode", code.to_string()));
            events.push(Event::new(&record, "die", now, code.as_slice()));
        }
        events.push(Event::new(&record, "destroy", now, &[]));
    }
}

/// Ready to be read once something has happened.
impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

/// The files of its control group that tell of changes: cgroup.events of what
/// is frozen, and memory.events.
fn files(record: &Record) -> Vec<PathBuf> {
    let Some(place) = &record.place else { return Vec::new() };
    vec![place.cgroup.join("payload/cgroup.events"), place.cgroup.join("memory.events")]
}

/// Whether it is paused, and how many of its processes memory has cost so far.
fn state_of(record: &Record) -> (bool, u64) {
    let texts: Vec<String> =
        files(record).iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect();
    let number = |text: Option<&String>, key: &str| {
        let line = text?.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
        line.parse::<u64>().ok()
    };
    let frozen = number(texts.first(), "frozen") == Some(1);
    (frozen, number(texts.get(1), "oom_kill").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{ended, record};
    use super::*;
    use crate::state::{End, Failed};

    fn actions(before: Option<&Record>, after: &Record) -> Vec<String> {
        between(before, after).into_iter().map(|event| event.action).collect()
    }

    #[test]
    fn a_record_tells_its_whole_life() {
        let mut web = ended(record(0xab, Some("web")), End::Signal(15));
        web.asked.labels = [("tier".to_owned(), "front".to_owned())].into();
        let at = Moment(59_000_000_000);
        web.request = Some(Request { at, verb: "stop".to_owned(), signal: 15, pid: 77 });
        assert_eq!(actions(None, &web), ["create", "start", "kill", "die", "stop"]);
        let listing = Listing { records: vec![web.clone()], problems: Vec::new() };
        let events: Vec<Event> = recorded(&listing).collect();
        let die = events.iter().find(|event| event.action == "die").unwrap();
        let id = "ab".repeat(32);
        assert_eq!(
            die.line(),
            format!(
                "1970-01-01T00:01:00.000000000Z container die {id} (execDuration=60, exitCode=143, \
                 name=web, root=host, signal=SIGTERM, status=exited, tier=front)"
            )
        );
        let json = serde_json::to_value(die).unwrap();
        assert_eq!((&json["Type"], &json["Action"]), (&"container".into(), &"die".into()));
        assert_eq!(json["Actor"]["Attributes"]["exitCode"], "143");
        assert_eq!((&json["time"], &json["timeNano"]), (&60.into(), &60_000_000_000_u64.into()));
    }

    #[test]
    fn programs_that_enter_it_are_told_as_docker_does() {
        let web = record(1, Some("web"));
        let told = |what: What| of(&web, &Happening { at: Moment(7), what });
        let (exec, command) = ("ef".to_owned(), "ls -l".to_owned());
        let started = told(What::ExecStart { exec: exec.clone(), command });
        let actions: Vec<_> = started.iter().map(|event| event.action.as_str()).collect();
        assert_eq!(actions, ["exec_create: ls -l", "exec_start: ls -l"]);
        assert_eq!(started[1].actor.attributes["execID"], "ef");
        let died = told(What::ExecDie { exec: exec.clone(), code: Some(3) });
        let attributes = &died[0].actor.attributes;
        assert_eq!((&*attributes["exitCode"], &*attributes["name"]), ("3", "web"));
        let lost = told(What::ExecDie { exec, code: None });
        assert!(!lost[0].actor.attributes.contains_key("exitCode"));
        assert_eq!(told(What::Detach)[0].action, "detach");
    }

    #[test]
    fn whoever_is_inside_when_it_goes_has_ended() {
        let (seen, inside) = (Seen::default(), BTreeSet::new());
        let record = record(1, Some("web"));
        let mut known = Known { record, paused: false, oom_kills: 0, seen, inside };
        let start = |exec: &str| What::ExecStart { exec: exec.to_owned(), command: "x".to_owned() };
        let at = |what| Happening { at: Moment(7), what };
        known.hear(&[at(start("a")), at(start("b"))]);
        let die = What::ExecDie { exec: "a".to_owned(), code: Some(3) };
        let told = known.hear_last(&[at(die)], Moment(8));
        let told: Vec<_> = told
            .iter()
            .map(|event| (event.action.as_str(), event.actor.attributes.get("exitCode").cloned()))
            .collect();
        assert_eq!(told, [("exec_die", Some("3".to_owned())), ("exec_die", None)]);
        assert_eq!(known.hear_last(&[], Moment(9)), []);
    }

    #[test]
    fn only_what_is_new_is_told() {
        let running = record(1, Some("web"));
        assert!(actions(Some(&running), &running).is_empty());
        assert_eq!(actions(Some(&running), &ended(running.clone(), End::Code(0))), ["die"]);
        let mut created = running.clone();
        created.life = Life::Created { launcher: None };
        assert_eq!(actions(Some(&created), &running), ["start"]);
        let mut failed = created.clone();
        failed.failed =
            Some(Failed { at: Moment(1), code: 127, error: "no".to_owned(), hint: None });
        assert_eq!(actions(Some(&created), &failed), ["die"]);
        let mut renamed = running.clone();
        renamed.name = Some("www".parse().unwrap());
        let told = between(Some(&running), &renamed);
        assert_eq!(told[0].actor.attributes["oldName"], "web");
        let mut limited = running.clone();
        limited.asked.limits = Some(Default::default());
        assert_eq!(actions(Some(&running), &limited), ["update"]);
        let mut asked = running.clone();
        let mut health = crate::state::Health::default();
        let (start, end) = (Moment(1), Moment(2));
        let checked = crate::state::Checked { start, end, code: 0, output: String::new() };
        health.note(checked, 1, false);
        asked.health = Some(health);
        assert_eq!(actions(Some(&running), &asked), ["health_status: healthy"]);
        assert!(actions(Some(&asked), &asked).is_empty());
        let mut killed = ended(running.clone(), End::Signal(9));
        let Life::Exited(exit) = &mut killed.life else { unreachable!() };
        exit.usage.oom_killed = true;
        assert_eq!(actions(Some(&running), &killed), ["oom", "die"]);
    }
}
