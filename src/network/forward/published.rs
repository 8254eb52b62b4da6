//! The ports of a container that runs: which there are, and who serves them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{anyhow, bail};

use super::inside::{Inside, Seen, Unpublished};
use super::listen::{Listener, Listeners};
use super::process::{Closing, Process};
use crate::error::Explain;
use crate::spec::port::{Port, Source};
use crate::state;

/// A forwarder that ends sooner than this is not started again.
const SHORT: Duration = Duration::from_secs(1);

/// The published ports. Dropped, they are free.
pub struct Published {
    /// Dropped first; none where no port was ever published, or no more.
    process: Option<Process>,
    listeners: Listeners,
    target: OwnedFd,
    inside: Result<Inside, Unpublished>,
}

impl Published {
    /// Starts to forward from `listeners` into the network of `target`, the
    /// pidfd of a process of the container, where services are at `inside`.
    /// Returns when clients are let in; nothing is forwarded where that process
    /// has ended. There must be no other thread.
    ///
    /// # Errors
    /// Why the container's network can't be gone into.
    pub fn start(
        listeners: Listeners,
        target: OwnedFd,
        inside: Result<Inside, Unpublished>,
    ) -> anyhow::Result<Self> {
        let mut published = Self { process: None, listeners, target, inside };
        if !published.listeners.is_empty() {
            published.forward()?;
        }
        Ok(published)
    }

    fn forward(&mut self) -> anyhow::Result<()> {
        let inside = self.inside.or_else(Unpublished::told)?;
        self.process = None;
        self.process = Process::start(&mut self.listeners, self.target.as_fd(), inside)?;
        Ok(())
    }

    /// Frees all ports. Clients who are there are given what services have said
    /// before, as long as what is returned is there.
    pub fn close(self) -> Option<Closing> {
        let Self { process, listeners, .. } = self;
        drop(listeners);
        process.and_then(Process::close)
    }

    /// Ready to be read once the forwarder has ended.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref().map(Process::pidfd)
    }

    /// Why services see no clients' addresses, where they see none.
    pub fn masked(&self) -> Option<&str> {
        match &self.process.as_ref()?.seen {
            Seen::Kept => None,
            Seen::Masked(why) => Some(why),
        }
    }

    /// Starts another forwarder in the place of one that has ended. Connections
    /// are lost; clients that come meanwhile wait.
    ///
    /// # Errors
    /// As [`start`](Self::start); and if it has ended so soon that the next
    /// would too. Then all ports are free.
    pub fn replace(&mut self) -> anyhow::Result<()> {
        let short = self.process.take().is_some_and(|process| process.age() < SHORT);
        let replaced = match short {
            true => Err(anyhow!("the forwarder of published ports ends as soon as it is started")),
            false => self.forward(),
        };
        if replaced.is_err() {
            self.listeners = Listeners::default();
        }
        replaced
    }

    /// Publishes more ports, all or none: what was bound.
    ///
    /// # Errors
    /// The first port that can't be had: why, and what would help.
    pub fn add(&mut self, ports: &[Port]) -> anyhow::Result<Vec<state::PublishedPort>> {
        self.inside.or_else(Unpublished::told::<Inside>)?;
        let handed = ports.iter().find(|port| matches!(port.source, Source::Handed(_)));
        if let Some(port) = handed {
            return Err(anyhow!("{}: sockets are handed over at the start", port.source))
                .hint("sublet run -p fd:NAME:PORT");
        }
        let more = Listeners::bind(ports)?;
        let publish = |process: &Process| more.iter().try_for_each(|port| process.publish(port));
        let told = self.process.as_ref().map(publish);
        let numbers = self.listeners.append(more);
        if told != Some(Ok(()))
            // There is none, or one that hangs: what it knows by now, nobody
            // knows.
            && let Err(error) = self.forward()
        {
            self.listeners = Listeners::default();
            return Err(error);
        }
        let added = numbers.into_iter().filter_map(|at| self.listeners.get(at));
        Ok(added.map(|listener| self.told(listener)).collect())
    }

    /// Publishes no longer what `ports` mean, all or none: what that was. A
    /// host's port that is not said is any. `until_done` is closed when the
    /// last of them is free.
    ///
    /// # Errors
    /// The first that is not published.
    pub fn withdraw(
        &mut self,
        ports: &[Port],
        until_done: BorrowedFd<'_>,
    ) -> anyhow::Result<Vec<state::PublishedPort>> {
        let mut numbers = Vec::new();
        for port in ports {
            let meant = self.listeners.numbered().filter(|(_, listener)| means(port, listener));
            let before = numbers.len();
            numbers.extend(meant.map(|(at, _)| at));
            if numbers.len() == before {
                bail!("{} is not published", Wanted(port));
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        let mut freed = Vec::new();
        for at in numbers {
            let Some(listener) = self.listeners.remove(at) else { continue };
            freed.push(self.told(&listener));
            let told = self.process.as_ref().map(|it| it.withdraw(listener, until_done));
            if let Some(Err(_)) = told {
                // It hangs, and goes with all that it has.
                self.forward()?;
            }
        }
        self.listeners.reuse();
        Ok(freed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// All of them, as others are told.
    pub fn list(&self) -> Vec<state::PublishedPort> {
        self.listeners.iter().map(|listener| self.told(listener)).collect()
    }

    fn told(&self, listener: &Listener) -> state::PublishedPort {
        let keeps = self.inside.is_ok_and(|inside| inside.keeps(listener.bound.ip()));
        let client = match keeps && self.masked().is_none() {
            true => state::ClientAddress::Kept,
            false => state::ClientAddress::Masked,
        };
        let (protocol, container) = (listener.protocol, listener.container);
        state::PublishedPort { container, protocol, host: listener.bound, client }
    }
}

/// Whether a listener is one of those that `port` stands for.
fn means(port: &Port, listener: &Listener) -> bool {
    let host = match &port.source {
        Source::Host(_, None) => true,
        Source::Host(ip, Some(number)) => {
            (*ip, *number) == (listener.bound.ip(), listener.bound.port())
        }
        Source::Handed(_) => false,
    };
    host && (port.container, port.protocol) == (listener.container, listener.protocol)
}

/// What somebody has looked for.
struct Wanted<'a>(&'a Port);

impl std::fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Port { source, container, protocol } = self.0;
        match source {
            Source::Host(_, None) => write!(f, "{container}/{protocol}"),
            source => write!(f, "{source} -> {container}/{protocol}"),
        }
    }
}
