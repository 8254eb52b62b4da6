//! A container's id, and its name.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// A name that is safe as one path component, in a hostname's place and on a
/// helper's command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// A new id: 64 hexadecimal digits from `random`, as the field has them.
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What people read: the first twelve characters of a random id, the whole
    /// of any that is shorter.
    pub fn short(&self) -> &str {
        if self.0.len() < 64 { &self.0 } else { &self.0[..12] }
    }

    /// True for one of sixteen: whoever starts that one does what has to be
    /// done once in a while, and takes longer the more containers there are.
    pub fn has_turn(&self) -> bool {
        self.0.ends_with('0')
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerId {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let first = text.chars().next().context("a container name cannot be empty")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        ensure!(
            first.is_ascii_alphanumeric() && text.chars().all(plain),
            "{text:?} is not a container name: letters, digits and _.- only, a letter or digit first"
        );
        ensure!(
            text.len() <= 64,
            "a container name has at most 64 characters, this one {}",
            text.len()
        );
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ContainerId {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

/// What a person calls a container: written as an id is, beside which it
/// stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(ContainerId);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Name {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for text in
            ["", ".", "..", "a/../x", "-rf", "a\nb", "a\u{1b}[2J", "a\0", "é", &"x".repeat(65)]
        {
            assert!(text.parse::<ContainerId>().is_err(), "{text:?} was taken");
        }
        for text in ["a", "web-1", "0.b_c", &"x".repeat(64)] {
            assert_eq!(text.parse::<ContainerId>().unwrap().as_str(), text);
        }
    }
}
