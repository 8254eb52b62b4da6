//! What is mounted here, as far as it decides what may be mounted new.

use std::path::Path;

use anyhow::Context;

use super::procfs;

/// The mount points of this mount namespace.
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    points: Vec<String>,
}

/// Directories of procfs and sysfs that the kernel makes for others to mount
/// on, empty for good (`sysfs_create_mount_point` and its kind): what is
/// mounted there hides nothing.
const PLACES: [&str; 16] = [
    "/proc/sys/fs/binfmt_misc",
    "/proc/fs/nfsd",
    "/sys/firmware/efi/efivars",
    "/sys/fs/bpf",
    "/sys/fs/cgroup",
    "/sys/fs/fuse/connections",
    "/sys/fs/nilfs2",
    "/sys/fs/pstore",
    "/sys/fs/resctrl",
    "/sys/fs/selinux",
    "/sys/fs/smackfs",
    "/sys/hypervisor",
    "/sys/kernel/config",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
];

impl Mounts {
    /// Reads the table; proc_pid_mountinfo(5).
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn probe() -> anyhow::Result<Self> {
        let path = Path::new("/proc/self/mountinfo");
        let text = procfs::read(path).with_context(|| format!("read {}", path.display()))?;
        Ok(Self::of(&String::from_utf8_lossy(&text)))
    }

    /// The table in `text`. Of each line the fifth word is the mount point.
    pub fn of(text: &str) -> Self {
        let point = |line: &str| line.split(' ').nth(4).map(str::to_owned);
        Self { points: text.lines().filter_map(point).collect() }
    }

    /// The first mount that hides part of `whole`, a procfs or a sysfs; with
    /// it, the kernel refuses a new instance in a user namespace
    /// (`mount_too_revealing`), because that would show what is hidden.
    pub fn covers(&self, whole: &str) -> Option<&str> {
        let below = |point: &&String| {
            let point = Path::new(point);
            point != Path::new(whole) && point.starts_with(whole)
        };
        let harmless =
            |point: &&String| PLACES.iter().any(|place| Path::new(point).starts_with(place));
        self.points.iter().filter(below).find(|point| !harmless(point)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_machine_hides_nothing() {
        let mounts = Mounts::of(
            "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
             23 27 0:22 / /sys rw,relatime - sysfs sysfs rw\n\
             31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw\n\
             32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw\n\
             33 22 0:30 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n\
             34 22 0:30 / /process rw - tmpfs tmpfs rw\n",
        );
        assert_eq!(mounts.covers("/proc"), None);
        assert_eq!(mounts.covers("/sys"), None);
    }

    #[test]
    fn a_masked_path_hides() {
        let mounts = Mounts::of("9 8 0:5 /null /proc/kcore rw - devtmpfs devtmpfs rw\n");
        assert_eq!(mounts.covers("/proc"), Some("/proc/kcore"));
        assert_eq!(mounts.covers("/sys"), None);
    }
}
