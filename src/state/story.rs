//! What else is known of how a container ended, or why it never ran.
//!
//! All of it is for people, and none of it is needed to handle a container. A
//! field that a record lacks is not known.

use serde::{Deserialize, Serialize};

use super::moment::Moment;

/// What was seen at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Story {
    /// The last signal that could have ended it, which the launcher passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<Sent>,
    /// Whether its time was over: `--timeout`.
    #[serde(skip_serializing_if = "is_false")]
    pub timed_out: bool,
    /// The system call for which a filter has killed its first process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_call: Option<String>,
    /// The filter that it ran with, where a filter has killed it: `default`,
    /// `unconfined` or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How often it could make no process, because it had as many as it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_refused: Option<u64>,
    /// How many processes were killed for want of memory while it ran, in the
    /// control group that it was started from; where that doesn't count them, in
    /// the whole machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_oom_kills: Option<u64>,
    /// What happened while it ran, a sentence each: a helper that ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub happened: Vec<String>,
}

/// A signal, and who has sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Its number.
    pub signal: i32,
    /// Whose it is.
    pub by: Sender,
}

/// Who has sent a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// The kernel: a key on the terminal, or the terminal's end.
    Kernel,
    /// A process.
    Process {
        /// Its id, 0 where it is one that the launcher does not see.
        pid: i32,
        /// Its real user.
        uid: u32,
        /// What it was called, if it was still there.
        program: Option<String>,
    },
}

/// What a command of sublet's did to a container that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// When.
    pub at: Moment,
    /// Which command: `stop`, `kill`, `rm`, `run`.
    pub verb: String,
    /// The signal that it sent.
    pub signal: i32,
    /// The id of its process; 0 in what a sublet has written that noted none.
    #[serde(default)]
    pub pid: u32,
}

/// A start that did not come to the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When.
    pub at: Moment,
    /// What the launcher ended with: 125 to 127, or 128 and a signal.
    pub code: u8,
    /// What was tried, on what, why not.
    pub error: String,
    /// What would help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}
