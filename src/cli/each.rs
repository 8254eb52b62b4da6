//! The verbs that do the same thing to each container they are given.

use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use clap::Args;

use super::file;
use super::run::typed;
use super::terminal;
use crate::container::filter::{Filter, pass};
use crate::container::record;
use crate::error::{EXIT_CONTAINER, Explain, causes};
use crate::state::{Record, Store};

/// Which containers are meant.
#[derive(Debug, Args)]
pub struct Which {
    /// Names or ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,

    /// All to which it can be done
    #[arg(short, long)]
    all: bool,

    /// Only those: id, name, status, health, label, label!, exited or until; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,

    /// The newest
    #[arg(short, long)]
    latest: bool,

    /// The one whose id is in this file, as --cidfile of run has made it
    #[arg(long, value_name = "FILE")]
    cidfile: Vec<PathBuf>,

    /// One that is not there is no error
    #[arg(short, long)]
    ignore: bool,
}

/// What is done where one is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It is an error.
    Refused,
    /// A warning is enough.
    Told,
    /// Nothing.
    Ignored,
}

impl Which {
    /// What is done where one is not there.
    pub fn absent(&self) -> Absent {
        if self.ignore { Absent::Ignored } else { Absent::Refused }
    }

    /// The words that mean them; `able` are those that "all" is about.
    fn words(&self, store: &Store, able: impl Fn(&Record) -> bool) -> anyhow::Result<Vec<String>> {
        let listed = self.all || self.latest || !self.filter.is_empty();
        let named = !self.containers.is_empty() || !self.cidfile.is_empty();
        ensure!(!(listed && named), "CONTAINER beside --all, --latest or --filter: one is enough");
        ensure!(!(self.all && self.latest), "--all and --latest: one is enough");
        if !listed && !named {
            return Err(anyhow!("CONTAINER is missing: a name or an id"))
                .hint("sublet ps shows those that run, sublet ps -a all that are known");
        }
        let mut words = self.containers.clone();
        for path in &self.cidfile {
            let bytes = file::read(path).context("--cidfile")?;
            words.push(String::from_utf8_lossy(bytes.trim_ascii()).into_owned());
        }
        if !listed {
            return Ok(words);
        }
        let filters = self.filter.iter().map(|text| typed("--filter", text, str::parse));
        let filters: Vec<Filter> = filters.collect::<anyhow::Result<_>>()?;
        let listing = store.list()?;
        for problem in &listing.problems {
            terminal::tell_warning(&causes(problem));
        }
        let mut chosen = listing.records.iter().filter(|record| pass(&filters, record));
        let word = |record: &Record| match &record.name {
            Some(name) => name.to_string(),
            None => record.id.to_string(),
        };
        Ok(match self.latest {
            true => chosen.next_back().map(word).into_iter().collect(),
            false => chosen.filter(|record| able(record)).map(word).collect(),
        })
    }
}

/// Does `act` to each, and prints what it answers. What goes wrong with one
/// keeps it from no other; gives the code to end with. `able` are those that
/// `--all` is about.
pub fn each(
    which: &Which,
    absent: Absent,
    able: impl Fn(&Record) -> bool,
    mut act: impl FnMut(&Store, &Record) -> anyhow::Result<Option<String>>,
) -> anyhow::Result<u8> {
    let store = record::store()?;
    let words = which.words(&store, able)?;
    let mut code = 0;
    for word in &words {
        let found = match absent {
            Absent::Refused => store.find(word).map(Some),
            Absent::Told | Absent::Ignored => store.seek(word),
        };
        let done = match found {
            Ok(Some(record)) => act(&store, &record).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match done {
            Ok(Some(answer)) => {
                let answer = answer.as_deref().unwrap_or(word);
                _ = terminal::answer(&format!("{answer}\n"))?;
            }
            Ok(None) if absent == Absent::Told => {
                terminal::tell_warning(&format!("there is no container {word}"));
            }
            Ok(None) => {}
            Err(error) => {
                terminal::tell_error(&error);
                code = EXIT_CONTAINER;
            }
        }
    }
    Ok(code)
}
