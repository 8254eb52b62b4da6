//! What others are to know of a container, and for how long.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::ensure;
use serde::{Deserialize, Serialize};

/// What is written down of a container beside its id and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The record goes with the container: `--rm`.
    pub remove: bool,
    /// The container that has the name is removed first: `--replace`.
    pub replace: bool,
    /// The file that gets the id: `--cidfile`.
    pub cidfile: Option<PathBuf>,
    /// The file that gets the id of its first process: `--pidfile`.
    pub pidfile: Option<PathBuf>,
    /// What the user says of it: `--label`.
    pub labels: BTreeMap<String, String>,
}

impl Known {
    /// Whether something of this is for others to find.
    pub fn is_asked(&self) -> bool {
        self.cidfile.is_some() || !self.labels.is_empty()
    }
}

/// Reads `KEY=VALUE`, or `KEY` alone, whose value is empty.
pub fn label(text: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    ensure!(!key.is_empty(), "a label needs a name before the =");
    ensure!(
        !key.contains(|c: char| c.is_control() || c == ' '),
        "{key:?} is not the name of a label: it has a blank or a control character"
    );
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for (text, key, value) in
            [("a=b", "a", "b"), ("a", "a", ""), ("com.x/y=1=2", "com.x/y", "1=2")]
        {
            assert_eq!(label(text).unwrap(), (key.to_owned(), value.to_owned()), "{text}");
        }
        for text in ["", "=", "=b", "a b=c", "a\n=c", "\u{1b}[2J"] {
            assert!(label(text).is_err(), "{text:?} was taken");
        }
    }
}
