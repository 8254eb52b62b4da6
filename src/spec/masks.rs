//! Paths of the kernel's file systems that are hidden or read-only inside.

use anyhow::ensure;

/// Hidden: what tells of the host's hardware, load and secrets. Both docker's
/// and podman's, and the tables of keys' users and kernel symbols.
const MASKED: [&str; 15] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

/// Not to be written to, whoever owns them.
const READONLY: [&str; 6] =
    ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Whether a path is hidden where nothing is said.
pub fn is_usual(path: &[u8]) -> bool {
    MASKED.iter().any(|usual| usual.as_bytes() == path)
}

/// The two lists, and what was asked to change in them.
#[derive(Debug)]
pub struct Masks {
    /// Hidden paths.
    pub masked: Vec<String>,
    /// Read-only paths.
    pub readonly: Vec<String>,
}

impl Default for Masks {
    fn default() -> Self {
        Self {
            masked: MASKED.map(String::from).into(),
            readonly: READONLY.map(String::from).into(),
        }
    }
}

impl Masks {
    /// Hides `/p:/q` too.
    pub fn mask(&mut self, paths: &str) -> anyhow::Result<()> {
        for path in absolute(paths) {
            self.masked.push(path?.to_owned());
        }
        Ok(())
    }

    /// Leaves `/p:/q` as the kernel has them, `/p/*` being all directly in
    /// `/p`, and `ALL` everything.
    pub fn unmask(&mut self, paths: &str) -> anyhow::Result<()> {
        if paths.eq_ignore_ascii_case("all") {
            self.keep(|_| false);
            return Ok(());
        }
        for path in absolute(paths) {
            let path = path?;
            match path.strip_suffix("/*") {
                Some(parent) => self.keep(|masked| {
                    masked.rsplit_once('/').is_none_or(|(directory, _)| directory != parent)
                }),
                None => self.keep(|masked| masked != path),
            }
        }
        Ok(())
    }

    /// Leaves all of /proc as the kernel has it: a new procfs is refused to a
    /// container inside where any of ours is covered (mount_too_revealing() in
    /// fs/namespace.c).
    pub fn unmask_proc(&mut self) {
        self.keep(|masked| !masked.starts_with("/proc/"));
    }

    fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.masked.retain(|path| wanted(path));
        self.readonly.retain(|path| wanted(path));
    }
}

fn absolute(paths: &str) -> impl Iterator<Item = anyhow::Result<&str>> {
    paths.split(':').map(|path| {
        ensure!(path.starts_with('/'), "{path:?} is not an absolute path");
        Ok(path.trim_end_matches('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_and_shrink() {
        let mut masks = Masks::default();
        masks.mask("/proc/a:/sys/b/").unwrap();
        assert!(masks.masked.ends_with(&["/proc/a".into(), "/sys/b".into()]));
        masks.unmask("/proc/asound:/proc/a").unwrap();
        assert!(
            !masks
                .masked
                .iter()
                .chain(&masks.readonly)
                .any(|path| path.contains("/proc/a") && path != "/proc/acpi")
        );
        masks.unmask("/proc/*").unwrap();
        assert_eq!(masks.masked.len(), 4);
        assert!(masks.readonly.is_empty());
        masks.unmask("ALL").unwrap();
        assert!(masks.masked.is_empty());
    }

    #[test]
    fn relative_paths_are_refused() {
        for paths in ["", "a", "/a:", ":/a", "/a:b"] {
            assert!(Masks::default().mask(paths).is_err(), "{paths:?} was taken");
            assert!(Masks::default().unmask(paths).is_err(), "{paths:?} was taken");
        }
    }
}
