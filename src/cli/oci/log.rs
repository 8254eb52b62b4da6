//! Where an engine reads what went wrong.
//!
//! With `--log` all goes there, and nothing to a standard error that is the
//! container's, as that of `create`, `run` and `exec`: conmon reads the file and
//! podman its `msg`, in which it looks for words such as "executable file not
//! found". containerd's shim reads the file after these three, and what the other
//! verbs say on standard error: "container not running", "does not exist".

use std::fs::File;
use std::io::Write;

use serde_json::json;

use super::super::terminal;
use super::words::of_configuration;
use crate::container::oci::now;
use crate::error::{causes, hint, report};

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines for people.
    Text,
    /// An object on each line.
    Json,
}

/// Whose our standard error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    /// The caller's, who reads it.
    Ours,
    /// The container's.
    Containers,
}

/// The log of this process.
#[derive(Debug)]
pub struct Log {
    file: Option<File>,
    form: Form,
    stderr: Stderr,
    tongue: Tongue,
}

/// What the caller has said what is wanted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    /// Flags.
    Flags,
    /// A config.json.
    Configuration,
}

impl Tongue {
    fn put(self, text: &str) -> String {
        match self {
            Self::Flags => text.to_owned(),
            Self::Configuration => of_configuration(text),
        }
    }
}

impl Log {
    /// Opens it; what can't be opened is said on standard error, where
    /// everything goes then.
    pub fn open(path: Option<&str>, form: Form, stderr: Stderr, tongue: Tongue) -> Self {
        let path = path.map(|path| path.strip_prefix("file:").unwrap_or(path));
        let opened = path.map(|path| (path, File::options().append(true).create(true).open(path)));
        let file = match opened {
            None => None,
            Some((_, Ok(file))) => Some(file),
            Some((path, Err(error))) => {
                terminal::tell_warning(&format!("open the log {path:?}: {error}"));
                None
            }
        };
        Self { file, form, stderr, tongue }
    }

    /// Tells what ended us.
    pub fn error(&self, error: &anyhow::Error) {
        if let Some(file) = &self.file {
            self.write(file, "error", &self.tongue.put(&told(error)));
        }
        if self.file.is_none() || self.stderr == Stderr::Ours {
            terminal::tell_report(&self.tongue.put(&report(error)));
        }
    }

    /// Tells what is less than could be had.
    pub fn warn(&self, text: &str) {
        let text = &*self.tongue.put(text);
        match &self.file {
            None => terminal::tell_warning(text),
            Some(file) => self.write(file, "warning", text),
        }
    }

    /// Tells what failed and is of no account.
    pub fn warn_of(&self, error: &anyhow::Error) {
        self.warn(&told(error));
    }

    fn write(&self, mut file: &File, level: &str, text: &str) {
        let time = now();
        let line = match self.form {
            Form::Json => json!({"msg": text, "level": level, "time": time}).to_string(),
            Form::Text => format!("time={time:?} level={level} msg={text:?}"),
        };
        // One write, for others may append too. Where it fails nobody hears.
        _ = file.write_all((line + "\n").as_bytes());
    }
}

/// An error in one line, what would help at its end.
fn told(error: &anyhow::Error) -> String {
    match hint(error) {
        None => causes(error),
        Some(hint) => format!("{} ({})", causes(error), hint.replace('\n', "; ")),
    }
}
