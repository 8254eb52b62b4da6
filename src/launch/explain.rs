//! Why a start stopped: the child's numbers, told from the plan.

use std::ffi::CString;

use anyhow::{Context, anyhow};

use super::program::{self, Lack};
use crate::child::report::Part;
use crate::error::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Explain, MORE_FILES};
use crate::host::advice::table::{files, run};
use crate::host::{Host, advice};
use crate::plan::step::{Expect, Lookup, Slot, Step};
use crate::sys::Errno;
use crate::sys::process::StringArray;

/// The error for a child that stopped at step `at`.
pub fn stopped(steps: &[Step], at: usize, part: Part, errno: Errno, host: &Host) -> anyhow::Error {
    // What is looked for is what is executed later.
    let at = match steps.get(at) {
        Some(Step::Find { .. }) => steps.len() - 1,
        _ => at,
    };
    let Some(step) = steps.get(at) else {
        return anyhow!("the child did every step and did not become the payload");
    };
    if let Step::JoinNetwork = step {
        // With what was handed over it can't fail: it was made here.
        let advice = advice::for_clone(errno, host);
        let result = Err::<(), _>(anyhow!(advice.cause)).context("make the network namespace");
        return result.hint(advice.hint).err().unwrap_or_else(|| anyhow!("stopped"));
    }
    let lack = match step {
        Step::Exec { candidates, .. } => program::lack(steps, candidates, errno),
        _ => None,
    };
    let told = Told { step, part, errno, lack };
    if let Step::UnshareCgroup = step {
        let refused = advice::for_clone(errno, host).refuse::<()>();
        return refused.context(told.what()).err().unwrap_or_else(|| anyhow!("stopped"));
    }
    let cause = told.cause().unwrap_or_else(|| errno.desc().to_owned());
    let result = Err::<(), _>(anyhow!(cause)).with_context(|| told.what());
    let result = match told.exit_code() {
        Some(code) => result.exits_with(code),
        None => result,
    };
    let hint = told.hint().or_else(|| {
        advice::for_step(errno, host).map(|advice| format!("{}\n{}", advice.cause, advice.hint))
    });
    let result = match hint {
        Some(hint) => result.hint(hint),
        None => result,
    };
    result.err().unwrap_or_else(|| anyhow!("stopped"))
}

/// The error for a child that was killed before it had said anything.
pub fn killed() -> anyhow::Error {
    let result = Err::<(), _>(anyhow!("its first process was killed while it was started"))
        .exits_with(128 + libc::SIGKILL as u8)
        .hint("by a kill -9, or by the kernel for want of memory: journalctl -k tells of that");
    result.err().unwrap_or_else(|| anyhow!("killed"))
}

/// Whether the program is given by its name alone, to be found in $PATH.
fn is_looked_for(argv: &StringArray) -> bool {
    argv.strings().first().is_some_and(|word| !word.as_bytes().contains(&b'/'))
}

/// The error for a payload that was let go and then stopped: executing
/// `program`, for which `part` of it failed.
pub fn refused_start(program: &str, part: Part, errno: Errno, host: &Host) -> anyhow::Error {
    let word = || CString::new(program.replace('\0', "")).unwrap_or_default();
    let empty = || StringArray::new(Vec::new());
    let argv = StringArray::new(vec![word()]);
    stopped(&[Step::Exec { candidates: vec![word()], argv, envp: empty() }], 0, part, errno, host)
}

/// What is done in that part, which a start tells without its step.
const THREAD: &str = "make the thread that hands the listener of its filter over";

struct Told<'a> {
    step: &'a Step,
    part: Part,
    errno: Errno,
    /// What a program lacks that can't be executed.
    lack: Option<Lack>,
}

