//! Sockets that a service manager has opened and hands on: sd_listen_fds(3).

use std::ffi::OsString;

use oci_spec::runtime::LinuxNamespaceType;

use super::Spec;
use super::env::{Environment, Variable};
use super::port::Source;

/// What says so to whom they are handed.
const VARIABLES: [&str; 3] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// Those that a process was started with: descriptors from 3 upwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sockets {
    /// How many there are.
    pub count: u32,
    /// What they are called, with colons between.
    pub names: Option<String>,
}

impl Sockets {
    /// Those of the process with that number, as its variables say; none where
    /// they were meant for another.
    pub fn read(variable: &dyn Fn(&str) -> Option<OsString>, process: u32) -> Self {
        let text = |name: &str| variable(name)?.into_string().ok();
        let number = |name: &str| text(name)?.parse::<u32>().ok();
        if number("LISTEN_PID") != Some(process) {
            return Self::default();
        }
        let count = number("LISTEN_FDS").filter(|count| *count < 1 << 16).unwrap_or(0);
        Self { count, names: text("LISTEN_FDNAMES") }
    }
}

impl Spec {
    /// Hands these on to the payload, in the place of what it was to have, and
    /// before what `--preserve-fds` names. None where a port is one of them:
    /// then they are ours; nor where nobody knows the payload's number
    /// beforehand, which they go with.
    pub fn hand(&mut self, sockets: &Sockets) {
        let had = std::mem::take(&mut self.beside.sockets);
        self.beside.preserve_fds = self.beside.preserve_fds.saturating_sub(had);
        let taken = self.beside.ports.iter().any(|port| matches!(port.source, Source::Handed(_)));
        let goes = sockets.count > 0 && !taken && !self.shares(LinuxNamespaceType::Pid);
        if had == 0 && !goes {
            return;
        }
        // A reaper of ours is the first process, and the payload the second.
        let pid = if self.beside.init { "2" } else { "1" };
        let process = self.process_mut();
        let text = process.env().clone().unwrap_or_default();
        let ours = |text: &&String| {
            let name = text.split_once('=').map_or(text.as_str(), |(name, _)| name);
            had > 0 && VARIABLES.contains(&name)
        };
        let others: Vec<String> = text.iter().filter(|text| !ours(text)).cloned().collect();
        let said = |name: &str| others.iter().any(|text| text.split('=').next() == Some(name));
        let count = sockets.count.to_string();
        let values = [Some(count.as_str()), Some(pid), sockets.names.as_deref()];
        let mut environment = Environment::of(&others);
        for (name, value) in VARIABLES.into_iter().zip(values).filter(|_| goes) {
            // What was typed holds.
            if let Some(value) = value.filter(|_| !said(name)) {
                environment.set(Variable::new(name, value));
            }
        }
        process.set_env(Some(environment.into_strings()));
        if goes {
            self.beside.sockets = sockets.count;
            self.beside.preserve_fds = self.beside.preserve_fds.saturating_add(sockets.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{ContainerId, Root};

    fn sockets(variables: &[(&str, &str)]) -> Sockets {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Sockets::read(&|name| find(name).map(|(_, value)| value.into()), 7)
    }

    #[test]
    fn only_what_is_meant_for_the_process_is_taken() {
        let pid = ("LISTEN_PID", "7");
        let two = Sockets { count: 2, names: Some("a:b".to_owned()) };
        assert_eq!(sockets(&[pid, ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "a:b")]), two);
        assert_eq!(sockets(&[pid, ("LISTEN_FDS", "x")]).count, 0);
        assert_eq!(sockets(&[pid, ("LISTEN_FDS", "65536")]).count, 0);
        assert_eq!(sockets(&[("LISTEN_PID", "8"), ("LISTEN_FDS", "2")]).count, 0);
        assert_eq!(sockets(&[("LISTEN_FDS", "2")]).count, 0);
    }

    #[test]
    fn the_last_that_were_handed_are_had() {
        let id = ContainerId::from_random([1; 32]);
        let mut spec = Spec::new(id, Root::Host);
        let typed = vec!["A=b".to_owned(), "LISTEN_FDNAMES=mine".to_owned()];
        spec.process_mut().set_env(Some(typed.clone()));
        spec.beside.preserve_fds = 3;
        let env = |spec: &mut Spec| spec.process_mut().env().clone().unwrap();
        spec.hand(&Sockets::default());
        assert_eq!((env(&mut spec), spec.beside.preserve_fds), (typed, 3));
        spec.hand(&Sockets { count: 2, names: Some("a:b".to_owned()) });
        assert_eq!((spec.beside.sockets, spec.beside.preserve_fds), (2, 5));
        let told = env(&mut spec);
        assert!(told.contains(&"LISTEN_FDS=2".to_owned()), "{told:?}");
        assert!(told.contains(&"LISTEN_PID=1".to_owned()), "{told:?}");
        assert!(told.contains(&"LISTEN_FDNAMES=mine".to_owned()), "{told:?}");
        spec.beside.init = true;
        spec.hand(&Sockets { count: 1, names: None });
        assert_eq!((spec.beside.sockets, spec.beside.preserve_fds), (1, 4));
        assert!(env(&mut spec).contains(&"LISTEN_PID=2".to_owned()));
        spec.hand(&Sockets::default());
        assert_eq!((env(&mut spec), spec.beside.preserve_fds), (vec!["A=b".to_owned()], 3));
    }
}
