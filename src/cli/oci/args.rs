//! What is typed: runc's words, and those of crun that engines use.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::log::Form;
use crate::spec::resources::control::Cgroups;

/// An OCI runtime without root and without a daemon
#[derive(Debug, Parser)]
#[command(name = "sublet-oci", version = VERSION, after_help = EXAMPLES)]
pub struct Cli {
    /// The directory of the containers' states
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// The file that errors and warnings go to
    #[arg(long, value_name = "FILE")]
    pub log: Option<String>,

    /// How they are written there
    #[arg(long, value_name = "FORM", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Taken, for callers that give it: all is logged that there is
    #[arg(long)]
    pub debug: bool,

    /// Taken likewise
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// Control groups are made by systemd
    #[arg(long)]
    pub systemd_cgroup: bool,

    /// Who makes control groups
    #[arg(long, value_name = "WHO", value_enum)]
    pub cgroup_manager: Option<CgroupManager>,

    /// Taken, for callers that give it: it always does without root
    #[arg(long, value_name = "BOOL")]
    pub rootless: Option<String>,

    #[command(subcommand)]
    pub verb: Verb,
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\nspec: 1.3.0");

const EXAMPLES: &str = "\
Examples:
  podman --runtime /usr/local/bin/sublet-oci run --rm --cgroups=disabled alpine id
  sublet-oci spec; sublet-oci run --bundle . web
  sublet-oci --log-format json --log /tmp/log create --bundle ./web web && sublet-oci start web";

impl Cli {
    /// Who makes control groups.
    pub fn cgroups(&self) -> Cgroups {
        match (self.cgroup_manager, self.systemd_cgroup) {
            (Some(CgroupManager::Disabled), _) => Cgroups::Disabled,
            (Some(CgroupManager::Systemd), _) | (None, true) => Cgroups::Systemd,
            (Some(CgroupManager::Cgroupfs), _) | (None, false) => Cgroups::Direct,
        }
    }
}

/// How a log is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// An object on each line
    Json,
}

impl From<LogFormat> for Form {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// Who makes control groups.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CgroupManager {
    /// The runtime
    Cgroupfs,
    /// systemd
    Systemd,
    /// Nobody
    Disabled,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a container that waits for its start
    Create(Create),
    /// Have the program of a container run that was made
    Start(Container),
    /// Tell what a container does, as JSON
    State(Container),
    /// Send a signal to the first process of a container
    Kill(Kill),
    /// Remove a container that is over
    Delete(Delete),
    /// Make a container, start it, wait for it and remove it
    Run(Run),
    /// Run another program in a container
    Exec(Box<Exec>),
    /// List the containers
    List(List),
    /// List the processes of a container
    Ps(Ps),
    /// Stop all processes of a container for a while
    Pause(Container),
    /// Have them go on
    Resume(Container),
    /// Change the limits of a container
    Update(Box<Update>),
    /// Tell what a container uses
    Events(Events),
    /// Write a config.json to begin with
    Spec(Spec),
    /// Tell what this runtime can do, as JSON
    Features,
}

/// One container.
#[derive(Debug, Args)]
pub struct Container {
    /// Its id
    pub id: String,
}

/// A new container.
#[derive(Debug, Args)]
pub struct Create {
    /// Its id
    pub id: String,

    /// The directory that has its config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,

    /// The socket that its terminal is sent to
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,

    /// The file that its pid is written to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,

    /// How many descriptors from 3 upwards it inherits
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,

    /// Taken, and refused: the root is changed by pivot_root alone
    #[arg(long, hide = true, action = ArgAction::SetTrue)]
    pub no_pivot: bool,

    /// Taken, for callers that give it: no keyring is made
    #[arg(long)]
    pub no_new_keyring: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub create: Create,

    /// Leave it running
    #[arg(short, long)]
    pub detach: bool,

    /// Leave its state when it is over
    #[arg(long)]
    pub keep: bool,

    /// Taken, for callers that give it: it never becomes one
    #[arg(long)]
    pub no_subreaper: bool,
}

/// `kill`.
#[derive(Debug, Args)]
pub struct Kill {
    /// The container's id
    pub id: String,

    /// The signal, by name or number
    #[arg(default_value = "TERM")]
    pub signal: String,

