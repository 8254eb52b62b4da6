//! Users and groups as people write them: a number or a name, never both.

use std::str::FromStr;

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};

/// A user as typed: all digits are a number, anything else is a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserName {
    /// A uid, 0 to 4294967294.
    Id(u32),
    /// A name for the root's own /etc/passwd.
    Name(String),
}

/// A group as typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupName {
    /// A gid, 0 to 4294967294.
    Id(u32),
    /// A name for the root's own /etc/group.
    Name(String),
}

enum Typed {
    Id(u32),
    Name(String),
}

/// Reads a number or a name. A number that is too large is an error and never
/// becomes a name: a root's own /etc/passwd could give that name uid 0
/// (CVE-2024-40635 and its kind).
fn typed(kind: &str, text: &str) -> anyhow::Result<Typed> {
    ensure!(!text.is_empty(), "the {kind} is empty");
    if text.bytes().all(|b| b.is_ascii_digit()) {
        // 4294967295 is (uid_t) -1, "no change" to setresuid(2).
        return match text.parse::<u32>() {
            Ok(id) if id != u32::MAX => Ok(Typed::Id(id)),
            _ => bail!("{kind} {text} is out of range: ids go from 0 to 4294967294"),
        };
    }
    let first = text.chars().next().unwrap_or('-');
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-$@\\".contains(c);
    ensure!(
        !first.is_ascii_digit() && first != '-' && text.chars().all(plain),
        "{text:?} is not a {kind}: a number, or a name of letters, digits and _.- that does not begin with a digit"
    );
    ensure!(text.len() <= 256, "a {kind} name has at most 256 characters");
    Ok(Typed::Name(text.to_owned()))
}

impl FromStr for UserName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match typed("user", text)? {
            Typed::Id(id) => Self::Id(id),
            Typed::Name(name) => Self::Name(name),
        })
    }
}

impl FromStr for GroupName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match typed("group", text)? {
            Typed::Id(id) => Self::Id(id),
            Typed::Name(name) => Self::Name(name),
        })
    }
}

impl FromStr for super::UserRequest {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once(':') {
            Some((user, group)) => Self { user: user.parse()?, group: Some(group.parse()?) },
            None => Self { user: text.parse()?, group: None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::UserRequest;
    use super::*;

    #[test]
    fn numbers_never_become_names() {
        for text in [
            "4294967295",
            "4294967296",
            "-1",
            "0x0",
            "1000:",
            "1000:-1",
            "",
            ":0",
            "٠",
            "root\n",
            "1a",
        ] {
            assert!(text.parse::<UserRequest>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn numbers_and_names() {
        let user = "01000:staff".parse::<UserRequest>().unwrap();
        assert_eq!(user.user, UserName::Id(1000));
        assert_eq!(user.group, Some(GroupName::Name("staff".to_owned())));
    }
}
