//! What runs between clone and exec.
//!
//! A small interpreter of [`Step`]s. The process runs in the launcher's memory
//! beside the launcher (with `--init` in a copy of it), so nothing here takes
//! the heap, formats, logs or panics, nor uses the C library, whose `errno` the
//! launcher shares (but for the close of an `OwnedFd`, which stores one only if
//! it fails). It makes system calls, and on failure sends numbers, which the
//! parent, who holds the same plan, turns into a story.

pub mod background;
mod clocks;
pub mod companion;
mod confine;
mod console;
mod copyup;
pub mod door;
mod doorstep;
mod enter;
pub mod guard;
pub mod helper;
mod hook;
mod join;
pub mod keeper;
mod listener;
mod mount;
pub mod network;
mod notify;
mod reaper;
pub mod report;
pub mod start;
pub mod sweep;
pub mod trial;
pub mod watcher;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use crate::plan::step::{Gate, Slot, Step};
use crate::sys::fd::Patience;
use crate::sys::process::{self, exit_now};
use crate::sys::{Errno, fd, schedule};
use report::{Part, Report};
use start::Orders;

/// A step's failure: which part of it, and the kernel's answer.
pub struct Failure {
    part: Part,
    errno: Errno,
}

impl Part {
    /// Names the part of the step that an errno comes from.
    fn failed(self, errno: Errno) -> Failure {
        Failure { part: self, errno }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self { part: Part::Whole, errno }
    }
}

type Outcome = Result<(), Failure>;

/// What the child holds besides the plan.
struct Child {
    /// The child's end of the channel to the parent; closed by the exec.
    channel: OwnedFd,
    /// The number of the parent's end, of which this table has a copy.
    parents_end: RawFd,
    /// Descriptors kept from step to step; the launcher has made room for all.
    slots: Vec<Option<OwnedFd>>,
    /// Which gates are open, one bit each.
    open: u32,
    /// The network namespace, once it has come.
    network: Option<OwnedFd>,
    /// What has come for hooks.
    told: hook::Told,
    /// Where it waits for its start, if it does; open as long as it lives.
    doorstep: Option<BorrowedFd<'static>>,
}

impl Child {
    fn new(parents_end: BorrowedFd<'_>, channel: OwnedFd) -> Self {
        let parents_end = parents_end.as_raw_fd();
        Self {
            channel,
            parents_end,
            slots: Vec::new(),
            open: 0,
            network: None,
            told: hook::Told::default(),
            doorstep: None,
        }
    }

    /// Performs the steps, the last of which does not return.
    fn run(mut self, orders: &OnceLock<Orders>) -> ! {
        // With it open here, the parent's death would never be heard.
        // SAFETY: in this table of descriptors no `OwnedFd` stands for it.
        unsafe { fd::close(self.parents_end) };
        if orders.get().is_none()
            && let Err(failure) = self.pass(Gate::Planned)
        {
            self.stop(0, failure);
        }
        let Some(orders) = orders.get() else { exit_now(1) };
        // SAFETY: this is the child, and this happens once.
        self.slots = unsafe { orders.take_slots() };
        self.go_on(&orders.steps, 0)
    }

    /// Performs those from the index `first` on.
    fn go_on(mut self, steps: &[Step], first: usize) -> ! {
        for (at, step) in steps.iter().enumerate().skip(first) {
            if let Step::Born = step {
                join::be_born(self, steps, at);
            }
            if let Err(failure) = self.perform(step) {
                self.stop(at, failure);
            }
        }
        self.stop(steps.len(), Errno::ENOEXEC.into())
    }

