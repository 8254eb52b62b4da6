//! `--network container:NAME` and `ns:PATH`: whose network it is, and who owns
//! that.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;

use super::record;
use crate::child::companion::Companion;
use crate::error::Explain;
use crate::host::Host;
use crate::host::caller::CAP_SYS_ADMIN;
use crate::idmap;
use crate::plan::join::{Join, Owner, Whose};
use crate::spec::network::Network;
use crate::state::{Life, Record};
use crate::sys::{Errno, confine, fd, link, path, process};

/// Finds the network that is asked for, where it is somebody else's.
///
/// # Errors
/// Where it is not there, or not the caller's to join.
pub fn find(asked: &Network, host: &Host) -> anyhow::Result<Option<Join>> {
    match asked {
        Network::Container(word) => of_container(word, host),
        Network::Namespace(path) => at(path, host),
        _ => return Ok(None),
    }
    .context("--network")
    .map(Some)
}

fn of_container(word: &str, host: &Host) -> anyhow::Result<Join> {
    let record = started(word)?;
    let told = format!("container {}", record.label());
    let process = Inside::of(&record)?;
    let network = process.open("ns/net")?;
    let (hosts, resolv) = (process.text(c"etc/hosts"), process.text(c"etc/resolv.conf"));
    if is_ours("net", network.as_fd())? {
        return Err(anyhow!("{told} has the host's network"))
            .hint("--network host shares it without that container");
    }
    if is_ours("pid", process.open("ns/pid")?.as_fd())? {
        return Err(anyhow!("{told} would end this one with itself: it has --pid host")).hint(
            "its processes are told from others by its user namespace, which this one shares",
        );
    }
    // Whatever had its number by then, what was opened was not its.
    process.lives().with_context(|| told.clone())?;
    owned(Whose { told, hosts, resolv }, network, host)
}

/// How long a container is waited for that is being started.
const PATIENCE: Duration = Duration::from_secs(2);

