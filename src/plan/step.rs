//! What the child does between clone and exec: steps, as data.
//!
//! The plan prints them, the child performs them ([`crate::child`]), and an
//! error is told from them (`launch::explain`): one table for all three.

use std::ffi::CString;
use std::fmt;

use nix::libc::sock_filter;

use crate::security::seccomp::bpf::Flags;
use crate::sys::mount::{MountAttr, Reach};
use crate::sys::process::StringArray;

use super::attr;
use super::namespaces::Namespaces;

/// Where the child keeps a descriptor from one step to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub usize);

impl Slot {
    /// The container's root.
    pub const ROOT: Self = Self(0);
}

/// A point that the child may not pass before the parent says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Gate {
    /// The id maps are written and read back.
    Mapped = 1,
    /// The network namespace is made; it comes with the word.
    Network = 2,
    /// The watcher is there, and the maker of the network has gone: so the
    /// payload may be.
    Guarded = 3,
    /// The child is in the control group that was made for it.
    Placed = 4,
    /// There are steps: no step itself, but what a child waits for that was
    /// made before they were decided.
    Planned = 5,
    /// The network reaches out.
    Connected = 6,
    /// The hooks have run that the launcher runs.
    Hooked = 7,
    /// Others can find the container: it may stay without its launcher.
    Recorded = 8,
    /// Somebody has said that the payload may run: no step's own, but the word
    /// for [`Step::AwaitStart`].
    Started = 9,
    /// The launcher can send signals to a program that it has entered a
    /// container with.
    Held = 10,
    /// No step's own: the container's state comes with the word, for hooks.
    Told = 11,
    /// No step's own: the file for what hooks say comes with the word.
    Heard = 12,
    /// No step's own: who decides about system calls has the listener.
    Listened = 13,
}

impl Gate {
    /// Those that the child says it has come to.
    pub const MET: [Self; 3] = [Self::Hooked, Self::Recorded, Self::Started];
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mapped => "the id maps are written",
            Self::Network => "the network namespace is made",
            Self::Guarded => "the watcher is there, and who made the network gone",
            Self::Placed => "it is in its control group",
            Self::Connected => "the network reaches out",
            Self::Planned => "the steps are decided",
            Self::Hooked => "the hooks have run",
            Self::Recorded => "others can find it",
            Self::Started => "it is started",
            Self::Held => "the launcher has hold of it",
            Self::Told => "the state is told",
            Self::Heard => "what hooks say is heard",
            Self::Listened => "the listener is handed over",
        })
    }
}

/// A stretch of the start that `--timing` tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// From the clone to the gate of the id maps.
    Trees = 1,
    /// Waiting for the id maps.
    Maps = 2,
    /// Everything that is mounted before there is a network.
    Mounts = 3,
    /// Waiting for the network namespace.
    Network = 4,
    /// What takes one, and the new root.
    Root = 5,
    /// Identity, rights, terminal: up to the exec.
    Confine = 6,
    /// Waiting for the network to reach out.
    Uplink = 7,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trees => "open host trees",
            Self::Maps => "wait for the id maps",
            Self::Mounts => "mount",
            Self::Network => "wait for the network namespace",
            Self::Root => "mount what shows it, change the root",
            Self::Confine => "confine",
            Self::Uplink => "wait until the network reaches out",
        })
    }
}

/// How a path of the host is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// As the caller typed it, links and all.
    AsTyped,
    /// It has been looked up before, and leads through no link; `ELOOP` if it
    /// does by now.
    NoLinks,
}

/// What a tree opened on the host must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// A directory.
    Directory,
    /// A device node, or a directory of them.
    Node,
    /// A character device with this number.
    Device {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A block device with this number.
    Block {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
}

/// Where a mount goes.
#[derive(Debug)]
pub enum Target {
    /// On top of the host's root: the container's future root.
    Root,
    /// A place of the host's.
    Spot(Slot),
    /// Below the host's root, out of everybody's way: on its /proc. Not on top
    /// of the root itself: what is stacked there stays when the pivot lets go
    /// of the top of the stack. Nor where hooks look at the host's files.
    Aside,
    /// A path below the container's root, resolved with that root as `/`.
    Path(CString),
    /// A name in a file system of our own, which nobody else has seen yet.
    Inside(Slot, CString),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("/"),
            Self::Spot(_) => f.write_str("the place of the host that the root is from"),
            Self::Aside => f.write_str("the host's /proc, behind the root"),
            Self::Path(path) => write!(f, "{path:?}"),
            Self::Inside(_, name) => write!(f, "{name:?} of it"),
        }
    }
}

