//! A cgroup that is delegated to a test, with processes in it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use sublet::cgroup::{Deadline, Directory};
use sublet::host::cgroup::Controller;

use super::{Scratch, caller, eventually, need, patience};

/// A delegated directory of cgroup v2 in which a shell has started; all that is
/// in it is killed and removed with the value.
pub struct Tree {
    path: PathBuf,
    shell: Child,
    mount: Option<Mounted>,
}

/// A cgroup2 that is mounted in a scratch directory, in a mount namespace of the
/// calling thread.
struct Mounted {
    point: PathBuf,
    /// That no other test has.
    name: String,
    scratch: Option<Scratch>,
}

impl Mounted {
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("unshare the mounts");
        let none = None::<&str>;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, "/", none, private, none).expect("make them private");
        let scratch = Scratch::new();
        let (point, name) = (scratch.join("tree"), scratch.mark().to_owned());
        let mounted = Self { point, name, scratch: Some(scratch) };
        let point = &mounted.point;
        fs::create_dir(point).expect("make a mount point");
        mount(Some("none"), point, Some("cgroup2"), MsFlags::empty(), none).expect("mount cgroup2");
        mounted
    }
}

impl Drop for Mounted {
    /// The scratch directory is never removed with the machine's tree in it.
    fn drop(&mut self) {
        let _ = umount2(&self.point, MntFlags::MNT_DETACH);
        let is_gone = fs::remove_dir(&self.point).is_ok();
        std::mem::forget(self.scratch.take_if(|_| !is_gone));
    }
}

impl Tree {
    /// Hands a tree to `test`, in which `sh -c SCRIPT` runs: as root one beside
    /// the machine's own, in a mount namespace that nobody else sees; else a
    /// scope of the user's systemd.
    pub fn with(script: &str, test: impl FnOnce(&Tree) + Send) {
        let make = if caller().0 == 0 { Self::mounted } else { Self::scope };
        std::thread::scope(|scope| {
            // Its mount namespace is the thread's own.
            let ended = scope.spawn(|| test(&make(script))).join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }

    fn mounted(script: &str) -> Self {
        let mounted = Mounted::new();
        let path = mounted.point.join(&mounted.name);
        fs::create_dir(&path).expect("make a cgroup");
        let enter = format!("echo 0 > {}/cgroup.procs; {script}", path.display());
        let shell = start(Command::new("/bin/sh").args(["-c", &enter]));
        Self::ready(path, shell, Some(mounted))
    }

    fn scope(script: &str) -> Self {
        let scratch = Scratch::new();
        let unit = format!("{}.scope", scratch.mark().trim_end_matches('.'));
        let told = scratch.join("cgroup");
        let shell = start(
            Command::new("systemd-run")
                .args(["--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "-u"])
                .args([&unit, "--", "/bin/sh", "-c"])
                // By the shell alone: a test counts the processes in here.
                .arg(format!(
                    "while read -r line; do case $line in 0::*) echo \"$line\";; esac; done \
                     < /proc/self/cgroup > {}; {script}",
                    told.display()
                )),
        );
        let path = eventually(20.0, || {
            let text = fs::read_to_string(&told).ok()?;
            Some(format!("/sys/fs/cgroup{}", text.strip_suffix('\n')?.strip_prefix("0::")?))
        });
        Self::ready(path.expect("a scope of systemd").into(), shell, None)
    }

    fn ready(path: PathBuf, shell: Child, mount: Option<Mounted>) -> Self {
        let tree = Self { path, shell, mount };
        let here = || tree.directory().processes().ok().filter(|all| !all.is_empty());
        eventually(10.0, here).expect("processes in the tree");
        tree
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn directory(&self) -> Directory {
        Directory::open(&self.path).expect("open the tree")
    }

    /// Waits until that many processes are in the tree itself.
    pub fn processes(&self, count: usize) -> Vec<i32> {
        let all = || self.directory().processes().ok().filter(|all| all.len() == count);
        eventually(10.0, all).expect("processes in the tree")
    }

    /// Of these controllers those that can be had here.
    pub fn of(&self, wanted: &[Controller]) -> Vec<Controller> {
        let text = self.directory().read("cgroup.controllers").expect("read the controllers");
        let there = Controller::list(&text);
        wanted.iter().copied().filter(|one| there.contains(one)).collect()
    }

    /// The names of the cgroups in it, in order.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).expect("list the tree").flatten();
        let kept = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<_> =
            kept.map(|entry| entry.file_name().into_string().expect("a plain name")).collect();
        names.sort();
        names
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if let Ok(directory) = Directory::open(&self.path) {
            let _ = directory.kill();
        }
        let _ = self.shell.wait();
        if self.mount.is_some() {
            let above = self.path.parent().and_then(|path| Directory::open(path).ok());
            let name = self.path.file_name().and_then(|name| name.to_str());
            if let (Some(above), Some(name)) = (above, name) {
                let _ = above.remove(name, soon());
            }
        }
        // systemd removes its own: it doesn't notice when somebody else does.
        let gone = eventually(20.0, || (!self.path.exists()).then_some(()));
        assert!(gone.is_some() || std::thread::panicking(), "{:?} is left", self.path);
    }
}

fn start(command: &mut Command) -> Child {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    super::spawn::start(quiet.process_group(0)).expect("start a shell")
}

/// How long a test waits for the kernel.
pub fn soon() -> Deadline {
    Deadline::after(patience(10.0))
}

/// Not at all.
pub fn now() -> Deadline {
    Deadline::after(Duration::ZERO)
}

/// A cgroup of version 2 can be had: as root, or from the user's systemd.
pub fn can_be_had() -> need::Need {
    let by_systemd = need::legacy_cgroups().is_err()
        && need::find("systemd-run").is_some()
        && std::env::var_os("XDG_RUNTIME_DIR").is_some();
    if by_systemd { Ok(()) } else { need::root() }
}
