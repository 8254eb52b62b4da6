//! `sublet wait`: how a container ends.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use super::pause;
use crate::error::Explain;
use crate::state::{Life, Over, Record, Store};
use crate::sys::Errno;
use crate::sys::fd::{self, Patience};

/// Between a launcher's end and the lock's, which it held: nothing.
const MOMENT: Duration = Duration::from_secs(2);

/// Between two looks whether a launcher that stays has said how it ended.
const LOOK: Patience = Patience::Nanos(300_000_000);

/// Waits for the end of the container that `word` means, and gives its exit
/// code; `None` where nobody knows it, since its launcher was killed.
///
/// # Errors
/// One that is not there, or whose record goes with it.
pub fn wait(store: &Store, word: &str) -> anyhow::Result<Option<u8>> {
    let record = store.find(word)?;
    let launcher = match &record.life {
        Life::Exited(exit) => return Ok(exit.end.code()),
        // Its start has failed, and with what is known.
        Life::Created { launcher: None } if record.failed.is_some() => {
            return Ok(record.failed.map(|failed| failed.code));
        }
        Life::Created { launcher: None } => {
            return Err(anyhow!("container {} has not been started", record.label()))
                .hint(format!("sublet start {}", record.label()));
        }
        Life::Running { launcher, .. } | Life::Restarting { launcher, .. } => Some(launcher),
        Life::Created { launcher } => launcher.as_ref(),
    };
    // The launcher says how it ended, then ends; or stays for those who have not
    // heard all that was said.
    if let Some(process) = launcher.map(|launcher| launcher.open()).transpose()?.flatten() {
        loop {
            match fd::wait_readable([process.as_fd()], LOOK) {
                Ok([false]) if store.await_end(&record.id, Duration::ZERO)? => break,
                Ok([false]) | Err(Errno::EINTR) => {}
                done => {
                    break done
                        .map(drop)
                        .with_context(|| format!("wait for {}", record.label()))?;
                }
            }
        }
    }
    let label = record.label();
    let now = match store.await_over(&record, MOMENT)? {
        Over::Ended => store.seek(record.id.as_str())?.filter(|now| now.id == record.id),
        Over::Again(now) => Some(*now),
        Over::Not => {
            bail!("the launcher of container {label} has ended, and somebody holds its lock")
        }
    };
    match now.map(|now| (now.life, now.failed)) {
        Some((Life::Exited(exit) | Life::Restarting { exit, .. }, _)) => Ok(exit.end.code()),
        Some((Life::Created { launcher: None }, Some(failed))) => Ok(Some(failed.code)),
        Some(_) => Err(anyhow!("container {label} has ended and was started again meanwhile"))
            .hint(format!("sublet events --since 1m -f container={label} tells how it ended")),
        None => Err(anyhow!("container {label} has ended, and its record is gone"))
            .hint("one that is started without --rm keeps its exit code"),
    }
}

/// Waits until the status of a container is one of `wanted`: its exit code, if
/// it has one by then.
///
/// # Errors
/// One that is gone meanwhile, or has ended and will not come to that.
pub fn wait_for(
    store: &Store,
    record: &Record,
    wanted: &[&str],
    interval: Duration,
) -> anyhow::Result<Option<u8>> {
    loop {
        let label = record.label();
        let now = store.seek(record.id.as_str())?;
        let Some(now) = now.filter(|now| now.id == record.id) else {
            bail!("container {label} is gone");
        };
        let ended = matches!(now.life, Life::Exited(_));
        let status = if ended { "exited" } else { pause::status(&now) };
        if wanted.contains(&status) {
            return Ok(match now.life {
                Life::Exited(exit) | Life::Restarting { exit, .. } => exit.end.code(),
                _ => None,
            });
        }
        if ended {
            return Err(anyhow::anyhow!("container {label} has ended"))
                .hint("--condition exited is met by that");
        }
        std::thread::sleep(interval);
    }
}
