//! Which containers are meant: `--filter KEY=VALUE`.
//!
//! Of several filters with one key a container has to pass any, with labels
//! all of them; of several keys, all.

use std::str::FromStr;

use anyhow::{Context, anyhow, bail, ensure};

use super::pause;
use super::time::moment;
use crate::error::Explain;
use crate::state::{Life, Moment, Record};

/// What a container has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Its id begins so.
    Id(String),
    /// Its name has this in it.
    Name(Part),
    /// That is its status.
    Status(&'static str),
    /// It has the label, with that value if one is given.
    Label(String, Option<String>),
    /// It has not.
    NoLabel(String, Option<String>),
    /// It has ended with that code.
    Exited(u8),
    /// Its health checks say that; `none` where it has none.
    Health(&'static str),
    /// It was made before that moment.
    Until(Moment),
}

/// A part of a name: the ends that `^` and `$` bind of a regular expression,
/// and letters between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    text: String,
    first: bool,
    last: bool,
}

const STATUSES: [&str; 7] =
    ["created", "running", "paused", "restarting", "exited", "supervisor-lost", "reboot"];

const HEALTHS: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

impl FromStr for Filter {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (key, value) =
            text.split_once('=').with_context(|| format!("{text:?} is not KEY=VALUE"))?;
        let label = || {
            let (key, value) = match value.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (value, None),
            };
            ensure!(!key.is_empty(), "a label needs a name");
            Ok((key.to_owned(), value))
        };
        Ok(match key {
            "id" => Self::Id(value.to_owned()),
            "name" => Self::Name(value.parse()?),
            "status" => {
                let known = STATUSES.into_iter().find(|status| *status == value);
                Self::Status(known.with_context(|| {
                    format!("{value:?} is not a status: {}", STATUSES.join(", "))
                })?)
            }
            "health" => {
                let known = HEALTHS.into_iter().find(|word| *word == value);
                Self::Health(known.with_context(|| {
                    format!("{value:?} is not how one is: {}", HEALTHS.join(", "))
                })?)
            }
            "label" => label().map(|(key, value)| Self::Label(key, value))?,
            "label!" => label().map(|(key, value)| Self::NoLabel(key, value))?,
            "exited" => Self::Exited(
                value.parse().with_context(|| format!("{value:?} is not an exit code"))?,
            ),
            "until" => Self::Until(moment(value, Moment::now())?),
            _ => {
                return Err(anyhow!("there is no filter {key:?}"))
                    .hint("id, name, status, health, label, label!, exited, until");
            }
        })
    }
}

impl FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (first, rest) = text.strip_prefix('^').map_or((false, text), |rest| (true, rest));
        let (last, rest) = rest.strip_suffix('$').map_or((false, rest), |rest| (true, rest));
        // docker shows names with a slash before them.
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !rest.chars().all(plain) {
            bail!("{text:?} is not a part of a name; of regular expressions there are ^ and $");
        }
        Ok(Self { text: rest.to_owned(), first, last })
    }
}

impl Part {
    fn is_in(&self, name: &str) -> bool {
        match (self.first, self.last) {
            (true, true) => name == self.text,
            (true, false) => name.starts_with(&self.text),
            (false, true) => name.ends_with(&self.text),
            (false, false) => name.contains(&self.text),
        }
    }
}

impl Filter {
    /// Whether it can be meant for containers that have ended, so that they
    /// are to be listed too.
    pub fn is_about_ended(&self) -> bool {
        matches!(self, Self::Status(_) | Self::Exited(_))
    }