    fn perform(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Pass(gate) => self.pass(*gate),
            Step::Meet(gate) => doorstep::meet(self, *gate),
            Step::Mark(phase) => self.send(&Report::mark(*phase)),
            Step::Propagation(kind) => Ok(crate::sys::mount::set_root_propagation(*kind)?),
            Step::OpenTree { source, lookup, into, reach, expect } => {
                let tree = mount::open(source, *lookup, *reach, *expect)?;
                self.keep(*into, tree)
            }
            Step::OpenSpot { path, into } => {
                let flags = nix::libc::O_PATH | nix::libc::O_DIRECTORY;
                self.keep(*into, crate::sys::path::open_typed(path, flags)?)
            }
            Step::CopyTree { from, name, into } => {
                let tree = mount::copy(self.kept(*from)?, name)?;
                self.keep(*into, tree)
            }
            Step::Mask { path, null, empty, asked } => {
                let (root, null, empty) =
                    (self.kept(Slot::ROOT)?, self.kept(*null)?, self.kept(*empty)?);
                mount::mask(root, path, (null, empty), *asked)
            }
            Step::Protect { path } => Ok(mount::protect(self.kept(Slot::ROOT)?, path)?),
            Step::NewFilesystem { kind, options, attrs, into } => {
                let options = options.iter().map(|(key, value)| (key.as_c_str(), value.as_deref()));
                let mount = crate::sys::mount::new_filesystem(kind, options, *attrs)?;
                self.keep(*into, mount)
            }
            Step::CopyUp { tree, target, mode_is_given } => {
                Ok(copyup::fill(self.kept(Slot::ROOT)?, target, self.kept(*tree)?, *mode_is_given)?)
            }
            Step::NewClocks { offsets } => clocks::renew(offsets),
            Step::JoinClocks { path } => clocks::join(path),
            Step::UnshareCgroup => Ok(process::unshare(nix::libc::CLONE_NEWCGROUP)?),
            Step::SetAttr { tree, attr, reach, .. } => {
                Ok(crate::sys::mount::set_attr(self.kept(*tree)?, attr, *reach)?)
            }
            Step::ProtectBelow { tree, .. } => Ok(mount::protect_below(self.kept(*tree)?)?),
            Step::Attach { tree, target, missing, .. } => {
                mount::attach(self, self.kept(*tree)?, target, *missing)
            }
            Step::Enter(slot) => Ok(fd::change_directory(self.kept(*slot)?)?),
            Step::MakeDirectory { at, name, mode } => {
                Ok(crate::sys::path::make_directory(self.kept(*at)?, name, *mode)?)
            }
            Step::MakeLike { at, name, like } => {
                Ok(mount::make_like(self.kept(*at)?, name, self.kept(*like)?)?)
            }
            Step::MakeFile { at, name, content, mode } => {
                let file = crate::sys::path::create_file(self.kept(*at)?, name, *mode)?;
                Ok(fd::write_all(file.as_fd(), content)?)
            }
            Step::MakeLink { at, name, target } => {
                Ok(crate::sys::path::make_link(self.kept(*at)?, name, target)?)
            }
            Step::Pivot(root) => mount::pivot(self.kept(*root)?),
            Step::Hostname(name) => Ok(enter::hostname(name)?),
            Step::Domainname(name) => Ok(enter::domainname(name)?),
            Step::JoinNetwork => Ok(network::join(self.network.take())?),
            Step::WriteProc { proc, path, content } => {
                let flags = nix::libc::O_WRONLY;
                let file = crate::sys::path::open_in_root(self.kept(*proc)?, path, flags)?;
                Ok(fd::write_all(file.as_fd(), content)?)
            }
            Step::Limit { resource, soft, hard, .. } => {
                Ok(confine::limit(*resource, *soft, *hard)?)
            }
            Step::Become { uid, gid } => Ok(confine::become_for_setup(*uid, *gid)?),
            Step::WorkDirectory(path) => enter::work_directory(path),
            Step::Personality { domain, .. } => Ok(schedule::set_personality(*domain)?),
            Step::Schedule { policy, nice, priority, flags, .. } => {
                Ok(schedule::set_policy(*policy, *nice, *priority, *flags)?)
            }
            Step::RunOn(processors) => Ok(schedule::set_own_affinity(processors)?),
            Step::MemoryPolicy { mode, nodes, .. } => Ok(schedule::set_memory(*mode, nodes)?),
            Step::DiskPriority { class, level, .. } => {
                Ok(schedule::set_disk_priority(*class, *level)?)
            }
            Step::Umask(mask) => {
                confine::umask(*mask);
                Ok(())
            }
            Step::Identity { uid, gid, groups, capabilities } => {
                confine::identity(*uid, *gid, groups, capabilities)
            }
            Step::NoNewPrivileges => Ok(crate::sys::confine::no_new_privileges()?),
            Step::Seccomp { filter, flags } => listener::load(self, filter, *flags),
            Step::Reaper => Ok(reaper::stay_behind()?),
            Step::HideMemory => Ok(crate::sys::confine::hide_memory()?),
            Step::LetGo(first) => {
                join::let_go(self, *first);
                Ok(())
            }
            Step::Join { process, namespaces } => {
                Ok(process::join(self.kept(*process)?, namespaces.kinds())?)
            }
            // Who performs the steps does this one itself.
            Step::Born => Err(Errno::ENOSYS.into()),
            Step::OpenPty { owner, into } => {
                let terminal = console::open_inside(*owner, self.channel.as_fd())?;
                self.keep(*into, terminal)
            }
            Step::NewSession => Ok(process::new_session()?),
            Step::OpenNotify { dev } => notify::open(self.kept(*dev)?, self.channel.as_fd()),
            Step::OpenTerminal { dev, pts, owner, size, into } => {
                let (dev, pts) = (self.kept(*dev)?, self.kept(*pts)?);
                let terminal = console::open(dev, pts, *owner, *size, self.channel.as_fd())?;
                self.keep(*into, terminal)
            }
            Step::TakeTerminal(terminal) => console::take(self.kept(*terminal)?),
            Step::NullInput => console::null(0..=0),
            Step::NullOutput => console::null(1..=2),
            Step::DieWithParent => self.die_with_parent(),
            Step::Hook(hook) => hook::run(self, hook),
            Step::Find { candidates } => enter::find(candidates),
            Step::AwaitStart { first } => doorstep::await_start(self, *first),
            Step::CloseFrom(first) => Ok(fd::close_from_on_exec(*first)?),
            Step::ResetSignals => Ok(crate::sys::process::reset_signals()?),
            Step::Exec { candidates, argv, envp } => Err(enter::exec(candidates, argv, envp)),
        }
    }

    /// Waits until a gate is open.
    fn pass(&mut self, gate: Gate) -> Outcome {
        while self.open & 1 << gate as u32 == 0 {
            self.hear()?;
        }
        Ok(())
    }

    /// Takes the next word from the channel. A parent that has died or given up
    /// closes it: then there is nobody to tell.
    fn hear(&mut self) -> Outcome {
        match self.listen()? {
            true => Ok(()),
            false => exit_now(1),
        }
    }

    /// The same: which gate is open now, or that there is nobody to say so.
    fn listen(&mut self) -> crate::sys::Result<bool> {
        let mut word = [0_u8; 1];
        match fd::receive(self.channel.as_fd(), &mut word) {
            Ok((1, descriptor)) => {
                self.open |= 1_u32.wrapping_shl(word[0].into());
                match word[0] {
                    word if word == Gate::Network as u8 => self.network = descriptor,
                    word if word == Gate::Told as u8 => self.told.state = descriptor,
                    word if word == Gate::Heard as u8 => self.told.words = descriptor,
                    _ => {}
                }
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(Errno::EINTR) => Ok(true),
            Err(errno) => Err(errno),
        }
    }

    /// Asks for a signal at the parent's death, then looks whether that has
    /// come already: a signal is only sent for a death that follows.
    fn die_with_parent(&mut self) -> Outcome {
        crate::sys::confine::parent_death_signal(nix::libc::SIGKILL)?;
        // A word may be said twice; what counts is the channel's end.
        while fd::wait_readable([self.channel.as_fd()], Patience::None)? != [false] {
            self.hear()?;
        }
        Ok(())
    }

    fn kept(&self, slot: Slot) -> Result<BorrowedFd<'_>, Failure> {
        self.slots[slot.0].as_ref().map(AsFd::as_fd).ok_or(Errno::EBADF.into())
    }

    fn keep(&mut self, slot: Slot, fd: OwnedFd) -> Outcome {
        self.slots[slot.0] = Some(fd);
        Ok(())
    }

    fn send(&self, report: &Report) -> Outcome {
        Ok(fd::write_all(self.channel.as_fd(), &report.to_bytes())?)
    }

    /// Says how far it got, then leaves without running anything else.
    fn stop(&self, at: usize, failure: Failure) -> ! {
        // A parent that is gone needs no report.
        let _ = self.send(&Report::stopped(at, failure.part, failure.errno));
        exit_now(127)
    }
}

/// The switches of the feature `weaken`.
#[cfg(feature = "weaken")]
mod weak {
    use std::sync::atomic::AtomicBool;

    pub static WORK_DIRECTORY: AtomicBool = AtomicBool::new(false);
    pub static REAPER: AtomicBool = AtomicBool::new(false);
}

/// Takes the working directory as chdir(2) would.
#[cfg(feature = "weaken")]
pub fn weaken_work_directory() {
    weak::WORK_DIRECTORY.store(true, std::sync::atomic::Ordering::Relaxed);
}

/// Lets the container look into the reaper.
#[cfg(feature = "weaken")]
pub fn weaken_reaper() {
    weak::REAPER.store(true, std::sync::atomic::Ordering::Relaxed);
}
