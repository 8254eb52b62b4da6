//! `sublet wait`: how a container ends.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::error::Explain;
use crate::state::{Life, Store};
use crate::sys::Errno;
use crate::sys::fd::{self, Patience};

/// Between a launcher's end and the lock's, which it held: nothing.
const MOMENT: Duration = Duration::from_secs(2);

/// Waits for the end of the container that `word` means, and gives its exit
/// code; `None` where nobody knows it, since its launcher was killed.
///
/// # Errors
/// One that is not there, or whose record goes with it.
pub fn wait(store: &Store, word: &str) -> anyhow::Result<Option<u8>> {
    let record = store.find(word)?;
    let launcher = match &record.life {
        Life::Exited(exit) => return Ok(exit.end.code()),
        Life::Running { launcher, .. } => Some(launcher),
        Life::Created { launcher } => launcher.as_ref(),
    };
    // The launcher says how it ended, then ends.
    if let Some(process) = launcher.map(|launcher| launcher.open()).transpose()?.flatten() {
        loop {
            match fd::wait_readable([process.as_fd()], Patience::Endless) {
                Err(Errno::EINTR) => {}
                done => break done.map(drop).with_context(|| format!("wait for {word}"))?,
            }
        }
    }
    if !store.await_end(&record.id, MOMENT)? {
        bail!("the launcher of container {word} has ended, and somebody holds its lock");
    }
    match store.seek(record.id.as_str())?.map(|record| record.life) {
        Some(Life::Exited(exit)) => Ok(exit.end.code()),
        _ => Err(anyhow::anyhow!("container {word} has ended, and its record is gone"))
            .hint("one that is started without --rm keeps its exit code"),
    }
}