/// What to do where a mount's target is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Make it, and what leads to it.
    Create,
    /// Leave this step out.
    Skip,
    /// Make it if that can be done, else leave this step out.
    Try,
}

/// The supplementary groups of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Exactly these, ids inside.
    Set(Vec<u32>),
    /// Those of the caller, as they are.
    Keep,
}

/// Capability sets, one bit a capability; capabilities(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What an exec can still give.
    pub bounding: u64,
    /// What counts now.
    pub effective: u64,
    /// What can be made effective.
    pub permitted: u64,
    /// What an exec of a file with inheritable capabilities keeps.
    pub inheritable: u64,
    /// What an exec as another user than root keeps.
    pub ambient: u64,
}

/// A program that the child runs on its way.
#[derive(Debug)]
pub struct Hook {
    /// Which list of the configuration it is in.
    pub field: &'static str,
    /// Its place in that list, from 0.
    pub number: u32,
    /// The program.
    pub path: CString,
    /// The arguments, its name among them.
    pub argv: StringArray,
    /// The environment.
    pub envp: StringArray,
    /// How long it may run.
    pub seconds: Option<u64>,
    /// The file mode creation mask, if it is not the child's.
    pub umask: Option<u32>,
    /// A filter that the child has not loaded itself, and its
    /// `SECCOMP_FILTER_FLAG_*`.
    pub filter: Option<(Vec<sock_filter>, u32)>,
}

