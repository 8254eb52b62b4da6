//! Whether a container is well: a command in it that says so, and when it is
//! asked.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

/// How a container is asked. The defaults are docker's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The command and its arguments: 0 means that it is well.
    pub command: Vec<String>,
    /// From the end of one check to the next, and from the start to the first.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// How many have to fail in a row.
    pub retries: u32,
    /// How long those that fail do not count after the start.
    pub start_period: Duration,
    /// The interval in that time, until one has succeeded.
    pub start_interval: Duration,
    /// What is done with one that is not well.
    pub on_failure: OnFailure,
}

/// What is done with a container that is not well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It is only told.
    #[default]
    None,
    /// It is killed; then `--restart` says.
    Kill,
    /// It is stopped and started again.
    Restart,
    /// It is stopped.
    Stop,
}

impl Health {
    /// Asks by this command, at docker's times.
    pub fn new(command: Vec<String>) -> Self {
        Self {
            command,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            retries: 3,
            start_period: Duration::ZERO,
            start_interval: Duration::from_secs(5),
            on_failure: OnFailure::None,
        }
    }
}

impl OnFailure {
    /// podman's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Stop => "stop",
        }
    }
}

impl FromStr for OnFailure {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let all = [Self::None, Self::Kill, Self::Restart, Self::Stop];
        match all.into_iter().find(|known| known.name() == text) {
            Some(known) => Ok(known),
            None => bail!("it is not none, kill, restart or stop"),
        }
    }
}

/// Reads `--health-cmd`: a line for the container's shell, a JSON array with or
/// without docker's first word, or `none`.
///
/// # Errors
/// What names no command.
pub fn command(text: &str) -> anyhow::Result<Option<Vec<String>>> {
    let shell = |line: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()];
    let mut words = match serde_json::from_str::<Vec<String>>(text) {
        Ok(words) => words,
        Err(error) if begins_an_array(text) => {
            return Err(error).context("it begins like a JSON array of strings but is none");
        }
        Err(_) => {
            ensure!(!text.trim().is_empty(), "it is empty");
            return Ok((text != "none").then(|| shell(text)));
        }
    };
    match words.first().map(String::as_str) {
        Some("NONE") => return Ok(None),
        Some("CMD") => _ = words.remove(0),
        Some("CMD-SHELL") => words = shell(&words[1..].join(" ")),
        _ => {}
    }
    ensure!(words.first().is_some_and(|word| !word.is_empty()), "it names no command");
    Ok(Some(words))
}

/// Whether a bracket at the beginning is JSON's: that of a shell's test, `[ -e
/// /up ]` or `[[ -e /up ]]`, has a blank or another one behind it.
fn begins_an_array(text: &str) -> bool {
    let behind = text.trim_start().strip_prefix('[');
    behind.is_some_and(|behind| !behind.starts_with(|c: char| c.is_whitespace() || c == '['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_in_each_form() {
        let read = |text: &str| command(text).unwrap();
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(
            read("nc -z :: 80 || exit 1"),
            words(&["/bin/sh", "-c", "nc -z :: 80 || exit 1"])
        );
        assert_eq!(read(r#"["CMD","a","b c"]"#), words(&["a", "b c"]));
        assert_eq!(read(r#"["a","b"]"#), words(&["a", "b"]));
        assert_eq!(read(r#"["CMD-SHELL","a | b"]"#), words(&["/bin/sh", "-c", "a | b"]));
        assert_eq!(read("[ -e /up ]"), words(&["/bin/sh", "-c", "[ -e /up ]"]));
        assert_eq!(read(r#"[ "$A" = b ]"#), words(&["/bin/sh", "-c", r#"[ "$A" = b ]"#]));
        assert_eq!(read("[[ -e /up ]]"), words(&["/bin/sh", "-c", "[[ -e /up ]]"]));
        assert_eq!((read("none"), read(r#"["NONE"]"#)), (None, None));
        for text in ["", " ", "[]", r#"["CMD"]"#, r#"[""]"#, r#"["CMD", "true""#, "['true']", "[1]"]
        {
            assert!(command(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn words_for_what_is_done() {
        for word in ["none", "kill", "restart", "stop"] {
            assert_eq!(word.parse::<OnFailure>().unwrap().name(), word);
        }
        assert!("pause".parse::<OnFailure>().is_err());
    }
}
