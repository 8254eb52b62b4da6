//! The container's way to the world: a helper that runs beside it.
//!
//! [`Connecting`] is the way there, [`Uplink`] the helper that runs. A file a
//! driver says how its program is started and how it tells that it is ready;
//! what they have in common is in `running`.
#![forbid(unsafe_code)]

pub mod forward;
mod pasta;
mod recipe;
mod running;
mod services;
mod slirp4netns;
mod uplink;
mod words;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::child::network::Outward;
use crate::error::Explain;
use crate::plan::Plan;
use crate::plan::network::{Helper, Network, service};
use crate::sys::fd;
pub use running::meaning;
pub use services::Services;
pub use uplink::Uplink;

/// The way to a network that reaches out: [`begin`](Self::begin) when the
/// network namespace is about to be made, and [`proceed`](Self::proceed) until
/// it is [`Done`](Progress::Done). Then the payload may run.
pub struct Connecting {
    stage: Stage,
    /// The ports of the host's services.
    ports: Vec<u16>,
    /// What forwards to them, once it has been started.
    services: Option<Services>,
    /// The groups that may ping, as numbered inside.
    ping: (u32, u32),
}

enum Stage {
    /// There is nothing to be done.
    Over(Option<Uplink>),
    /// For this helper, or for services alone.
    Prepared(Option<Helper>),
    /// The namespace comes through a socket, whose other end its maker has;
    /// until then at most. Before it come sockets in it, and these have.
    Expecting {
        helper: Option<Helper>,
        ours: OwnedFd,
        sockets: Vec<(OwnedFd, u16)>,
        until: Instant,
    },
    /// The helper has been started.
    Started(Uplink),
}

/// Whether all is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not until there is news.
    Waiting,
    /// It is.
    Done,
}

/// How long the kernel may take for a network namespace: it makes one at a
/// time, for everybody.
const NAMESPACE: Duration = Duration::from_secs(60);

impl Connecting {
    /// Nothing has been started yet.
    pub fn new(plan: &Plan) -> Self {
        let ports: Vec<u16> = plan.outline.services.iter().map(|service| service.port).collect();
        let stage = match &plan.network {
            Network::Helped(helper) => Stage::Prepared(Some(helper.clone())),
            Network::None if !ports.is_empty() => Stage::Prepared(None),
            Network::Host | Network::None | Network::Joined(_) => Stage::Over(None),
        };
        let ping = plan.outline.idmap.group_range();
        Self { stage, ports, services: None, ping }
    }

    /// What who makes the network namespace has to do beside that, if there is
    /// to be a helper in it: from now on it is waited for.
    ///
    /// # Errors
    /// Where no descriptor is left.
    pub fn begin(&mut self) -> anyhow::Result<Option<Outward>> {
        let Stage::Prepared(helper) = &self.stage else { return Ok(None) };
        let (ours, to) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .context("make a socket for the network namespace")?;
        let mut closed = helper.as_ref().map(Helper::closed).unwrap_or_default();
        let services = self.ports.clone();
        if !services.is_empty() {
            service::address(&mut closed);
        }
        let outward = Outward { to, ping: self.ping, closed, services };
        let (helper, until) = (helper.clone(), Instant::now() + NAMESPACE);
        self.stage = Stage::Expecting { helper, ours, sockets: Vec::new(), until };
        Ok(Some(outward))
    }

    /// What has to be waited for before it [`proceed`](Self::proceed)s, and
    /// until when; nothing where it is over.
    pub fn awaited(&self) -> Option<(BorrowedFd<'_>, PollFlags, Instant)> {
        match &self.stage {
            Stage::Expecting { ours, until, .. } => Some((ours.as_fd(), PollFlags::POLLIN, *until)),
            Stage::Started(uplink) => uplink.awaited(),
            _ => None,
        }
    }

    /// Goes on after news, or after what was waited for has not come in time.
    /// The ids have to be mapped.
    ///
    /// # Errors
    /// Why the helper does not run, in its own words.
    pub fn proceed(&mut self) -> anyhow::Result<Progress> {
        match &mut self.stage {
            Stage::Over(_) => return Ok(Progress::Done),
            Stage::Prepared(_) => return Ok(Progress::Waiting),
            Stage::Expecting { helper, ours, sockets, .. } => {
                let name = helper.as_ref().map_or("the host's services", |it| it.driver.name());
                let received = receive(ours.as_fd(), name)?;
                if let Some(port) = self.ports.get(sockets.len()) {
                    sockets.push((received, *port));
                    return Ok(Progress::Waiting);
                }
                if !sockets.is_empty() {
                    self.services = Some(Services::start(std::mem::take(sockets))?);
                }
                let Some(helper) = helper else {
                    self.stage = Stage::Over(None);
                    return Ok(Progress::Done);
                };
                self.stage = Stage::Started(Uplink::start(helper, received)?);
                return Ok(Progress::Waiting);
            }
            Stage::Started(uplink) => {
                if uplink.proceed()? == Progress::Waiting {
                    return Ok(Progress::Waiting);
                }
            }
        }
        if let Stage::Started(uplink) = std::mem::replace(&mut self.stage, Stage::Over(None)) {
            self.stage = Stage::Over(Some(uplink));
        }
        Ok(Progress::Done)
    }

    /// The helper that runs, and what forwards to the host's services, as far
    /// as there are such.
    pub fn finish(self) -> (Option<Uplink>, Option<Services>) {
        match self.stage {
            Stage::Over(uplink) => (uplink, self.services),
            _ => (None, self.services),
        }
    }
}

/// Takes the namespace that was made beside the child, or a socket in it. Where
/// that could not be done the child makes one itself, and nobody else can go
/// there.
fn receive(socket: BorrowedFd<'_>, name: &str) -> anyhow::Result<OwnedFd> {
    let mut word = [0; 1];
    let in_time = fd::wait_readable([socket], fd::Patience::None) == Ok([true]);
    let received = in_time.then(|| fd::receive(socket, &mut word).ok()).flatten();
    let namespace = received.and_then(|(_, namespace)| namespace);
    namespace.with_context(|| format!("hand the network namespace to {name}: there is none")).hint(
        "a process beside the container has to make it, which an outer filter may forbid, or a \
         quota of namespaces: --network none does without",
    )
}
