//! What is written down of a container.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use anyhow::{Context, anyhow, ensure};
use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::health::Health;
use super::moment::Moment;
use super::process::Identity;
use super::seal;
use super::story::{Failed, Request, Story};
use crate::spec::background::Restart;
use crate::spec::port::Protocol;
use crate::spec::{ContainerId, Name};

/// The version that is written. A record that a program of this version can't
/// handle gets a higher one; a field more does not, see [`Record::unknown`].
const VERSION: u32 = 1;

/// One container, as other commands know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Its id.
    pub id: ContainerId,
    /// What a person calls it.
    pub name: Option<Name>,
    /// When its id was reserved.
    pub created: Moment,
    /// Whether the record outlives the container.
    pub afterwards: Afterwards,
    /// What was asked for.
    pub asked: Asked,
    /// How far it is.
    pub life: Life,
    /// The control group that is the container's own.
    pub place: Option<Place>,
    /// Why its last start came to nothing, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failed>,
    /// The last that a command of ours did to it while it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// How it reaches the world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// How it is kept going, and stopped.
    #[serde(default)]
    pub upkeep: Upkeep,
    /// Its ports that the host has, while it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PublishedPort>,
    /// The directories of the host that it was given to write, at each of its
    /// starts: under the same paths there may be others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trees: Vec<Tree>,
    /// What its health checks have said since it runs, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Fields that a later program knows: kept, so that an earlier one can
    /// change a record without taking them away.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Whether a record outlives its container: `--rm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Afterwards {
    /// It stays until it is removed.
    Keep,
    /// It stays until many that came later have ended too: nobody has a word
    /// for it but its id.
    Fade,
    /// It goes with the container.
    Remove,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The root; of a directory the whole path.
    pub root: String,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// What the user says of it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The limits, as they are by now.
    pub limits: Option<LinuxResources>,
}

/// How a container is kept going, and stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upkeep {
    /// Its output is kept there, if it is.
    pub log: Option<PathBuf>,
    /// It has a terminal.
    pub terminal: bool,
    /// Nobody's terminal or streams hang on it.
    pub background: bool,
    /// The signal that it is asked by to end, where it is not SIGTERM.
    pub stop_signal: Option<i32>,
    /// How long it has then, in seconds, where it is not ten.
    pub stop_timeout: Option<u32>,
    /// When it is started again.
    pub restart: Restart,
    /// How often it was.
    pub restarts: u32,
    /// Somebody has ended it, who does not want it to be started again.
    pub stopped: bool,
}

/// How far a container is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Life {
    /// It has not run yet.
    Created {
        /// Who is about to start it, if somebody is.
        launcher: Option<Identity>,
    },
    /// It runs, as long as the launcher holds the lock.
    Running {
        /// Who stays with it.
        launcher: Identity,
        /// The container's first process.
        payload: Identity,
        /// Since when.
        started: Moment,
    },
    /// It has ended, and its launcher is about to start it again.
    Restarting {
        /// Who stays with it.
        launcher: Identity,
        /// How it ended.
        exit: Exit,
    },
    /// It is over.
    Exited(Exit),
}

impl Life {
    /// It in a word.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::Running { .. } => "running",
            Self::Restarting { .. } => "restarting",
            Self::Exited(exit) => match exit.end {
                End::Code(_) | End::Signal(_) => "exited",
                End::SupervisorLost => "supervisor-lost",
                End::Reboot => "reboot",
            },
        }
    }

    /// Whether this is a later life than that: of another launcher, or with
    /// another payload.
    pub fn comes_after(&self, earlier: &Self) -> bool {
        let payload = |life: &Self| match life {
            Self::Running { payload, .. } => Some(payload.clone()),
            _ => None,
        };
        match (self.launcher(), earlier.launcher()) {
            (None, _) => false,
            (now, then) if now != then => true,
            _ => payload(self).is_some() && payload(self) != payload(earlier),
        }
    }

    /// Who holds the lock, if the record is true.
    pub fn launcher(&self) -> Option<&Identity> {
        match self {
            Self::Created { launcher } => launcher.as_ref(),
            Self::Running { launcher, .. } | Self::Restarting { launcher, .. } => Some(launcher),
            Self::Exited(_) => None,
        }
    }
}

/// A directory of the host, whatever path it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tree {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
    /// When it was made, in nanoseconds since 1970; 0 where the file system
    /// doesn't say, statx(2). A later one may have the number of the inode.
    pub born: u64,
}

impl Tree {
    /// The one that is open.
    ///
    /// # Errors
    /// What statx(2) says.
    pub fn of(open: BorrowedFd<'_>) -> std::io::Result<Self> {
        let facts = File::from(open.try_clone_to_owned()?).metadata()?;
        let born = facts.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0);
        Ok(Self { dev: facts.dev(), ino: facts.ino(), born })
    }
}

/// A port of a container that the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Where the service listens.
    pub container: u16,
    /// The protocol of both.
    pub protocol: Protocol,
    /// Where clients connect.
    pub host: SocketAddr,
    /// What the service sees of them.
    pub client: ClientAddress,
}

/// What a service sees of its clients' addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAddress {
    /// Their own, but for clients of this machine's loopback.
    Kept,
    /// One of the container's.
    Masked,
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Masked => "masked",
        })
    }
}

