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
mod slirp4netns;
mod uplink;
mod words;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::pipe2;

use crate::child::network::Outward;
use crate::error::Explain;
use crate::plan::network::{Helper, Network};
use crate::sys::fd;
pub use uplink::Uplink;

/// The way to a network that reaches out: [`begin`](Self::begin) when the
/// network namespace is about to be made, [`mapped`](Self::mapped) once its ids
/// are, and [`proceed`](Self::proceed) until it is [`Done`](Progress::Done). Then
/// the payload may run.
pub struct Connecting {
    stage: Stage,
    /// Tells who makes the namespace that its ids are mapped.
    mapped: Option<OwnedFd>,
}

enum Stage {
    /// There is nothing to be done.
    Over(Option<Uplink>),
    /// For this helper.
    Prepared(Helper),
    /// The namespace comes through a socket, whose other end its maker has;
    /// until then at most.
    Expecting { helper: Helper, ours: OwnedFd, until: Instant },
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
    pub fn new(plan: &Network) -> Self {
        let stage = match plan {
            Network::Helped(helper) => Stage::Prepared(helper.clone()),
            Network::Host | Network::None | Network::Joined(_) => Stage::Over(None),
        };
        Self { stage, mapped: None }
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
        let (mapped, tell) = pipe2(OFlag::O_CLOEXEC).context("make a pipe")?;
        let (ping, closed) = (helper.ping, helper.closed());
        let outward = Outward { to, mapped, tell: tell.as_raw_fd(), ping, closed };
        self.mapped = Some(tell);
        let (helper, until) = (helper.clone(), Instant::now() + NAMESPACE);
        self.stage = Stage::Expecting { helper, ours, until };
        Ok(Some(outward))
    }

    /// The ids are mapped: until then a helper could not become one of them.
    pub fn mapped(&mut self) {
        if let Some(tell) = self.mapped.take() {
            // One that has gone needs not to know.
            let _ = fd::write(tell.as_fd(), &[1]);
        }
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
            Stage::Expecting { helper, ours, .. } => {
                let namespace = receive(ours.as_fd(), helper)?;
                self.stage = Stage::Started(Uplink::start(helper, namespace)?);
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

    /// The helper that runs, if there is one.
    pub fn finish(self) -> Option<Uplink> {
        match self.stage {
            Stage::Over(uplink) => uplink,
            _ => None,
        }
    }
}

/// Takes the namespace that was made beside the child. Where that could not be
/// done the child makes one itself, and nobody else can go there.
fn receive(socket: BorrowedFd<'_>, helper: &Helper) -> anyhow::Result<OwnedFd> {
    let mut word = [0; 1];
    let in_time = fd::wait_readable([socket], fd::Patience::None) == Ok([true]);
    let received = in_time.then(|| fd::receive(socket, &mut word).ok()).flatten();
    let namespace = received.and_then(|(_, namespace)| namespace);
    let name = helper.driver.name();
    namespace.with_context(|| format!("hand the network namespace to {name}: there is none")).hint(
        "a process beside the container has to make it, which an outer filter may forbid, or a \
         quota of namespaces: --network none does without",
    )
}