    fn passes(&self, record: &Record) -> bool {
        let has = |key: &String, value: &Option<String>| {
            let label = record.asked.labels.get(key);
            label.is_some_and(|label| value.as_ref().is_none_or(|value| value == label))
        };
        match self {
            Self::Id(start) => record.id.as_str().starts_with(start.as_str()),
            Self::Name(part) => record.name.as_ref().is_some_and(|name| part.is_in(name.as_str())),
            Self::Status(status) => pause::status(record) == *status,
            Self::Health(word) => {
                let runs = matches!(record.life, Life::Running { .. });
                let health = record.health.as_ref().filter(|_| runs);
                health.map_or("none", |health| health.status.name()) == *word
            }
            Self::Label(key, value) => has(key, value),
            Self::NoLabel(key, value) => !has(key, value),
            Self::Until(moment) => record.created < *moment,
            Self::Exited(code) => {
                matches!(&record.life, Life::Exited(exit) if exit.end.code() == Some(*code))
            }
        }
    }

    /// Whether one such filter is enough, or all are to be passed.
    fn is_one_of_several(&self) -> bool {
        !matches!(self, Self::Label(..) | Self::NoLabel(..))
    }
}

/// Whether a container passes all that has to be passed.
pub fn pass(filters: &[Filter], record: &Record) -> bool {
    let same = |one: &Filter, other: &Filter| {
        std::mem::discriminant(one) == std::mem::discriminant(other) && one.is_one_of_several()
    };
    filters.iter().all(|filter| {
        filter.passes(record)
            || filters.iter().any(|other| same(filter, other) && other.passes(record))
    })
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{ended, record, restarting};
    use super::*;
    use crate::error::report;
    use crate::state::End;

    fn passes(texts: &[&str], record: &Record) -> bool {
        let filters: Vec<Filter> = texts.iter().map(|text| text.parse().unwrap()).collect();
        pass(&filters, record)
    }

    #[test]
    fn each_key() {
        let mut web = ended(record(0xab, Some("web-1")), End::Code(3));
        web.asked.labels = [("tier", "front"), ("x", "")].map(|(k, v)| (k.into(), v.into())).into();
        for text in [
            "id=abab",
            "id=",
            "name=eb",
            "name=^web",
            "name=-1$",
            "name=^web-1$",
            "name=/web-1",
            "status=exited",
            "exited=3",
            "label=tier",
            "label=tier=front",
            "label=x=",
            "label!=y",
            "label!=tier=back",
            "health=none",
            "until=1970-01-02",
            "until=10m",
        ] {
            assert!(passes(&[text], &web), "{text}");
        }
        for text in [
            "id=cd",
            "name=^eb",
            "name=web$",
            "status=running",
            "exited=0",
            "label=y",
            "label=tier=back",
            "label!=tier",
            "label!=tier=front",
            "health=healthy",
            "until=1970-01-01",
        ] {
            assert!(!passes(&[text], &web), "{text}");
        }
        assert!(!passes(&["name=web"], &record(1, None)));
        assert!(!passes(&["exited=0"], &ended(record(1, None), End::SupervisorLost)));
    }

    #[test]
    fn one_that_is_about_to_be_started_again_has_a_status() {
        let web = restarting(record(1, Some("web")));
        assert!(passes(&["status=restarting"], &web));
        assert!(!passes(&["status=running"], &web) && !passes(&["status=exited"], &web));
    }

    #[test]
    fn any_of_a_key_and_all_keys() {
        let web = record(1, Some("web"));
        assert!(passes(&[], &web));
        assert!(passes(&["name=db", "name=web"], &web));
        assert!(passes(&["status=exited", "status=running", "name=web"], &web));
        assert!(!passes(&["name=web", "status=exited"], &web));
        let mut labelled = web;
        labelled.asked.labels = [("a".to_owned(), String::new())].into();
        assert!(!passes(&["label=a", "label=b"], &labelled), "labels all");
    }

    #[test]
    fn what_is_no_filter_is_told() {
        for (text, word) in [
            ("name", "KEY=VALUE"),
            ("ancestor=x", "status, health, label"),
            ("status=up", "supervisor-lost"),
            ("health=well", "unhealthy"),
            ("exited=x", "exit code"),
            ("name=we?", "^ and $"),
            ("label==x", "a name"),
            ("until=soon", "is not a moment"),
        ] {
            let told = report(&text.parse::<Filter>().unwrap_err());
            assert!(told.contains(word), "{text}: {told}");
        }
    }
}