/// What became of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// When it had started, if it had.
    pub started: Option<Moment>,
    /// When it ended, or was found to have.
    pub finished: Moment,
    /// How.
    pub end: End,
    /// What it has used.
    pub usage: Usage,
    /// What else was seen.
    #[serde(default)]
    pub story: Story,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Its first process called exit, with this code.
    Code(u8),
    /// A signal killed that.
    Signal(i32),
    /// The launcher was killed, and the container with it: its own code is
    /// not known.
    SupervisorLost,
    /// The machine was started anew.
    Reboot,
}

impl End {
    /// The exit code as the field counts: 128 and the number of the signal;
    /// none where nobody knows.
    pub fn code(self) -> Option<u8> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(number) => Some(128_u8.wrapping_add(number as u8)),
            Self::SupervisorLost | Self::Reboot => None,
        }
    }
}

/// What a container has used, as far as its control group has told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Whether it was killed because its memory was used up.
    pub oom_killed: bool,
    /// How many processes of it were killed for that.
    pub oom_kills: Option<u64>,
    /// What its first process was called then, if that is one of them.
    pub oom_process: Option<String>,
    /// The most memory it had, in bytes.
    pub memory_peak: Option<u64>,
    /// What it might have had in the end, in bytes; none without a limit.
    pub memory_limit: Option<u64>,
    /// Processor time, in microseconds.
    pub cpu_usec: Option<u64>,
    /// The part of it in programs.
    pub cpu_user_usec: Option<u64>,
    /// The part of it in the kernel.
    pub cpu_system_usec: Option<u64>,
    /// The time it was kept from running by its limit, in microseconds.
    pub throttled_usec: Option<u64>,
}

/// The control group of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its directory, below /sys/fs/cgroup.
    pub cgroup: PathBuf,
    /// The unit of systemd that it is, if it is one.
    pub unit: Option<String>,
}

/// How a container reaches the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The helper's name, `host`, `none`, or whose network it is.
    pub mode: String,
    /// Whether the helper works, where there is one.
    pub link: Option<Link>,
    /// The container's address, where it has one of its own.
    pub address: Option<Ipv4Addr>,
    /// Where its packets go.
    pub gateway: Option<Ipv4Addr>,
}

/// Whether a helper works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// It does, or is started again.
    Up,
    /// It has ended for good.
    Down,
}

impl Record {
    /// Somebody has a word for it: it stays until it is removed.
    pub fn keep(&mut self) {
        if self.afterwards == Afterwards::Fade {
            self.afterwards = Afterwards::Keep;
        }
    }

    /// A container that is about to be started by `launcher`, or by nobody
    /// yet.
    pub fn new(
        id: ContainerId,
        name: Option<Name>,
        asked: Asked,
        launcher: Option<Identity>,
    ) -> Self {
        Self {
            version: VERSION,
            id,
            name,
            created: Moment::now(),
            afterwards: Afterwards::Remove,
            asked,
            life: Life::Created { launcher },
            place: None,
            failed: None,
            request: None,
            network: None,
            upkeep: Upkeep::default(),
            ports: Vec::new(),
            trees: Vec::new(),
            health: None,
            unknown: Map::new(),
        }
    }

    /// What stands for the container where people read: its name, else the
    /// beginning of its id.
    pub fn label(&self) -> &str {
        self.name.as_ref().map_or(self.id.short(), Name::as_str)
    }

    /// Whether its command was ever executed, as far as the record goes.
    pub fn has_run(&self) -> bool {
        !matches!(self.life, Life::Created { .. })
    }

    /// Whether somebody must hold the lock for this record to be true.
    pub(super) fn needs_launcher(&self) -> bool {
        self.life.launcher().is_some()
    }

    /// The same container after its launcher was found dead, in the boot
    /// `boot`.
    pub(super) fn lost(mut self, boot: &str) -> Self {
        let Some(launcher) = self.life.launcher() else { return self };
        let end = if launcher.boot == boot { End::SupervisorLost } else { End::Reboot };
        let started = match self.life {
            Life::Running { started, .. } => Some(started),
            Life::Restarting { exit, .. } => exit.started,
            _ => None,
        };
        let (finished, usage, story) = (Moment::now(), Usage::default(), Story::default());
        self.life = Life::Exited(Exit { started, finished, end, usage, story });
        self.ports.clear();
        self
    }

    /// The bytes of the file.
    pub(super) fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        Ok(seal::seal(serde_json::to_vec(self).context("write the record as JSON")?))
    }

    /// The record of container `id`, from the bytes of its file.
    pub(super) fn from_bytes(bytes: &[u8], id: &ContainerId) -> Result<Self, Unreadable> {
        let damaged = |error: anyhow::Error| Unreadable::Damaged(error);
        let text = seal::unseal(bytes)
            .ok_or_else(|| damaged(anyhow!("it is not as it was written: its checksum differs")))?;
        /// What all versions have.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let parse = |error: serde_json::Error| damaged(error.into());
        // Of all that are read, nearly all are of this version: those once.
        let record = match serde_json::from_slice::<Self>(text) {
            Ok(record) if record.version == VERSION => record,
            read => match serde_json::from_slice::<Versioned>(text).map_err(parse)?.version {
                VERSION => read.map_err(parse)?,
                version => return Err(Unreadable::Foreign(version)),
            },
        };
        let own = || {
            ensure!(record.id == *id, "it is that of container {}", record.id);
            Ok(())
        };
        own().map_err(damaged)?;
        Ok(record)
    }
}

/// Why a record can't be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is not what was written.
    Damaged(anyhow::Error),
    /// It is of another version, written by another program: nothing is
    /// wrong with it.
    Foreign(u32),
}