/// One thing that the child does between clone and exec.
#[derive(Debug)]
pub enum Step {
    /// Waits until the parent has opened the gate.
    Pass(Gate),
    /// Tells the parent that it has come to the gate, and waits there.
    Meet(Gate),
    /// Tells the parent that a stretch is over.
    Mark(Phase),
    /// Sets how mounts pass between the host and here: `MS_PRIVATE` or
    /// `MS_SLAVE`.
    Propagation(u64),
    /// Copies the mounts at a path of the host.
    OpenTree {
        /// The path, on the host.
        source: CString,
        /// How that is looked up.
        lookup: Lookup,
        /// Where the copy is kept.
        into: Slot,
        /// The mount, or all below it.
        reach: Reach,
        /// What it must be.
        expect: Expect,
    },
    /// Opens a place of the host's, for something to be mounted there.
    OpenSpot {
        /// The path, on the host.
        path: CString,
        /// Where it is kept.
        into: Slot,
    },
    /// Copies a mount that is kept, whole or from a name in it.
    CopyTree {
        /// What is copied.
        from: Slot,
        /// A name in it; empty for all of it.
        name: CString,
        /// Where the copy is kept.
        into: Slot,
    },
    /// Hides what is at a path of the container: a directory behind an empty
    /// one, anything else behind the null device.
    Mask {
        /// The path, inside; nothing there is nothing to hide.
        path: CString,
        /// The null device.
        null: Slot,
        /// An empty directory.
        empty: Slot,
        /// Whether it was asked for by name, and has to be there.
        asked: bool,
    },
    /// Makes what is at a path of the container read-only, with all mounts
    /// below it.
    Protect {
        /// The path, inside; nothing there is nothing to protect.
        path: CString,
    },
    /// Makes a new instance of a file system.
    NewFilesystem {
        /// Its type.
        kind: CString,
        /// Its options.
        options: Vec<(CString, Option<CString>)>,
        /// `MOUNT_ATTR_*`.
        attrs: u64,
        /// Where it is kept.
        into: Slot,
    },
    /// Copies what is in a directory of the container's into a new file system
    /// that will cover it.
    CopyUp {
        /// The file system.
        tree: Slot,
        /// The directory; nothing there is nothing to copy.
        target: CString,
        /// Its root keeps the mode that it was made with.
        mode_is_given: bool,
    },
    /// Makes a time namespace, and goes into it.
    NewClocks {
        /// What /proc/self/timens_offsets takes.
        offsets: Vec<u8>,
    },
    /// Goes into a time namespace of others.
    JoinClocks {
        /// Its path, on the host.
        path: CString,
    },
    /// Makes a cgroup namespace, whose root is the group that it is in.
    UnshareCgroup,
    /// Changes the attributes of a mount that is kept.
    SetAttr {
        /// The mount.
        tree: Slot,
        /// What it is, for people.
        what: String,
        /// What changes.
        attr: MountAttr,
        /// The mount, or all below it.
        reach: Reach,
    },
    /// Makes all mounts below one that is kept read-only, but not that itself.
    ProtectBelow {
        /// The mount.
        tree: Slot,
        /// What it is, for people.
        what: String,
    },
    /// Attaches a mount that is kept.
    Attach {
        /// The mount.
        tree: Slot,
        /// What it is, for people.
        what: String,
        /// Where it goes.
        target: Target,
        /// What to do where that is not there.
        missing: Missing,
    },
    /// Makes a mount the current directory, for options that are paths.
    Enter(Slot),
    /// Makes a directory in a file system of our own.
    MakeDirectory {
        /// The file system.
        at: Slot,
        /// The name.
        name: CString,
        /// Its permissions.
        mode: u32,
    },
    /// Makes a directory in a file system of our own, with the mode and the
    /// owner of a mount's root.
    MakeLike {
        /// The file system.
        at: Slot,
        /// The name.
        name: CString,
        /// The mount.
        like: Slot,
    },
    /// Makes a file in a file system of our own.
    MakeFile {
        /// The file system.
        at: Slot,
        /// The name.
        name: CString,
        /// What it holds.
        content: Vec<u8>,
        /// Its permissions.
        mode: u32,
    },
    /// Makes a symbolic link in a file system of our own.
    MakeLink {
        /// The file system.
        at: Slot,
        /// The name.
        name: CString,
        /// Where it points.
        target: CString,
    },
    /// Leaves the host's root for the container's, and lets go of the former.
    Pivot(Slot),
    /// Sets the host name.
    Hostname(CString),
    /// Sets the NIS domain name.
    Domainname(CString),
    /// Joins the network namespace that came with its gate.
    JoinNetwork,
    /// Writes a file of our own instance of procfs.
    WriteProc {
        /// The procfs.
        proc: Slot,
        /// The file, below it.
        path: CString,
        /// What is written.
        content: Vec<u8>,
    },
    /// Sets a resource limit; setrlimit(2).
    Limit {
        /// `RLIMIT_*`.
        resource: u32,
        /// Its name.
        name: &'static str,
        /// The soft limit.
        soft: u64,
        /// The hard limit.
        hard: u64,
    },
    /// Becomes this user and group inside, keeping every right over the
    /// namespace: who makes the mounts.
    Become {
        /// The uid, inside.
        uid: u32,
        /// The gid, inside.
        gid: u32,
    },
    /// Goes to the working directory, which must be inside.
    WorkDirectory(CString),
    /// Sees the machine as one of this kind; personality(2).
    Personality {
        /// `PER_*`.
        domain: u32,
        /// Its name.
        name: &'static str,
    },
    /// Sets how it is scheduled; sched_setattr(2).
    Schedule {
        /// `SCHED_*`.
        policy: u32,
        /// Its name.
        name: &'static str,
        /// Its nice value.
        nice: i32,
        /// Its priority, if it is real-time.
        priority: u32,
        /// `SCHED_FLAG_*`.
        flags: u64,
    },
    /// Runs on these processors alone; sched_setaffinity(2).
    RunOn(Vec<u32>),
    /// Takes its memory from where this says; set_mempolicy(2).
    MemoryPolicy {
        /// `MPOL_*`, with the flags.
        mode: u32,
        /// Its name.
        name: String,
        /// The memory nodes.
        nodes: Vec<u32>,
    },
    /// Sets how its requests to disks are scheduled; ioprio_set(2).
    DiskPriority {
        /// `IOPRIO_CLASS_*`.
        class: u16,
        /// Its name.
        name: &'static str,
        /// How near to the front within it: 0 to 7.
        level: u16,
    },
    /// Sets the file mode creation mask.
    Umask(u32),
    /// Becomes the payload's user.
    Identity {
        /// The uid, inside.
        uid: u32,
        /// The gid, inside.
        gid: u32,
        /// The supplementary groups.
        groups: Groups,
        /// The capability sets that go with it, read back once they are set.
        capabilities: Capabilities,
    },
    /// No exec from here on gives more rights than there are.
    NoNewPrivileges,
    /// Loads a system call filter.
    Seccomp {
        /// The filter.
        filter: Vec<sock_filter>,
        /// `SECCOMP_FILTER_FLAG_*`; with that for a new listener, this is
        /// handed over.
        flags: u32,
    },
    /// Stays behind as the reaper; the payload goes on as its child.
    Reaper,
    /// Lets nobody without rights over the host's user namespace look into its
    /// memory, nor at what it has open; ptrace(2), "dumpable".
    HideMemory,
    /// Closes all that the launcher has open, but what is kept, and what lies
    /// below this number: the standard streams, and what is handed down.
    LetGo(u32),
    /// Goes into namespaces of a process.
    Join {
        /// Its pidfd.
        process: Slot,
        /// Which.
        namespaces: Namespaces,
    },
    /// Ends, and goes on as a new process, without what was kept: who joins a
    /// pid namespace is not in it, but those are that it makes (setns(2)).
    Born,
    /// Opens a pty of the devpts that the container has at /dev/pts, and hands
    /// its other end to the parent.
    OpenPty {
        /// Who it belongs to, as numbered inside.
        owner: u32,
        /// Where the terminal is kept.
        into: Slot,
    },
    /// Leaves the caller's session, and with it its terminal.
    NewSession,
    /// Makes a socket for messages to the service manager in the container's
    /// /dev, and hands it to the parent.
    OpenNotify {
        /// The /dev.
        dev: Slot,
    },
    /// Opens a pty of the container's own devpts, shows it as /dev/console and
    /// hands its other end to the parent.
    OpenTerminal {
        /// The /dev.
        dev: Slot,
        /// The devpts, which holds `ptmx`.
        pts: Slot,
        /// Who it belongs to, as numbered inside.
        owner: u32,
        /// Its rows and columns, where they are not those of the caller's.
        size: Option<(u16, u16)>,
        /// Where the terminal is kept.
        into: Slot,
    },
    /// Takes a terminal as the session's own, and as standard streams.
    TakeTerminal(Slot),
    /// Takes the host's null device as standard input.
    NullInput,
    /// Takes the host's null device as standard output and standard error.
    NullOutput,
    /// Dies when the parent dies.
    DieWithParent,
    /// Runs a program, and waits for its end.
    Hook(Box<Hook>),
    /// Looks whether one of these can be executed.
    Find {
        /// The paths to try, in order.
        candidates: Vec<CString>,
    },
    /// Lets go of every descriptor but the standard ones, those handed down and
    /// the doorstep, and waits there until somebody says that it may go on.
    AwaitStart {
        /// The first descriptor that is not handed down.
        first: u32,
    },
    /// Closes every descriptor from this one upwards at the exec.
    CloseFrom(u32),
    /// Gives every signal its default disposition, and blocks none.
    ResetSignals,
    /// Becomes the payload. Does not return.
    Exec {
        /// The paths to try, in order.
        candidates: Vec<CString>,
        /// The arguments.
        argv: StringArray,
        /// The environment.
        envp: StringArray,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(gate) => write!(f, "wait until {gate}"),
            Self::Meet(gate) => write!(f, "say that it is here, and wait until {gate}"),
            Self::Mark(phase) => write!(f, "note the time after: {phase}"),
            Self::Propagation(kind) => {
                write!(f, "make every mount {}", attr::propagation_word(*kind))
            }
            Self::OpenTree { source, reach: Reach::Mount, .. } => write!(f, "open {source:?}"),
            Self::OpenTree { source, .. } => write!(f, "open {source:?} with all mounts below it"),
            Self::OpenSpot { path, .. } => write!(f, "note the place {path:?}"),
            Self::CopyTree { name, .. } if name.is_empty() => f.write_str("copy the mount"),
            Self::CopyTree { name, .. } => write!(f, "copy the mount at its {name:?}"),
            Self::Mask { path, asked: true, .. } => write!(f, "hide {path:?}"),
            Self::Mask { path, .. } => write!(f, "hide {path:?}, if there"),
            Self::Protect { path } => write!(f, "make {path:?} read-only, if there"),
            Self::NewFilesystem { kind, options, attrs, .. } => {
                write!(f, "make a new {}", kind.to_string_lossy())?;
                let mut words: Vec<String> = attr::words(*attrs);
                // The source is what it is called in the table of mounts, no more.
                let options = options.iter().filter(|(key, _)| key.as_bytes() != b"source");
                words.extend(options.map(|(key, value)| match value {
                    Some(value) => format!("{}={}", key.to_string_lossy(), value.to_string_lossy()),
                    None => key.to_string_lossy().into_owned(),
                }));
                if words.is_empty() { Ok(()) } else { write!(f, " ({})", words.join(",")) }
            }
            Self::CopyUp { target, .. } => write!(f, "copy what is in {target:?} to it"),
            Self::NewClocks { offsets } if offsets.is_empty() => {
                f.write_str("make clocks of its own")
            }
            Self::NewClocks { offsets } => {
                let offsets = String::from_utf8_lossy(offsets);
                write!(f, "make clocks of its own, {}", offsets.trim_end().replace('\n', ", "))
            }
            Self::JoinClocks { path } => write!(f, "join the clocks at {path:?}"),
            Self::UnshareCgroup => f.write_str("make its control group the root of all it sees"),
            Self::SetAttr { what, attr, reach, .. } => {
                let mut words = attr::words(attr.set);
                if attr.propagation != 0 {
                    words.push(attr::propagation_word(attr.propagation).to_owned());
                }
                write!(f, "make {what} {}", words.join(","))?;
                if *reach == Reach::Tree {
                    f.write_str(" with all mounts below it")
                } else {
                    Ok(())
                }
            }
            Self::ProtectBelow { what, .. } => {
                write!(f, "make all mounts below {what} read-only")
            }
            Self::Attach { what, target, missing, .. } => {
                write!(f, "mount {what} at {target}")?;
                match missing {
                    Missing::Create => Ok(()),
                    Missing::Skip => f.write_str(", if there"),
                    Missing::Try => f.write_str(", if it can be"),
                }
            }
            Self::Enter(_) => f.write_str("go into it"),
            Self::MakeDirectory { name, .. } => write!(f, "make its directory {name:?}"),
            Self::MakeLike { name, .. } => {
                write!(f, "make its directory {name:?} with the mode and the owner of the layer")
            }
            Self::MakeFile { name, content, .. } if content.is_empty() => {
                write!(f, "make its file {name:?}")
            }
            Self::MakeFile { name, content, .. } => {
                write!(f, "make its file {name:?} of {} bytes", content.len())
            }
            Self::MakeLink { name, target, .. } => write!(f, "link its {name:?} to {target:?}"),
            Self::Pivot(_) => f.write_str("make it the root and detach the former one"),
            Self::Hostname(name) => write!(f, "set the host name {name:?}"),
            Self::Domainname(name) => write!(f, "set the domain name {name:?}"),
            Self::JoinNetwork => f.write_str("join it, with its loopback interface up"),
            Self::WriteProc { path, content, .. } => {
                write!(
                    f,
                    "write {:?} to /proc/{}",
                    String::from_utf8_lossy(content),
                    path.to_string_lossy()
                )
            }
            Self::Limit { name, soft, hard, .. } => {
                write!(f, "limit {name} to {}:{}", attr::limit_word(*soft), attr::limit_word(*hard))
            }
            Self::Become { uid, gid } => write!(f, "become uid {uid} and gid {gid} for the set-up"),
            Self::WorkDirectory(path) => write!(f, "go to the working directory {path:?}"),
            Self::Personality { name, .. } => write!(f, "take the personality {name}"),
            Self::Schedule { name, nice, priority, flags, .. } => {
                write!(f, "be scheduled by {name}, nice {nice}, priority {priority}")?;
                if *flags != 0 { write!(f, ", flags {flags:#x}") } else { Ok(()) }
            }
            Self::RunOn(processors) => write!(f, "run on the CPUs {processors:?}"),
            Self::MemoryPolicy { name, nodes, .. } if nodes.is_empty() => {
                write!(f, "take memory by {name}")
            }
            Self::MemoryPolicy { name, nodes, .. } => {
                write!(f, "take memory by {name} of the nodes {nodes:?}")
            }
            Self::DiskPriority { name, level, .. } => {
                write!(f, "have the {name} priority {level} at disks")
            }
            Self::Umask(mask) => write!(f, "set the umask {mask:04o}"),
            Self::Identity { uid, gid, groups, capabilities } => {
                write!(f, "become uid {uid} and gid {gid} with ")?;
                match groups {
                    Groups::Keep => f.write_str("the caller's groups")?,
                    Groups::Set(groups) if groups.is_empty() => f.write_str("no other group")?,
                    Groups::Set(groups) => write!(f, "groups {groups:?}")?,
                }
                write!(
                    f,
                    ", {} capabilities of {} that can be had",
                    capabilities.effective.count_ones(),
                    capabilities.bounding.count_ones()
                )
            }
            Self::NoNewPrivileges => f.write_str("give up gaining rights by exec (no_new_privs)"),
            Self::Seccomp { filter, flags } => {
                write!(f, "load the system call filter of {} instructions", filter.len())?;
                match Flags::from_bits(*flags).contains(Flags::NEW_LISTENER) {
                    true => f.write_str(", and hand its listener over"),
                    false => Ok(()),
                }
            }
            Self::Reaper => f.write_str("stay as the reaper, the payload goes on as its child"),
            Self::HideMemory => f.write_str("hide its memory from the container"),
            Self::LetGo(_) => f.write_str("let go of all that the launcher has open"),
            Self::Join { namespaces, .. } => {
                write!(f, "join the container's namespaces: {namespaces}")
            }
            Self::Born => f.write_str("go on as a new process, born in them"),
            Self::OpenPty { owner, .. } => {
                write!(f, "open a new pty of the container's /dev/pts for uid {owner}")
            }
            Self::NewSession => f.write_str("start a new session without a terminal"),
            Self::OpenNotify { .. } => {
                f.write_str("make a socket for what it tells the service manager")
            }
            Self::OpenTerminal { owner, .. } => write!(f, "open a new pty for uid {owner}"),
            Self::TakeTerminal(_) => f.write_str("take it as the session's terminal"),
            Self::NullInput => f.write_str("take /dev/null as standard input"),
            Self::NullOutput => f.write_str("take /dev/null as standard output and error"),
            Self::DieWithParent => f.write_str("die with the launcher"),
            Self::Hook(hook) => write!(f, "run hooks.{}: {:?}", hook.field, hook.path),
            Self::Find { .. } => f.write_str("look for the program"),
            Self::AwaitStart { first } => {
                write!(f, "let go of every descriptor from {first} and wait for the start")
            }
            Self::CloseFrom(first) => write!(f, "close every descriptor from {first} at the exec"),
            Self::ResetSignals => f.write_str("give every signal its default disposition"),
            Self::Exec { candidates, argv, .. } => {
                let argv: Vec<_> = argv.strings().iter().map(|a| a.to_string_lossy()).collect();
                let shown = match candidates.as_slice() {
                    [one] => one.to_string_lossy().into_owned(),
                    _ => argv.first().map(|a| a.to_string()).unwrap_or_default(),
                };
                write!(f, "execute {shown:?} as {argv:?}")
            }
        }
    }
}
