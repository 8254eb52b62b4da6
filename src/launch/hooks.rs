//! What hooks that the child runs are told, and what they say.
//!
//! Both in files of memory: one that reads nothing, or says a lot, waits for
//! nobody. The state can't be changed by those who read it, for others do after
//! them.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsFd;

use anyhow::{Context, anyhow};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::channel::Channel;
use crate::child::report::HookEnd;
use crate::error::{Explain, printable};
use crate::plan::step::{Gate, Hook};
use crate::sys::process::Ended;
use crate::sys::{Errno, fd};

/// What helps where one fails.
pub const HINT: &str = "it is in the configuration: who has made the container put it there";

/// How much of what a hook says is told when it fails, in bytes.
const WORDS: usize = 480;

/// The files of one stretch of hooks.
#[derive(Debug)]
pub struct Files {
    state: File,
    words: Words,
}

/// What a hook says.
#[derive(Debug)]
pub struct Words(File);

/// A file of memory with the container's `state`, from its beginning.
///
/// # Errors
/// What memfd_create(2) and write(2) say.
pub fn state(state: &str) -> anyhow::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let told = || -> anyhow::Result<File> {
        let mut file = File::from(memfd_create(c"state", flags)?);
        file.write_all(state.as_bytes())?;
        file.rewind()?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::all()))?;
        Ok(file)
    };
    told().context("write the state to a file in memory")
}

impl Words {
    /// None so far.
    ///
    /// # Errors
    /// What memfd_create(2) says.
    pub fn new() -> anyhow::Result<Self> {
        let made = memfd_create(c"words", MFdFlags::MFD_CLOEXEC);
        Ok(Self(File::from(made.context("make a file in memory")?)))
    }

    /// The file, for the hook.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// The last of them: what is wrong is said at the end.
    fn heard(&self) -> Result<String, Errno> {
        let said = self.0.metadata().map_or(0, |facts| facts.len());
        let first = said.saturating_sub(WORDS as u64);
        let mut bytes = vec![0; WORDS];
        let mut length = 0;
        while length < WORDS {
            match fd::read_at(self.0.as_fd(), &mut bytes[length..], first + length as u64)? {
                0 => break,
                more => length += more,
            }
        }
        let words = String::from_utf8_lossy(&bytes[..length]);
        let cut = if first > 0 { "…" } else { "" };
        Ok(format!("{cut}{}", words.trim()))
    }
}

impl Files {
    /// For hooks that are told the container's `state`.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn telling(text: &str) -> anyhow::Result<Self> {
        Ok(Self { state: state(text)?, words: Words::new()? })
    }

    /// Gives them to the child.
    pub(super) fn hand_over(&self, channel: &Channel) {
        channel.open_with(Gate::Told, self.state.as_fd());
        channel.open_with(Gate::Heard, self.words.file().as_fd());
    }

    /// What they say.
    pub fn words(&self) -> &Words {
        &self.words
    }
}

/// The outcome of one that has ended so.
///
/// # Errors
/// All but success, with what it has said.
pub fn outcome(end: HookEnd, words: &Words) -> anyhow::Result<()> {
    let how = match end {
        HookEnd::Ended(Ended::Exited(0)) => return Ok(()),
        HookEnd::Ended(Ended::Exited(code)) => format!("exit status: {code}"),
        HookEnd::Ended(Ended::Killed(signal)) => format!("killed by signal {signal}"),
        HookEnd::NotRun(errno) => return Err(anyhow!(errno.desc())).context("start it"),
        HookEnd::TooLong => "it took longer than its timeout, and was killed".to_owned(),
    };
    let words = words.heard().context("hear it")?;
    Err(match words.as_str() {
        "" => anyhow!(how),
        // They may be an image's.
        words => anyhow!("{how}: {}", printable(words)),
    })
}

/// The error for `hook`, which has ended so.
pub(super) fn failed(hook: &Hook, end: HookEnd, files: Option<&Files>) -> anyhow::Error {
    let told = files.map_or(Ok(()), |files| outcome(end, files.words()));
    let what = || format!("hooks.{}: {}", hook.field, hook.path.to_string_lossy());
    told.with_context(what).hint(HINT).err().unwrap_or_else(|| anyhow!("{} has failed", what()))
}
