//! What was asked for, in the field's own language.
//!
//! Every front door fills one [`Spec`]: the OCI runtime specification, and
//! beside it only what that cannot say. Nothing here is probed from the host;
//! `plan` decides what comes of it.
#![forbid(unsafe_code)]

pub mod background;
mod container;
mod csv;
pub mod device;
pub mod duration;
pub mod env;
pub mod env_file;
pub mod health;
mod id;
pub mod idmap;
pub mod keys;
pub mod known;
pub mod masks;
pub mod mount;
pub mod network;
pub mod oci;
pub mod port;
pub mod process;
pub mod resources;
pub mod rlimit;
mod root;
pub mod security;
pub mod signal;
pub mod size;
pub mod sockets;
mod user;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::security::caps::CapSet;
use background::{Log, Notify, Restart, Stop};
use health::Health;
pub use id::{ContainerId, Name};
use known::Known;
use network::{Names, Network, Service};
use port::Port;
use resources::control::Control;
pub use user::{GroupName, UserName};

/// What one container is asked to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The runtime specification, fields and units as there.
    ///
    /// `root.path` is not read: [`Beside::root`] says where the root comes
    /// from. `process.user` is not read either where [`Beside::user`] is set.
    /// `linux.uid_mappings` and `linux.gid_mappings` hold what `--uidmap` and
    /// `--gidmap` gave, host ids as the host has them, and are empty for every
    /// other [`Userns`]. An empty `process.args` asks for a shell, and where
    /// `process.env` has no HOME the user's is meant. The options of a mount
    /// are complete, as [`mount`] says.
    pub oci: oci_spec::runtime::Spec,
    /// What the specification cannot say.
    pub beside: Beside,
}

/// The part of a [`Spec`] that OCI has no field for.
///
/// It is kept on disk (`state`): a field that comes later is `serde(default)`,
/// and a program that doesn't know one may not pass over it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// The container's id.
    pub id: ContainerId,
    /// What a person calls it.
    pub name: Option<Name>,
    /// What else is written down of it.
    pub known: Known,
    /// Where the root filesystem comes from.
    pub root: Root,
    /// How ids are mapped.
    pub userns: Userns,
    /// `--user`, by name or number, to be looked up in the root's own files.
    pub user: Option<UserRequest>,
    /// `--group-add`, in order, to be looked up likewise.
    pub groups: Vec<GroupName>,
    /// `--group-add keep-groups`: the caller's own supplementary groups stay.
    pub keep_groups: bool,
    /// The targets of `--device`: mounts that have to be of devices.
    pub devices: Vec<PathBuf>,
    /// Capabilities that were asked for by name. A payload that is not root
    /// keeps them too, as ambient ones; it would lose all others by its exec.
    pub added_capabilities: CapSet,
    /// The five sets of `process.capabilities` are meant as they stand,
    /// whoever the payload is.
    #[serde(default)]
    pub exact_capabilities: bool,
    /// How long it lives.
    #[serde(default)]
    pub lifetime: Lifetime,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// A reaper of ours is pid 1 and the payload its child.
    pub init: bool,
    /// What the payload's standard input is.
    pub stdin: Stdin,
    /// How many descriptors from 3 upwards the payload inherits.
    pub preserve_fds: u32,
    /// How many of these, the first ones, are sockets of a service manager's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sockets: u32,
    /// Containers may be made inside this one.
    pub nested: bool,
    /// `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf` are made by us.
    pub etc_files: bool,
    /// The container's control group, whose limits are `linux.resources`.
    pub control: Control,
    /// How long the payload may run.
    pub timeout: Option<Duration>,
    /// How it reaches the world.
    pub network: Network,
    /// Whom it asks for names.
    pub names: Names,
    /// The ports of the container that the host has.
    pub ports: Vec<Port>,
    /// The services of the host that it reaches.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Where its output goes in the background.
    pub log: Log,
    /// When it is started again.
    pub restart: Restart,
    /// How it is asked to end.
    pub stop: Stop,
    /// Who says that it is ready.
    #[serde(default)]
    pub notify: Notify,
    /// How it is asked whether it is well, if it is.
    #[serde(default)]
    pub health: Option<Health>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Beside {
    /// What stands for the container where people read: in its own host name.
    pub fn label(&self) -> &str {
        self.name.as_ref().map_or(self.id.short(), Name::as_str)
    }
}

/// Where the root filesystem comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// A directory, bound as it is.
    Directory(PathBuf),
    /// A directory below a throw-away overlay.
    Overlay(PathBuf),
    /// The machine's own system, read-only, private directories emptied.
    Host,
}

/// How long a container lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lifetime {
    /// At most as long as its launcher, who stays with it.
    #[default]
    WithLauncher,
    /// Until its payload ends, who waits for a word first: the launcher goes
    /// as soon as it is made.
    Own,
}

/// How ids inside relate to ids outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Userns {
    /// A range with the caller as container root, or one id where there is
    /// no range to be had.
    Auto,
    /// One id: the caller's, as container root.
    Single,
    /// The caller keeps its number inside, or gets the one given.
    KeepId {
        /// The caller's uid inside; its own where `None`.
        uid: Option<u32>,
        /// The caller's gid inside; its own where `None`.
        gid: Option<u32>,
    },
    /// The caller's own id is not in the map.
    NoMap,
    /// As `linux.uid_mappings` and `linux.gid_mappings` say.
    Custom,
    /// There is no user namespace but the caller's, who has rights over it.
    Caller,
}

/// Who the payload is, before it is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// The user.
    pub user: UserName,
    /// The primary group; the user's own, or 0, where `None`.
    pub group: Option<GroupName>,
}

/// Which system calls the payload may make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seccomp {
    /// The profile that was compiled in.
    #[default]
    Default,
    /// No filter.
    Unconfined,
    /// `oci.linux.seccomp`, from a bundle.
    Profile,
    /// A file in OCI's, docker's or podman's form, not yet read: what its
    /// conditions come to depends on the machine.
    File(PathBuf),
}

/// What the payload's standard input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stdin {
    /// The null device.
    Null,
    /// The caller's.
    Inherit,
}
