//! Where the container's control group is, who makes it, and what else is
//! written to it.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::error::Explain;

/// What is asked about the control group beside its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Who makes it.
    pub cgroups: Cgroups,
    /// Below what.
    pub parent: Option<Parent>,
    /// What happens to a limit that can't be had.
    pub limits: Limits,
    /// The container may make groups below its own.
    pub delegate: bool,
    /// The name of the group, or of the scope without its ending, from an engine
    /// that has all of its limits said: it gets no others, and may be there
    /// already, empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

/// Who makes the control group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cgroups {
    /// Whoever can, where there is something to gain by it.
    #[default]
    Auto,
    /// The user's systemd.
    Systemd,
    /// We, in a group that is ours already.
    Direct,
    /// Nobody.
    Disabled,
    /// Whoever can, and somebody has to.
    Require,
}

impl FromStr for Cgroups {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            // podman's word for its default.
            "auto" | "enabled" => Self::Auto,
            "systemd" => Self::Systemd,
            "direct" => Self::Direct,
            "disabled" => Self::Disabled,
            "require" => Self::Require,
            _ => bail!("it is none of auto, systemd, direct, disabled and require"),
        })
    }
}

/// What happens to a limit that can't be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limits {
    /// It is an error.
    #[default]
    Strict,
    /// What comes near to it is done, and said.
    BestEffort,
}

impl FromStr for Limits {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "strict" => Ok(Self::Strict),
            "best-effort" => Ok(Self::BestEffort),
            _ => bail!("it is neither strict nor best-effort"),
        }
    }
}

/// Below what the control group is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parent {
    /// A group, as a path from the root of the hierarchy.
    Path(PathBuf),
    /// A group, as a path from the one that is ours.
    Below(PathBuf),
    /// A slice of the user's systemd.
    Slice(String),
}

impl FromStr for Parent {
    type Err = anyhow::Error;

    /// Reads a path, also one with `/sys/fs/cgroup` before it, or the name of
    /// a slice.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text.starts_with('/') {
            return path(text).map(Self::Path);
        }
        let Some(name) = text.strip_suffix(".slice") else {
            return Err(anyhow!("it is neither a path from / nor the name of a slice"))
                .hint("/user.slice/mine is a group of yours, mine.slice a slice of your systemd");
        };
        // systemd.slice(5): the dashes are the way from slice to slice.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:\\@".contains(c);
        ensure!(
            name.split('-').all(|part| !part.is_empty())
                && name.chars().all(plain)
                && text.len() < 256,
            "{text:?} is not the name of a slice, as mine.slice or mine-work.slice"
        );
        Ok(Self::Slice(text.to_owned()))
    }
}

fn path(text: &str) -> anyhow::Result<PathBuf> {
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    ensure!(Path::new(text).components().all(plain), "{text:?} has .. in it");
    ensure!(!text.contains(['\n', '\0']), "{text:?} is not the path of a group");
    let path = Path::new(text).strip_prefix("/sys/fs/cgroup").ok();
    let path = path.map_or_else(|| PathBuf::from(text), |below| Path::new("/").join(below));
    // Without doubled or trailing slashes.
    Ok(path.components().collect())
}

/// Files by which processes, and not limits, are ruled.
const RULING: [&str; 6] = [
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.kill",
    "cgroup.freeze",
    "cgroup.type",
    "cgroup.subtree_control",
];

/// Reads `KEY=VALUE` for a file of the control group; the kernel's document on
/// cgroup v2 lists them.
pub fn conf(text: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = text.split_once('=').context("it is not KEY=VALUE")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._".contains(&b);
    let named = key.split('.').count() > 1 && key.split('.').all(|part| !part.is_empty());
    if !(named && key.bytes().all(plain)) {
        return Err(anyhow!("{key:?} is not a file of a control group"))
            .hint("they have a controller's name before a dot: memory.high=400M");
    }
    ensure!(!RULING.contains(&key), "{key} rules processes and is no limit");
    ensure!(!value.is_empty() && !value.contains('\n'), "{key} takes one line");
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!("enabled".parse::<Cgroups>().unwrap(), Cgroups::Auto);
        assert_eq!("require".parse::<Cgroups>().unwrap(), Cgroups::Require);
        assert_eq!("best-effort".parse::<Limits>().unwrap(), Limits::BestEffort);
        assert!("".parse::<Cgroups>().is_err() && "no-conmon".parse::<Cgroups>().is_err());
        assert!("lax".parse::<Limits>().is_err());
    }

    #[test]
    fn parents() {
        for (text, path) in [
            ("/a/b", "/a/b"),
            ("/sys/fs/cgroup/a", "/a"),
            ("/sys/fs/cgroup", "/"),
            ("//a//b/", "/a/b"),
        ] {
            assert_eq!(text.parse::<Parent>().unwrap(), Parent::Path(path.into()), "{text}");
        }
        for text in ["mine.slice", "mine-work.slice", "a@b.slice"] {
            assert_eq!(text.parse::<Parent>().unwrap(), Parent::Slice(text.into()), "{text}");
        }
        for text in [
            "",
            "mine",
            ".slice",
            "-.slice",
            "-a.slice",
            "a-.slice",
            "a--b.slice",
            "a/b.slice",
            "/..",
            "/a/../b",
            "a b.slice",
            "a\n.slice",
            "/a\nb",
            "é.slice",
        ] {
            assert!(text.parse::<Parent>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn keys_are_files_and_limits() {
        assert_eq!(conf("memory.high=400M").unwrap(), ("memory.high".into(), "400M".into()));
        assert_eq!(conf("io.max=8:0 rbps=1").unwrap().1, "8:0 rbps=1");
        assert_eq!(conf("hugetlb.2MB.max=0").unwrap().0, "hugetlb.2MB.max");
        for text in [
            "",
            "memory.high",
            "memory.high=",
            "=1",
            "memory=1",
            ".high=1",
            "memory.=1",
            "../x.y=1",
            "a/b.c=1",
            "memory.high=1\n2",
            "cgroup.procs=1",
            "cgroup.threads=1",
            "cgroup.kill=1",
            "cgroup.freeze=1",
            "cgroup.type=threaded",
            "cgroup.subtree_control=+cpu",
            "memory.\u{e9}=1",
            "a..b=1",
        ] {
            assert!(conf(text).is_err(), "{text:?} was taken");
        }
    }
}