impl Told<'_> {
    /// What the program lacks, if it is there and that is why.
    fn lack(&self) -> Option<&Lack> {
        let asked = self.part == Part::Interpreter || self.errno == Errno::ENOEXEC;
        self.lack.as_ref().filter(|_| asked)
    }

    /// What was tried, on what.
    fn what(&self) -> String {
        let doing = match (self.step, self.part) {
            (Step::OpenTree { source, .. }, Part::Resolve | Part::Kind) => {
                return format!("open {source:?}");
            }
            (_, part) => part,
        };
        let doing = match doing {
            Part::Whole | Part::Interpreter => return self.step.to_string(),
            Part::Resolve => "look it up",
            Part::Create => "make the mount point",
            Part::Kind => "look what it is",
            Part::Groups => "set the groups",
            Part::Gid => "set the gid",
            Part::Uid => "set the uid",
            Part::Capabilities => "set the capabilities",
            Part::ReadBack => "read back what was set",
            Part::Offsets => "set how much they differ",
            Part::Thread => return THREAD.to_owned(),
            Part::Outside | Part::Procfs => "see where it led",
        };
        format!("{}: {doing}", self.step)
    }

    /// Why not, where the kernel's word for it misleads or says too little.
    fn cause(&self) -> Option<String> {
        if let Some(lack) = self.lack() {
            return Some(lack.cause());
        }
        let text = match (self.step, self.part, self.errno) {
            (Step::Exec { .. }, Part::Interpreter, _) => {
                "the file is there, but the interpreter or loader it names is not in this root"
            }
            (Step::Exec { argv, .. }, _, Errno::ENOENT) if is_looked_for(argv) => {
                "executable file not found in $PATH"
            }
            (Step::Exec { .. }, _, Errno::ENOENT) => "no such file or directory",
            (Step::Exec { .. }, _, Errno::EACCES) => "permission denied",
            (Step::Exec { .. }, _, Errno::ENOEXEC) => {
                "exec format error: neither a program for this machine nor a script with #!"
            }
            (Step::OpenTree { expect: Expect::Node, .. }, Part::Kind, _) => "it is not a device",
            (Step::OpenTree { .. } | Step::NullInput, Part::Kind, Errno::ENODEV) => {
                "it is not the device it should be"
            }
            (Step::OpenTree { expect: Expect::Directory, .. }, Part::Kind, _) => {
                "it is not a directory"
            }
            (Step::Attach { .. }, Part::Procfs, _) => "a link in the root leads into /proc",
            (Step::Attach { .. }, Part::Create, Errno::ENOENT | Errno::EEXIST) => {
                "a symbolic link on the way leads to nothing inside the root"
            }
            (Step::Attach { .. }, Part::Resolve, Errno::ENOTDIR) => {
                "it, or something on the way to it, is not a directory in the root"
            }
            (Step::Attach { .. }, Part::Whole, Errno::EINVAL | Errno::ENOTDIR) => {
                "one is a directory and the other is not"
            }
            (Step::OpenTree { lookup: Lookup::NoLinks, .. }, Part::Resolve, Errno::ELOOP) => {
                "a link has come to be on the way since it was looked at"
            }
            (_, _, Errno::ELOOP) => "too many symbolic links on the way, or a loop of them",
            (Step::Attach { .. }, Part::Create, Errno::EROFS) => "the root is read-only there",
            (Step::WorkDirectory(_), Part::Resolve, Errno::ENOENT) => {
                "the root has no such directory"
            }
            (Step::WorkDirectory(_), Part::Outside, _) => "it is outside of the container's root",
            (Step::Pivot(_), Part::Outside, _) => "something of the host is still above the root",
            (Step::Identity { .. }, Part::ReadBack, _) => {
                "the kernel holds other capabilities than were set"
            }
            // alloc_pid: a pid namespace whose first process has ended takes none.
            (Step::Join { .. }, _, Errno::ESRCH) | (Step::Born, _, Errno::ENOMEM) => {
                "the container is ending"
            }
            (Step::Born, _, Errno::EAGAIN) => "it may have no more processes",
            (Step::NewClocks { .. }, Part::Offsets, Errno::ERANGE) => {
                "a clock would show a time before its beginning, or in more than a century"
            }
            (Step::NewClocks { .. }, Part::Whole, Errno::EINVAL) => {
                "this kernel was built without time namespaces"
            }
            (Step::MemoryPolicy { .. }, _, Errno::ENOSYS) => {
                "this kernel was built for one memory node"
            }
            (Step::OpenPty { .. }, Part::Kind, _) => "what is mounted there is not devpts",
            // mount(2) and its kind mean a limit, not a disk.
            (Step::Attach { .. } | Step::OpenTree { .. }, _, Errno::ENOSPC) => {
                files::MOUNTS_FULL.cause
            }
            (Step::NewFilesystem { .. }, _, Errno::EBUSY) => {
                "it is in use elsewhere in another way"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// What would help.
    fn hint(&self) -> Option<String> {
        if let Some(lack) = self.lack() {
            return Some(lack.hint());
        }
        let text = match (self.step, self.part, self.errno) {
            (Step::Exec { .. }, Part::Interpreter, _) => {
                "a program linked to shared libraries needs its loader in the root, a script the \
                 program behind its #!: take a static program, or a root that has them"
            }
            (Step::Exec { argv, .. }, _, Errno::ENOENT) if is_looked_for(argv) => {
                "look what the root has in its bin directories, or give the whole path"
            }
            (Step::Exec { argv, .. }, _, Errno::ENOENT) => {
                let program = argv.strings().first()?.to_string_lossy().into_owned();
                return Some(match program.as_str() {
                    "/bin/sh" => "the root has no shell: is it a root filesystem at all? \
                                  name a program that it has"
                        .to_owned(),
                    _ => format!("the path is looked up inside the root: is {program} there?"),
                });
            }
            (Step::Exec { .. }, _, Errno::EACCES) => {
                "it has to be a file, not a directory: it needs its x bit, and so do the \
                 directories that lead to it, for the user inside; and its mount must not be noexec"
            }
            (Step::Exec { .. }, _, Errno::ENOEXEC) => {
                "is it for another architecture, or a script without a #! line?"
            }
            (Step::OpenTree { into: Slot::ROOT, .. }, Part::Resolve, Errno::ENOENT) => {
                "ROOT is a directory with a system in it, or the word host for this machine's own"
            }
            (Step::OpenTree { expect: Expect::Node, .. }, Part::Resolve, Errno::ENOENT) => {
                "this machine has no such device: ls /dev shows those that it has"
            }
            (Step::OpenTree { source, .. }, Part::Resolve, Errno::ENOENT) => {
                return Some(format!(
                    "nothing is made on the host: make it first, mkdir -p {source:?}"
                ));
            }
            (Step::OpenTree { into: Slot::ROOT, .. }, Part::Kind, _) => {
                "ROOT is a directory with a system in it: unpack an archive first"
            }
            (Step::OpenTree { expect: Expect::Directory, .. }, Part::Kind, _) => {
                "a throw-away overlay is for directories: mount the file without O"
            }
            (Step::OpenTree { expect: Expect::Node, .. }, Part::Kind, _) => {
                "--device is for device nodes: mount anything else with -v"
            }
            (Step::OpenTree { .. }, _, Errno::EACCES) => {
                "it is opened with your own rights on the host: give yourself r-x on it and x on \
                 every directory above it"
            }
            (Step::Attach { .. }, Part::Create, Errno::EROFS) => {
                "choose a target that is there, or one below a tmpfs such as /tmp, /run or /mnt"
            }
            (Step::Attach { .. }, Part::Create, Errno::EACCES | Errno::EPERM) => {
                "the mount point has to be made in the root, which you may not write: make it, or \
                 put an overlay over the root, ROOT:O"
            }
            (Step::Attach { .. }, Part::Resolve, Errno::ENOTDIR) => {
                "mount a directory on a directory and a file on a file"
            }
            (Step::Attach { .. }, Part::Resolve | Part::Create, _) => {
                "mount points are looked up inside the root, links included: repair the root there"
            }
            (Step::Attach { .. }, Part::Whole, Errno::EINVAL | Errno::ENOTDIR) => {
                "mount a directory on a directory and a file on a file"
            }
            (Step::NewFilesystem { kind, .. }, _, Errno::EINVAL)
                if kind.as_bytes() == b"overlay" =>
            {
                let advice = files::OVERLAY_REFUSED.advice(&[]);
                return Some(format!("{}\n{}", advice.cause, advice.hint));
            }
            (Step::NewFilesystem { kind, .. }, _, Errno::ENODEV) => {
                let kind = kind.to_string_lossy();
                let advice = files::FILESYSTEM_MISSING.advice(&[("kind", &kind)]);
                return Some(format!("{}\n{}", advice.cause, advice.hint));
            }
            (Step::WorkDirectory(_), Part::Resolve, _) => {
                "--workdir names a directory inside the root: make it, mount one there with -v, \
                 or leave --workdir out"
            }
            (Step::WorkDirectory(_), Part::Outside, _) => "name a directory of the container's own",
            (Step::Limit { .. }, _, Errno::EPERM) => {
                "a limit can't be raised above the hard limit that you have: ulimit -H -a shows it"
            }
            (Step::NewClocks { .. }, Part::Offsets, Errno::ERANGE) => {
                "linux.timeOffsets is added to what the clock shows: /proc/uptime has that"
            }
            (Step::JoinClocks { .. }, _, Errno::EPERM) => {
                "it takes CAP_SYS_ADMIN over the user namespace that owns it: a container with a \
                 new user namespace can't have the clocks of others"
            }
            (Step::RunOn(_), _, Errno::EINVAL) => {
                "process.execCPUAffinity.final has none of those that the container may run on: \
                 its cpuset.cpus.effective lists them"
            }
            (Step::MemoryPolicy { .. }, _, Errno::EINVAL) => {
                "linux.memoryPolicy: MPOL_DEFAULT and MPOL_LOCAL take no nodes, the others take \
                 some that are in /sys/devices/system/node/online and in the container's \
                 cpuset.mems.effective"
            }
            (Step::Join { .. }, _, Errno::EPERM) => {
                "only who has started a container may enter it, and only from the user namespace \
                 that it was started in"
            }
            (Step::Born, _, Errno::EAGAIN) => {
                "sublet update --pids-limit lets it have more; else see ulimit -u"
            }
            (Step::OpenPty { .. }, ..) => "without a terminal, leave -t out",
            (Step::WriteProc { path, .. }, _, Errno::EACCES | Errno::EPERM)
                if path.as_bytes().starts_with(b"self/") =>
            {
                "the value may only be raised above what your own processes have"
            }
            (_, Part::Thread, _) => {
                "it takes a thread and 320 KiB of the container's own: RLIMIT_NPROC, RLIMIT_AS, \
                 and the processes and the memory of its control group"
            }
            (Step::Seccomp { .. }, _, Errno::EBUSY) => {
                "a process has one listener at most: the caller is under a filter that has one"
            }
            (Step::Seccomp { .. }, _, Errno::EINVAL) => {
                let advice = run::SECCOMP_REFUSED.advice(&[]);
                return Some(format!("{}\n{}", advice.cause, advice.hint));
            }
            (Step::Identity { .. }, Part::Groups, Errno::EPERM) => {
                "setgroups is denied in this user namespace: --group-add keep-groups keeps yours"
            }
            // They come after the container's own limits.
            (
                Step::Find { .. }
                | Step::AwaitStart { .. }
                | Step::Hook(_)
                | Step::Seccomp { .. }
                | Step::Exec { .. },
                _,
                Errno::EMFILE,
            ) => "the container may have too few files open: its RLIMIT_NOFILE, --ulimit nofile",
            (Step::Mask { .. }, Part::Resolve, _) => {
                "what is to be hidden has to be there: look for a typing error in mask="
            }
            (_, _, Errno::ETOOMANYREFS) => {
                "programs of yours have sent more descriptors than others have taken yet, as many \
                 as one process may have open (unix(7)): raise that limit, ulimit -n"
            }
            (_, _, Errno::EMFILE) => MORE_FILES,
            (Step::Attach { .. } | Step::OpenTree { .. }, _, Errno::ENOSPC) => {
                return Some(files::MOUNTS_FULL.advice(&[]).hint);
            }
            (_, _, Errno::ENOSPC) => return no_space(),
            _ => return None,
        };
        Some(text.to_owned())
    }

    fn exit_code(&self) -> Option<u8> {
        match (self.step, self.part, self.errno) {
            (Step::Exec { .. }, Part::Whole, Errno::ENOENT) => Some(EXIT_NOT_FOUND),
            (Step::Exec { .. }, Part::Interpreter, _) => Some(EXIT_NOT_FOUND),
            (Step::Exec { .. }, ..) => Some(EXIT_NOT_EXECUTABLE),
            _ => None,
        }
    }
}

fn no_space() -> Option<String> {
    Some("memory or a limit of it is used up: see df for tmpfs, and the cgroup's memory".to_owned())
}