/// The record of a container, which may be being started: that it runs is
/// written down once it does.
fn started(word: &str) -> anyhow::Result<Record> {
    let (store, until) = (record::store()?, Instant::now() + PATIENCE);
    loop {
        let record = store.find(word)?;
        if !matches!(record.life, Life::Created { launcher: Some(_) }) || Instant::now() > until {
            return Ok(record);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn at(path: &Path, host: &Host) -> anyhow::Result<Join> {
    let told = format!("the namespace at {}", path.display());
    let opened = || -> anyhow::Result<OwnedFd> {
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
        Ok(path::open_typed(&name, flags)?)
    };
    let network = opened().with_context(|| format!("open {}", path.display())).hint(
        "it is /proc/PID/ns/net, or a file to which that is bound: ip netns, unshare --net=FILE",
    )?;
    if is_ours("net", network.as_fd())? {
        return Err(anyhow!("{told} is the host's network")).hint("--network host shares it");
    }
    owned(Whose { told, hosts: None, resolv: None }, network, host)
}

/// Looks who owns a network, and which ids that one has.
fn owned(whose: Whose, network: OwnedFd, host: &Host) -> anyhow::Result<Join> {
    match link::kind(network.as_fd()) {
        Ok(libc::CLONE_NEWNET) => {}
        Ok(_) | Err(Errno::ENOTTY) => bail!("{whose} is no network namespace"),
        Err(errno) => return Err(errno).with_context(|| format!("look at {whose}")),
    }
    let stranger = "the caller's own can be joined: those of his containers, and what he made \
                    with unshare --user --net";
    let owner = match link::owner(network.as_fd()) {
        Err(Errno::EPERM) => {
            return Err(anyhow!("{whose} belongs to a user namespace outside of this one"))
                .hint(stranger);
        }
        owner => owner.with_context(|| format!("look who owns {whose}"))?,
    };
    if is_ours("user", owner.as_fd())? {
        if !host.caller()?.effective.have(&[CAP_SYS_ADMIN]) {
            return Err(anyhow!("{whose} is the machine's own, and so for its root alone"))
                .hint(stranger);
        }
        return Ok(Join { whose, network, owner: None });
    }
    let visitor = visit(owner.as_fd()).or_else(|errno| {
        let maker = link::maker(owner.as_fd()).map_or("another".to_owned(), |uid| uid.to_string());
        let cause = match errno {
            Errno::EPERM => format!("its user namespace was made by uid {maker}"),
            errno => errno.desc().to_owned(),
        };
        Err(anyhow!(cause)).with_context(|| format!("join {whose}")).hint(stranger)
    })?;
    let (uids, gids, setgroups) = idmap::of_process(visitor.0.pid())?;
    drop(visitor);
    let owner = Some(Owner { namespace: owner, uids, gids, setgroups });
    Ok(Join { whose, network, owner })
}

/// A process in a user namespace, whose ids are read from it: of a namespace
/// itself the kernel tells none.
fn visit(user: BorrowedFd<'_>) -> Result<(Companion, OwnedFd), Errno> {
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let visitor = Companion::start([user, theirs.as_fd()].into_iter(), || {
        let gone = process::join(user, libc::CLONE_NEWUSER);
        // Undone by the change of rights (commit_creds).
        let gone = gone.and_then(|()| confine::hide_memory());
        let number = gone.err().map_or(0, |errno| errno as i32);
        let _ = fd::write_all(theirs.as_fd(), &number.to_ne_bytes());
        // Until the launcher has seen enough, or is gone.
        let _ = fd::read(theirs.as_fd(), &mut [0]);
    })?;
    drop(theirs);
    let mut number = [0; 4];
    match fd::read(ours.as_fd(), &mut number)? {
        4 => match i32::from_ne_bytes(number) {
            0 => Ok((visitor, ours)),
            errno => Err(Errno::from_raw(errno)),
        },
        _ => Err(Errno::ESRCH),
    }
}

/// Whether a namespace of that kind is the one that we are in.
fn is_ours(kind: &str, namespace: BorrowedFd<'_>) -> anyhow::Result<bool> {
    let path = format!("/proc/self/ns/{kind}");
    let own = fs::metadata(&path).with_context(|| format!("look at {path}"))?;
    let other = path::status(namespace).context("look at a namespace")?;
    Ok((own.dev(), own.ino()) == (other.dev, other.ino))
}

/// A process of a container that can be looked into.
struct Inside {
    pid: Pid,
    pidfd: OwnedFd,
    label: String,
}

/// The most that is read of a file of another container.
const MOST: u64 = 1 << 20;

impl Inside {
    /// The container's first process, or with a reaper of ours, who lets nobody
    /// look into himself, a child of that.
    fn of(record: &Record) -> anyhow::Result<Self> {
        let label = record.label();
        let not_running = || anyhow!("container {label} is not running");
        let help = "a network is there as long as its container runs: sublet ps";
        let Life::Running { payload, .. } = &record.life else {
            return Err(not_running()).hint(help);
        };
        let Some(pidfd) = payload.open()? else { return Err(not_running()).hint(help) };
        let first = Self { pid: Pid::from_raw(payload.pid), pidfd, label: label.to_owned() };
        if first.open("ns/net").is_ok() {
            return Ok(first);
        }
        let child = first.child().filter(|child| child.open("ns/net").is_ok());
        // Of the first one is told why not.
        Ok(child.filter(|_| first.lives().is_ok()).unwrap_or(first))
    }

    /// A child, which can't be another process with its number: it is one
    /// still when it has been opened.
    fn child(&self) -> Option<Self> {
        let list = || {
            let file = format!("/proc/{0}/task/{0}/children", self.pid);
            fs::read_to_string(file).unwrap_or_default()
        };
        let child: i32 = list().split_ascii_whitespace().next()?.parse().ok()?;
        let pid = Pid::from_raw(child);
        let pidfd = process::open_pidfd(pid).ok()?;
        let is_still = list().split_ascii_whitespace().any(|word| word == child.to_string());
        is_still.then(|| Self { pid, pidfd, label: self.label.clone() })
    }

    fn open(&self, file: &str) -> anyhow::Result<OwnedFd> {
        let path = format!("/proc/{}/{file}", self.pid);
        let opened = File::open(&path).map(OwnedFd::from);
        opened
            .with_context(|| format!("open {path}"))
            .hint("a program that may be executed and not read lets nobody look into it")
    }

    /// A small file of the container's root; nothing where it has none.
    fn text(&self, file: &CStr) -> Option<String> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let root = std::ffi::CString::new(format!("/proc/{}/root", self.pid)).ok()?;
        let root = path::open_typed(&root, flags).ok()?;
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = File::from(path::open_in_root(root.as_fd(), file, flags).ok()?);
        let facts = file.metadata().ok()?;
        let mut text = String::new();
        file.take(MOST).read_to_string(&mut text).ok()?;
        (facts.is_file() && facts.len() < MOST).then_some(text)
    }

    fn lives(&self) -> anyhow::Result<()> {
        match fd::wait_readable([self.pidfd.as_fd()], fd::Patience::None) {
            Ok([false]) => Ok(()),
            _ => bail!("it has just ended"),
        }
    }
}
