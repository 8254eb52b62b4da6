//! What a test may need of the machine, and what is done where it is missing.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::spawn::{Before, output, prepare, start};
use super::{caller, root, subordinate};

/// Met, or why not.
pub type Need = Result<(), String>;

/// Notes that the running test is left out for want of `need`; fails it where
/// `MUST_RUN` says that this machine has that.
#[track_caller]
pub fn skip(need: &str, why: &str) {
    let must = std::env::var("MUST_RUN").unwrap_or_default();
    assert!(!must.split(',').any(|name| name == need), "MUST_RUN has {need}, but {why}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    println!("skipped: {why}");
    if let Some(path) = std::env::var_os("SUBLET_SKIPS") {
        let mut file =
            fs::OpenOptions::new().append(true).create(true).open(path).expect("open SUBLET_SKIPS");
        file.write_all(format!("{test}: {why}\n").as_bytes()).expect("write SUBLET_SKIPS");
    }
}

fn need(met: bool, why: &str) -> Need {
    if met { Ok(()) } else { Err(why.to_owned()) }
}

/// True if the program runs and succeeds.
fn succeeds(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    ends_well(&mut command)
}

fn ends_well(command: &mut Command) -> bool {
    start(command).and_then(|mut child| child.wait()).is_ok_and(|status| status.success())
}

/// Where a program of the host is.
pub fn find(program: &str) -> Option<PathBuf> {
    let directories = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    directories.iter().map(|dir| Path::new(dir).join(program)).find(|path| path.is_file())
}

fn program(name: &str, package: &str) -> Need {
    need(find(name).is_some(), &format!("{name} is not installed (package {package})"))
}

/// A user namespace can be made.
pub fn user_namespace() -> Need {
    static MET: OnceLock<bool> = OnceLock::new();
    let met = *MET.get_or_init(|| {
        let mut command = Command::new("/bin/true");
        prepare(&mut command, vec![Before::UserNamespace]);
        ends_well(&mut command)
    });
    need(met, "this user may not make a user namespace")
}

/// The kernel has time namespaces.
pub fn time_namespace() -> Need {
    let there = Path::new("/proc/self/ns/time").exists();
    need(there, "this kernel was built without time namespaces")
}

/// A static busybox.
pub fn busybox() -> Need {
    root::busybox().clone().map(drop)
}

/// Ranges of ids in /etc/subuid and /etc/subgid.
pub fn subuid() -> Need {
    for file in ["/etc/subuid", "/etc/subgid"] {
        need(subordinate(file).is_some(), &format!("{file} has no line for this user"))?;
    }
    newuidmap()
}

/// The two helpers that write id maps.
pub fn newuidmap() -> Need {
    program("newuidmap", "uidmap")?;
    program("newgidmap", "uidmap")
}

/// The caller is not root.
pub fn ordinary_user() -> Need {
    need(caller().0 != 0, "the tests run as root")
}

/// The caller is root.
pub fn root() -> Need {
    need(caller().0 == 0, "the tests do not run as root")
}

/// The kernel's log can be read.
pub fn kernel_log() -> Need {
    need(fs::File::open("/dev/kmsg").is_ok(), "/dev/kmsg can't be opened by this user")
}

/// This is the machine under QEMU, which lasts for one job: its root may do
/// anything to it.
pub fn machine() -> Need {
    let disk = Path::new("/usr/local/lib/machine/files");
    need(disk.is_symlink(), "this is not the machine under QEMU")
}

/// The caller belongs to a group beside its own.
pub fn supplementary_group() -> Need {
    let (_, gid) = caller();
    let more = nix::unistd::getgroups().is_ok_and(|all| all.iter().any(|one| one.as_raw() != gid));
    need(more, "this user is in no other group than its own")
}

/// overlayfs in a user namespace.
pub fn overlay() -> Need {
    static MET: OnceLock<bool> = OnceLock::new();
    let met = *MET.get_or_init(|| {
        let script = "mount -t tmpfs none /tmp && mkdir /tmp/l /tmp/u /tmp/w /tmp/m && \
                      mount -t overlay -o userxattr,lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w \
                      none /tmp/m";
        succeeds(&["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script])
    });
    need(met, "overlayfs is refused in a user namespace")
}

/// unshare(1) with what the tests use of it.
pub fn unshare() -> Need {
    static MET: OnceLock<bool> = OnceLock::new();
    let met =
        *MET.get_or_init(|| succeeds(&["unshare", "--user", "--map-root-user", "--mount", "true"]));
    need(met, "unshare --user --map-root-user --mount does not work (package util-linux)")
}

pub fn tmux() -> Need {
    program("tmux", "tmux")
}

pub fn python3() -> Need {
    need(Path::new("/usr/bin/python3").exists(), "python3 is not installed (package python3)")
}

pub fn redis() -> Need {
    program("redis-server", "redis-server")?;
    program("redis-cli", "redis-tools")
}

pub fn iperf3() -> Need {
    program("iperf3", "iperf3")
}

pub fn curl() -> Need {
    program("curl", "curl")
}

pub fn nginx() -> Need {
    program("nginx", "nginx-light")
}

pub fn iproute() -> Need {
    program("ip", "iproute2")
}

pub fn prlimit() -> Need {
    program("prlimit", "util-linux")
}

/// Ports below 1024 are for root.
pub fn low_ports() -> Need {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first: u32 = first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    need(first >= 1024 && caller().0 != 0, "this user may have ports below 1024")
}

/// A C compiler and make.
pub fn compiler() -> Need {
    program("cc", "gcc")?;
    program("make", "make")
}

pub fn strace() -> Need {
    program("strace", "strace")
}

pub fn setpriv() -> Need {
    program("setpriv", "util-linux")
}

/// bubblewrap, which some probes are seen to fire under.
pub fn bwrap() -> Need {
    static MET: OnceLock<bool> = OnceLock::new();
    program("bwrap", "bubblewrap")?;
    let words = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "/bin/true"];
    need(*MET.get_or_init(|| succeeds(&words)), "bwrap does not work for this user")
}

/// slirp4netns, and a tap for it.
pub fn slirp4netns() -> Need {
    program("slirp4netns", "slirp4netns")?;
    tun()
}

/// pasta, and a tap for it.
pub fn pasta() -> Need {
    program("pasta", "passt")?;
    tun()
}

/// zsh.
pub fn zsh() -> Need {
    program("zsh", "zsh")
}

/// fish.
pub fn fish() -> Need {
    program("fish", "fish")
}

/// mandoc, which complains of every mistake in a manual page.
pub fn mandoc() -> Need {
    program("mandoc", "mandoc")
}

fn tun() -> Need {
    let opened = fs::File::options().read(true).write(true).open("/dev/net/tun");
    need(opened.is_ok(), "/dev/net/tun can't be opened by this user")
}

/// An Ethernet in a network namespace, made by the caller as its root.
pub fn lan() -> Need {
    static MET: OnceLock<bool> = OnceLock::new();
    program("ip", "iproute2")?;
    let met = *MET.get_or_init(|| {
        let script = "ip link add lan type veth peer name far";
        let outer = ["unshare", "--user", "--map-root-user", "--mount", "--net"];
        succeeds(&[&outer[..], &["sh", "-c", script]].concat())
    });
    need(met, "no veth can be made in a user namespace")
}

/// A launcher that can be told to leave protections out.
pub fn weak() -> Need {
    let given = std::env::var_os("SUBLET_WEAK").is_some_and(|path| !path.is_empty());
    need(given, "SUBLET_WEAK does not name a launcher built with --features weaken")
}

/// A Debian root and a repository that its apt knows.
pub fn debian() -> Need {
    let roots = std::env::var_os("SUBLET_ROOTS").map(PathBuf::from);
    let there = |roots: &PathBuf| {
        roots.join("debian.tar").is_file() && roots.join("debian-repo/Packages").is_file()
    };
    need(roots.as_ref().is_some_and(there), "SUBLET_ROOTS has no debian.tar and debian-repo")
}

/// All controllers there are hang on cgroup v2.
pub fn cgroup2() -> Need {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let met = groups.lines().count() == 1 && groups.starts_with("0::");
    need(met, "this machine has hierarchies of cgroup v1")
}

/// Hierarchies of cgroup v1 are mounted here.
pub fn legacy_cgroups() -> Need {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    need(mounts.contains(" - cgroup "), "this machine has no hierarchies of cgroup v1")
}

/// Controllers hang on cgroup v1, of which nothing is mounted here: a container
/// on a machine that has it.
pub fn bare_cgroups() -> Need {
    let met = cgroup2().is_err() && legacy_cgroups().is_err();
    need(met, "this is no container on a machine with cgroup v1")
}

/// A cgroup of version 2 of the test's own.
pub fn delegated() -> Need {
    super::tree::can_be_had()
}

/// systemd runs a service manager for the caller, reached from here.
pub fn scopes() -> Need {
    let (uid, _) = caller();
    let met = uid != 0 && Path::new(&format!("/run/user/{uid}/systemd/private")).exists();
    need(met, "systemd runs no service manager for this user")
}

/// It does, and can limit what it is asked to start.
pub fn user_manager() -> Need {
    scopes()?;
    let (uid, _) = caller();
    let path =
        format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
    let controllers = fs::read_to_string(path).unwrap_or_default();
    let has = |one| controllers.split_whitespace().any(|name| name == one);
    need(["cpu", "memory", "pids"].into_iter().all(has), "systemd has no controllers to limit with")
}

/// Any program may push input into its controlling terminal.
pub fn legacy_tiocsti() -> Need {
    let setting = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
    // Kernels without the setting (before 6.2) always allow it.
    let met = setting.map_or(true, |text| text.trim() == "1");
    need(met, "the kernel refuses TIOCSTI by itself (dev.tty.legacy_tiocsti is 0)")
}

/// The kernel runs 32-bit programs.
pub fn ia32() -> Need {
    let output = output(Command::new(super::probe()).arg("int80")).expect("run the probe");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    need(told.contains(r#""getpid":"ok""#), "the kernel does not run 32-bit programs")
}

/// The kernel has keyrings.
pub fn keyring() -> Need {
    need(Path::new("/proc/key-users").exists(), "the kernel has no keyrings")
}

/// podman for this user, and what it runs containers by.
pub fn podman() -> Need {
    ordinary_user()?;
    subuid()?;
    program("podman", "podman")?;
    program("conmon", "conmon")
}

/// containerd with runc's shim, for root, or for a user who has a range of ids.
pub fn containerd() -> Need {
    for name in ["containerd", "containerd-shim-runc-v2", "ctr"] {
        program(name, "containerd")?;
    }
    if root().is_ok() { Ok(()) } else { subuid() }
}

/// Slurm and munge, for a cluster of an ordinary user's own.
pub fn slurm() -> Need {
    ordinary_user()?;
    for (name, package) in [
        ("slurmctld", "slurmctld"),
        ("slurmd", "slurmd"),
        ("srun", "slurm-client"),
        ("munged", "munge"),
    ] {
        program(name, package)?;
    }
    lan()
}

/// podman finds what it puts into the image of its own that holds a pod.
pub fn pods() -> Need {
    let places = ["/usr/libexec/podman/catatonit", "/usr/bin/catatonit"];
    need(places.iter().any(|path| Path::new(path).exists()), "catatonit is not installed")
}

/// Covering a part of /proc keeps the kernel from making a new one: there is no
/// other that shows all of it, as there may be out of sight in a container. It
/// only counts as covered for a namespace further in, where the cover is locked.
pub fn coverable() -> Need {
    let script = "mount --bind /dev/null /proc/uptime &&
        ! unshare --user --map-root-user --mount --pid --fork mount -t proc none /mnt 2>/dev/null";
    let outer = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"];
    let met = succeeds(&[&outer[..], &["sh", "-c", script]].concat());
    need(met, "a covered /proc is no hindrance to a new one here")
}

/// The same of /sys: whoever makes an image of a system beside the tests shows
/// another one, and a new one is read-only, too.
pub fn coverable_sys() -> Need {
    let script = "mount -t tmpfs none /sys/devices && ! unshare --user --map-root-user --mount \
                  --net mount -t sysfs -o ro none /mnt 2>/dev/null";
    let outer = ["unshare", "--user", "--map-root-user", "--mount"];
    let met = succeeds(&[&outer[..], &["sh", "-c", script]].concat());
    need(met, "a covered /sys is no hindrance to a new one here")
}

/// A container on the host's own system has something to cover with its own
/// servers for names.
pub fn resolv_conf() -> Need {
    need(Path::new("/etc/resolv.conf").is_file(), "this machine has no /etc/resolv.conf")
}

/// Processes that come and go are met while they do: hardly ever where a
/// processor is emulated.
pub fn real_processors() -> Need {
    need(!super::is_slow(), "the processors are emulated")
}