    /// With KILL all that is left in its control group, and no error where its
    /// first process has ended: with that one ends what is in a pid namespace of
    /// the container's own, but nothing in one that it shares
    #[arg(short, long)]
    pub all: bool,
}

/// `delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// The container's id
    pub id: String,

    /// Kill it first, and bear with one that is not there
    #[arg(short, long)]
    pub force: bool,
}

/// `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// The container's id, the program and its arguments: what follows the id
    /// is not ours
    #[arg(value_name = "ID", num_args = 1.., required = true, trailing_var_arg = true)]
    pub words: Vec<String>,

    /// A file that has the program in the form of `process` of a configuration
    #[arg(short, long, value_name = "FILE")]
    pub process: Option<PathBuf>,

    /// Leave it running
    #[arg(short, long)]
    pub detach: bool,

    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,

    /// The socket that its terminal is sent to
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,

    /// The file that its pid is written to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,

    /// Where it starts
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,

    /// A variable of its environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,

    /// Who runs it
    #[arg(short, long, value_name = "UID[:GID]")]
    pub user: Option<String>,

    /// Another group that it is in
    #[arg(short = 'g', long, value_name = "GID")]
    pub additional_gids: Vec<u32>,

    /// Another capability that it has
    #[arg(short, long, value_name = "CAPABILITY")]
    pub cap: Vec<String>,

    /// It may not gain privileges
    #[arg(long)]
    pub no_new_privs: bool,

    /// Its AppArmor profile: `unconfined` is taken
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,

    /// Its SELinux label: none can be had
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,

    /// How many descriptors from 3 upwards it inherits
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,

    /// Also in a container that is paused, where it waits
    #[arg(long)]
    pub ignore_paused: bool,

    /// Taken, for callers that give it: it never becomes one
    #[arg(long, hide = true)]
    pub no_subreaper: bool,
}

/// `update`.
#[derive(Debug, Args)]
pub struct Update {
    /// The container's id
    pub id: String,

    /// A file that has the limits in the form of `resources` of a configuration;
    /// - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub resources: Option<PathBuf>,

    /// Memory
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    pub memory: Option<String>,

    /// Memory that others don't take from it
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    pub memory_reservation: Option<String>,

    /// Memory and swap together
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    pub memory_swap: Option<String>,

    /// The period of the quota, in microseconds
    #[arg(long, value_name = "N")]
    pub cpu_period: Option<u64>,

    /// Time of the CPU in each period, in microseconds
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub cpu_quota: Option<i64>,

    /// What may be saved up of it, in microseconds
    #[arg(long, value_name = "N")]
    pub cpu_burst: Option<u64>,

    /// Its share where others want the CPU too
    #[arg(long, value_name = "N", visible_alias = "cpu-shares")]
    pub cpu_share: Option<u64>,

    /// 1: it runs where nobody else wants to
    #[arg(long, value_name = "0|1")]
    pub cpu_idle: Option<i64>,

    /// The CPUs that it runs on
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,

    /// The memory nodes that it is given from
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,

    /// Processes and threads
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub pids_limit: Option<i64>,

    /// Its share where others want the disk too
    #[arg(long, value_name = "N")]
    pub blkio_weight: Option<u16>,
}

/// `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// The container's id
    pub id: String,

    /// How long to wait between two figures: 5s, 1m
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub interval: String,

    /// The figures of now, and no more
    #[arg(long)]
    pub stats: bool,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// Columns
    Table,
    /// An array
    Json,
}

/// `list`.
#[derive(Debug, Args)]
pub struct List {
    /// How it is written
    #[arg(short, long, value_enum, default_value = "table")]
    pub format: Format,

    /// The ids alone
    #[arg(short, long)]
    pub quiet: bool,
}

/// `ps`.
#[derive(Debug, Args)]
pub struct Ps {
    /// How it is written
    #[arg(short, long, value_enum, default_value = "table")]
    pub format: Format,

    /// The container's id
    pub id: String,

    /// What ps(1) is asked for; without it the pids alone are told
    #[arg(value_name = "PS OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<String>,
}

/// `spec`.
#[derive(Debug, Args)]
pub struct Spec {
    /// The directory that gets the file
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,

    /// Taken, for callers that give it: it always is for an ordinary user
    #[arg(long)]
    pub rootless: bool,
}
