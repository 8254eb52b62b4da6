//! `delete`: what is left of a container.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::Pid;
use oci_spec::runtime::LinuxNamespaceType;

use super::status::{Status, look};
use super::{Runtime, group, hooks};
use crate::child::sweep::UserNamespace;
use crate::error::Explain;
use crate::launch::patience;
use crate::spec::ContainerId;
use crate::state::Bundle;
use crate::sys::fd::{Patience, wait_readable};
use crate::sys::{Errno, process};

/// Which containers are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// One that is over, or has not begun.
    No,
    /// Any, and one that is not there is deleted.
    Yes,
}

/// How long the processes of a container that is killed are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

impl Runtime {
    /// Removes the container; `warn` hears of a poststop hook that fails, which
    /// keeps nothing from going.
    ///
    /// # Errors
    /// Where it runs or is being made, and where it doesn't end; where a record
    /// that nobody can read does not say that it is over; where something of
    /// others is in its directory.
    pub fn delete(
        &self,
        id: &ContainerId,
        force: Force,
        warn: impl Fn(&anyhow::Error),
    ) -> anyhow::Result<()> {
        let found = match (self.bundles.seek(id), force) {
            (Ok(Some(found)), _) => found,
            (Ok(None), Force::Yes) => return self.bundles.remove_leftover(id),
            (Err(error), Force::Yes) => return self.bundles.remove_unreadable(id, error),
            (Ok(None), Force::No) => return self.find(id).map(drop),
            (Err(error), Force::No) => return Err(error),
        };
        match (look(&found)?, force) {
            ((status @ (Status::Running | Status::Paused), _), Force::No) => {
                let status = status.word();
                return Err(anyhow!("cannot delete container {id} that is not stopped: {status}"))
                    .hint(format!("sublet-oci kill {id} KILL ends it; --force does both"));
            }
            ((_, Some(payload)), _) => end(&found.bundle, &payload)?,
            ((_, None), _) => {}
        }
        group::end(&found.bundle)?;
        hooks::after(&found.bundle, warn)?;
        self.bundles.remove(id, &found)
    }
}

/// Kills the first process of a container, with which the kernel ends all others
/// of its pid namespace, and waits until it is gone. Without such a namespace
/// the others are found by the container's user namespace, if it has one.
fn end(bundle: &Bundle, payload: &OwnedFd) -> anyhow::Result<()> {
    let id = &bundle.id;
    let linux = bundle.config.linux().as_ref();
    let has_own = |kind| {
        let all = linux.and_then(|linux| linux.namespaces().as_ref());
        all.is_some_and(|all| all.iter().any(|it| it.typ() == kind && it.path().is_none()))
    };
    let swept = !has_own(LinuxNamespaceType::Pid) && has_own(LinuxNamespaceType::User);
    let pid = Pid::from_raw(bundle.payload.pid);
    // While it is there to be asked.
    let others = swept.then(|| namespace_of(payload, pid)).flatten();
    match process::send_signal(payload.as_fd(), libc::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => return Err(errno).with_context(|| format!("kill container {id}")),
    }
    let until = Some(Instant::now() + PATIENCE);
    loop {
        let mut polled = [PollFd::new(payload.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, patience(until)) {
            Ok(0) if until.is_some_and(|until| until <= Instant::now()) => {
                bail!("container {id} was killed and has not ended for {PATIENCE:?}")
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break,
            Err(errno) => return Err(errno).with_context(|| format!("wait for container {id}")),
        }
    }
    others.iter().for_each(UserNamespace::sweep);
    Ok(())
}

/// The user namespace of a container's first process `payload`, whose pid is
/// `pid`, if it is not ours.
fn namespace_of(payload: &OwnedFd, pid: Pid) -> Option<UserNamespace> {
    let ours = UserNamespace::of(Pid::this()).ok()?;
    let theirs = UserNamespace::of(pid).ok()?;
    // The look was by the number, which may be another's as soon as the process
    // has ended. If it has not by now, it was the one that was looked at.
    let lives = wait_readable([payload.as_fd()], Patience::None) == Ok([false]);
    (lives && theirs != ours).then_some(theirs)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// All that the caller runs would be killed.
    #[test]
    fn our_own_namespace_is_never_swept() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let payload = process::open_pidfd(pid).unwrap();
        assert!(UserNamespace::of(pid).is_ok());
        let found = namespace_of(&payload, pid);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, None);
    }
}
