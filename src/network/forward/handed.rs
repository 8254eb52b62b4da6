//! Sockets that sublet was started with: sd_listen_fds(3).

use std::os::fd::OwnedFd;

use anyhow::{Context, ensure};

use crate::sys::fd;

/// The first of them.
const FIRST: i32 = 3;

/// What LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say.
#[derive(Debug, PartialEq, Eq)]
pub struct Handed {
    names: Vec<String>,
}

impl Handed {
    /// Those of this process.
    pub fn from_environment() -> anyhow::Result<Self> {
        Self::read(std::process::id(), |name| std::env::var(name).ok())
    }

    fn read(own: u32, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let count = variable("LISTEN_FDS").context("sublet was started with no sockets")?;
        let count: usize = count
            .parse()
            .ok()
            .filter(|count| *count < 1 << 16)
            .with_context(|| format!("LISTEN_FDS is {count:?}, not a number of sockets"))?;
        if let Some(pid) = variable("LISTEN_PID") {
            ensure!(
                pid.parse() == Ok(own),
                "the sockets were meant for process {pid:?} (LISTEN_PID), and sublet is {own}"
            );
        }
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let mut names: Vec<_> = names.split(':').map(str::to_owned).collect();
        // What systemd calls those that have none.
        names.resize(count, "unknown".to_owned());
        Ok(Self { names })
    }

    /// A descriptor of our own for the socket of this name.
    pub fn take(&self, name: &str) -> anyhow::Result<OwnedFd> {
        let at = self.names.iter().position(|other| other == name).with_context(|| {
            format!("no socket has that name; these have one: {}", self.names.join(" "))
        })?;
        let number = FIRST + at as i32;
        fd::duplicate(number).with_context(|| format!("take descriptor {number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Handed> {
        Handed::read(7, |wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn names_and_how_many() {
        let names = |variables: &[(&str, &str)]| read(variables).unwrap().names.join(" ");
        let pid = ("LISTEN_PID", "7");
        assert_eq!(names(&[pid, ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "a:b")]), "a b");
        assert_eq!(names(&[pid, ("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "a:b")]), "a");
        assert_eq!(names(&[("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "a")]), "a unknown");
        assert!(read(&[pid]).is_err());
        assert!(read(&[("LISTEN_PID", "8"), ("LISTEN_FDS", "1")]).is_err());
        for count in ["", "-1", "x", "99999999999999"] {
            assert!(read(&[pid, ("LISTEN_FDS", count)]).is_err(), "{count:?} was taken");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_that_are_known() {
        let handed = read(&[("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "web:dns")]).unwrap();
        let error = format!("{:#}", handed.take("wbe").unwrap_err());
        assert!(error.contains("web dns"), "{error}");
    }
}
