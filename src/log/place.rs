//! Where logs are: in the user's state directory, for they may be large and
//! the runtime directory is in memory.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};

use super::generation;
use crate::error::Explain;
use crate::spec::ContainerId;

/// How long the log stays of a container that nobody knows any more, as after
/// a reboot.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Finds or makes the directory: `$XDG_STATE_HOME/sublet/logs`, else
/// `~/.local/state/sublet/logs`. `home` is the user's, where the environment
/// names none.
///
/// # Errors
/// Where there is none and it can't be made.
pub fn directory(home: Option<&Path>) -> anyhow::Result<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    // The XDG Base Directory Specification: a relative path is to be ignored.
    let state = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let home = || variable("HOME").or(home.map(Path::to_owned)).filter(|path| path.is_absolute());
    let state = state.or_else(|| home().map(|home| home.join(".local/state")));
    let hint = "set XDG_STATE_HOME to a directory of your own, or --log-driver none";
    let state = state.ok_or_else(|| anyhow!("neither XDG_STATE_HOME nor HOME says where"));
    let path = state.context("find a place for the log").hint(hint)?.join("sublet/logs");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .with_context(|| format!("make the directory for the log, {}", path.display()))
        .hint(hint)?;
    Ok(path)
}

/// Removes all files of the log at `path`. What is gone is not missed.
pub fn remove(path: &Path) {
    for at in 0.. {
        if fs::remove_file(generation(path, at)).is_err() && at > 0 {
            break;
        }
    }
}

/// Removes logs of containers that are not `known`, some days after their last
/// line: a reboot takes the records and leaves the logs.
pub fn sweep(directory: &Path, known: impl Fn(&ContainerId) -> bool) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((id, _)) = name.to_str().and_then(|name| name.split_once(".log")) else {
            continue;
        };
        let Ok(id) = id.parse::<ContainerId>() else { continue };
        let modified = entry.metadata().and_then(|status| status.modified()).ok();
        let age = modified.and_then(|then| SystemTime::now().duration_since(then).ok());
        if age.is_some_and(|age| age > KEPT) && !known(&id) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::writer::tests::Scratch;
    use super::*;

    #[test]
    fn old_logs_that_nobody_knows_go() {
        let scratch = Scratch::new("sweep");
        let old = SystemTime::now() - KEPT - Duration::from_secs(60);
        for name in ["old.log", "old.log.1", "known.log", "new.log", "note"] {
            let file = fs::File::create(scratch.0.join(name)).unwrap();
            if name != "new.log" {
                file.set_modified(old).unwrap();
            }
        }
        sweep(&scratch.0, |id| id.as_str() == "known");
        let mut left: Vec<_> =
            fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["known.log", "new.log", "note"]);
        remove(&scratch.0.join("known.log"));
        assert!(!scratch.0.join("known.log").exists());
    }
}
