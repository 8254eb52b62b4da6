//! A profile as it is written down: the OCI runtime specification's `seccomp`
//! object with what docker and podman added to it, and one condition of ours.
//!
//! Beyond OCI, an entry may have `includes` and `excludes` (capabilities,
//! architectures, a kernel version), the file an `archMap` (docker), and an
//! error may stand by name in `errno` (podman). Ours is `nested` in a
//! condition: whether containers are made inside the container.
//!
//! Reading is strict. A word that is not known may be a restriction that would
//! be lost, so it is an error, with its place in the file.
//!
//! Also part of the build script: nothing here may use the rest of the crate.
#![forbid(unsafe_code)]

use serde::{Deserialize, Deserializer};

use super::bpf::Flags;

/// A whole profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// What becomes of calls that no entry matches.
    pub default_action: Action,
    /// The error for [`Action::Errno`], EPERM where absent.
    #[serde(default)]
    pub default_errno_ret: Option<u32>,
    /// The same by name.
    #[serde(default)]
    pub default_errno: Option<String>,
    /// OCI: `SCMP_ARCH_*` words.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub architectures: Vec<String>,
    /// docker: the same, by the machine's own architecture.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub arch_map: Vec<ArchMap>,
    /// Flags for loading the filter.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub flags: Vec<Flag>,
    /// Where a listener for [`Action::Notify`] waits.
    #[serde(default)]
    pub listener_path: Option<String>,
    /// What such a listener is told.
    #[serde(default)]
    #[expect(dead_code, reason = "who tells it has the bundle's own")]
    pub listener_metadata: Option<String>,
    /// The entries. The first that matches a call decides.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub syscalls: Vec<Entry>,
    /// For the reader of the file.
    #[serde(default)]
    #[expect(dead_code, reason = "read by people")]
    pub comment: Option<String>,
}

/// An architecture and those whose programs it also runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchMap {
    /// A `SCMP_ARCH_*` word.
    pub architecture: String,
    /// More of them.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub sub_architectures: Vec<String>,
}

/// What becomes of some system calls, under some conditions.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// The calls.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub names: Vec<String>,
    /// One call more: the older spelling for a single one.
    #[serde(default)]
    pub name: Option<String>,
    /// What becomes of them.
    pub action: Action,
    /// The error for [`Action::Errno`], EPERM where absent; for
    /// [`Action::Trace`] the message to the tracer.
    #[serde(default)]
    pub errno_ret: Option<u32>,
    /// The same by name.
    #[serde(default)]
    pub errno: Option<String>,
    /// What has to hold for the arguments: all of it, save that two
    /// comparisons of the same argument are two entries (as runc reads it).
    #[serde(default, deserialize_with = "null_is_empty")]
    pub args: Vec<Arg>,
    /// The entry is left out unless all of this holds.
    #[serde(default)]
    pub includes: Option<Condition>,
    /// The entry is left out if any of this holds.
    #[serde(default)]
    pub excludes: Option<Condition>,
    /// For the reader of the file.
    #[serde(default)]
    #[expect(dead_code, reason = "read by people")]
    pub comment: Option<String>,
}

/// A comparison of one argument, unsigned and 64 bits wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Arg {
    /// Which argument, from 0.
    pub index: u32,
    /// What it is compared with; the mask for [`Operator::MaskedEqual`].
    pub value: u64,
    /// What the masked argument is compared with.
    #[serde(default)]
    pub value_two: u64,
    /// How.
    pub op: Operator,
}

/// When an entry counts. What is absent does not matter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// Capabilities in the container's bounding set.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub caps: Vec<String>,
    /// Architectures, as Go calls them.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub arches: Vec<String>,
    /// A kernel at least so new, as in `4.8`.
    #[serde(default)]
    pub min_kernel: Option<String>,
    /// Ours: containers may be made inside (`true`), or may not.
    #[serde(default)]
    pub nested: Option<bool>,
}

/// What becomes of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Action {
    /// The thread dies.
    #[serde(rename = "SCMP_ACT_KILL_THREAD", alias = "SCMP_ACT_KILL")]
    KillThread,
    /// The process dies.
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    /// The thread is sent SIGSYS.
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    /// The call fails.
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    /// A tracer is told.
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    /// The call is made.
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    /// The call is made and logged.
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    /// A listener decides.
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Operator {
    /// `!=`
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    /// `<`
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    /// `<=`
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    /// `==`
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    /// `>=`
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    /// `>`
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    /// `argument & value == value_two`
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

/// A flag for loading the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Flag {
    /// [`Flags::TSYNC`]
    #[serde(rename = "SECCOMP_FILTER_FLAG_TSYNC")]
    Tsync,
    /// [`Flags::LOG`]
    #[serde(rename = "SECCOMP_FILTER_FLAG_LOG")]
    Log,
    /// [`Flags::SPEC_ALLOW`]
    #[serde(rename = "SECCOMP_FILTER_FLAG_SPEC_ALLOW")]
    SpecAllow,
    /// [`Flags::WAIT_KILLABLE_RECV`]
    #[serde(rename = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")]
    WaitKillableRecv,
}

impl Flag {
    /// The flag as the kernel takes it.
    pub const fn bits(self) -> Flags {
        match self {
            Self::Tsync => Flags::TSYNC,
            Self::Log => Flags::LOG,
            Self::SpecAllow => Flags::SPEC_ALLOW,
            Self::WaitKillableRecv => Flags::WAIT_KILLABLE_RECV,
        }
    }
}

/// Go writes an empty list as `null`.
fn null_is_empty<'de, D, T>(input: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}
