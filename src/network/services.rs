//! Services of the host: what is asked for inside, at sockets that were made
//! with the network namespace, is asked of the host's loopback.
//!
//! Published ports the other way round: a socket belongs to the network that it
//! was made in, whoever has it. So the process that forwards has never been in
//! the container, and has no rights.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::forward::{self, Listeners};
use crate::child::companion::Companion;
use crate::error::causes;
use crate::sys::{Result, confine};

/// One that ends sooner than this is not started again.
const SHORT: Duration = Duration::from_secs(1);

const TRIED: &str = "start what forwards to the host's services";

/// The process that forwards. Dropped, it is gone.
pub struct Services {
    /// Dropped first; nothing where it has ended for good.
    process: Option<Companion>,
    /// What it sees the end of when we are gone.
    _channel: OwnedFd,
    listeners: Listeners,
    since: Instant,
}

impl Services {
    /// Starts to forward what comes to sockets in a container.
    ///
    /// # Errors
    /// What keeps a process from being made.
    pub(super) fn start(sockets: Vec<(OwnedFd, u16)>) -> anyhow::Result<Self> {
        let mut listeners = Listeners::made(sockets);
        let (process, channel) = begin(&mut listeners)?;
        let (process, since) = (Some(process), Instant::now());
        Ok(Self { process, _channel: channel, listeners, since })
    }

    /// What has news once it has ended.
    pub fn news(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref().map(Companion::pidfd)
    }

    /// Looks after it when there is news: starts another in the place of one
    /// that has ended. What the user should hear.
    pub fn attend(&mut self) -> Option<String> {
        let process = self.process.as_ref()?;
        if !super::running::has_news(process.pidfd()) {
            return None;
        }
        let mut again = || -> anyhow::Result<_> {
            if self.since.elapsed() < SHORT {
                bail!("the process that forwards to them ends as soon as it is started");
            }
            begin(&mut self.listeners)
        };
        match again() {
            Ok((process, channel)) => {
                (self.process, self._channel, self.since) =
                    (Some(process), channel, Instant::now());
                None
            }
            Err(error) => {
                self.process = None;
                self.listeners = Listeners::default();
                Some(format!("the host's services are not reached any more: {}", causes(&error)))
            }
        }
    }
}

fn begin(listeners: &mut Listeners) -> anyhow::Result<(Companion, OwnedFd)> {
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .context(TRIED)?;
    let sockets = listeners.iter().map(AsFd::as_fd).chain([theirs.as_fd()]);
    let kept: Vec<_> = sockets.map(|socket| socket.as_raw_fd()).collect();
    let process = Companion::start(kept.into_iter(), || {
        if confine().is_ok() {
            // It is over when the launcher is, or can't be had at all.
            let _ = forward::serve_host(theirs.as_fd(), std::mem::take(listeners));
        }
    });
    Ok((process.context(TRIED)?, ours))
}

/// Gives up all rights, and takes all the descriptors that can be had: two for
/// a connection, and more while it is busy.
fn confine() -> Result<()> {
    confine::no_new_privileges()?;
    // Only root has any to give up.
    let _ = confine::bound_capabilities(0);
    confine::set_capabilities(0, 0, 0)?;
    // Both may be undone by the change of rights (commit_creds).
    confine::hide_memory()?;
    confine::parent_death_signal(libc::SIGKILL)?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}
