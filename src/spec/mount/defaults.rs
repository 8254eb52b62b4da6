//! What every container finds mounted.

use oci_spec::runtime::Mount;

use super::entry;

const QUIET: [&str; 3] = ["nosuid", "noexec", "nodev"];

/// The file systems of the kernel and of memory that a container has of its
/// own, in order; `shm_size` is the `size=` of /dev/shm, 64 MiB where `None`.
///
/// devpts gives its files to group 5, tty by custom: who has no such id in
/// the map has to leave it out.
pub fn private_mounts(shm_size: Option<&str>) -> Vec<Mount> {
    let [nosuid, noexec, nodev] = QUIET;
    let shm_size = shm_size.unwrap_or("size=67108864");
    let dev = [nosuid, "strictatime", "mode=755", "size=65536k"];
    let pts = [nosuid, noexec, "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    vec![
        entry("/proc", "proc", "proc", &QUIET),
        entry("/sys", "sysfs", "sysfs", &[nosuid, noexec, nodev, "ro"]),
        entry("/dev", "tmpfs", "tmpfs", &dev),
        entry("/dev/pts", "devpts", "devpts", &pts),
        entry("/dev/shm", "tmpfs", "shm", &[nosuid, noexec, nodev, "mode=1777", shm_size]),
        entry("/dev/mqueue", "mqueue", "mqueue", &QUIET),
        entry("/sys/fs/cgroup", "cgroup", "cgroup", &[nosuid, noexec, nodev, "relatime", "ro"]),
    ]
}

/// What stands in for them under `--ipc host`: the shared memory and the
/// message queues are the host's. A new mqueue would be refused, since it
/// belongs to an ipc namespace that is not ours (mq_overview(7)).
pub fn host_ipc_mounts() -> [Mount; 2] {
    let options = ["rbind", "rnosuid", "rnoexec", "rnodev", "rprivate"];
    ["/dev/shm", "/dev/mqueue"].map(|path| entry(path, "bind", path, &options))
}

/// Where programs expect to write even though the root is read-only.
pub fn scratch_mounts() -> [Mount; 3] {
    [("/run", "mode=0755"), ("/tmp", "mode=1777"), ("/var/tmp", "mode=1777")]
        .map(|(target, mode)| entry(target, "tmpfs", "tmpfs", &["nosuid", "nodev", mode]))
}
