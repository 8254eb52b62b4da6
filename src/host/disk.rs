//! Block devices, by which the kernel limits rates.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use nix::sys::stat::{major, minor};

use crate::error::Explain;

/// The number of the disk at `path`, links followed; of a partition the number
/// of the disk that it is on, since the kernel limits whole disks only
/// (`blkg_conf_prep`).
///
/// # Errors
/// Where there is no block device.
pub fn number(path: &Path) -> anyhow::Result<(u32, u32)> {
    let facts = path.metadata().with_context(|| format!("look at {}", path.display()))?;
    if !facts.file_type().is_block_device() {
        return Err(anyhow!("{} is not a block device", path.display()))
            .hint("lsblk -p lists them; df DIR says which one a directory is on");
    }
    let of = facts.rdev();
    let own = (major(of) as u32, minor(of) as u32);
    Ok(whole(Path::new("/sys/dev/block"), own).unwrap_or(own))
}

/// The disk of a partition; sysfs has it a directory above.
fn whole(table: &Path, (major, minor): (u32, u32)) -> Option<(u32, u32)> {
    let here: PathBuf = table.join(format!("{major}:{minor}"));
    if !here.join("partition").exists() {
        return None;
    }
    let disk = fs::read_to_string(here.canonicalize().ok()?.parent()?.join("dev")).ok()?;
    let (major, minor) = disk.trim_end().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_block_devices_have_one() {
        for path in ["/dev/null", "/", "/nonexistent"] {
            assert!(number(Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn a_partition_is_on_a_disk() {
        let top = std::env::temp_dir().join(format!("sublet-disk-{}", std::process::id()));
        let (disk, table) = (top.join("devices/sda"), top.join("block"));
        fs::create_dir_all(disk.join("sda1")).unwrap();
        fs::create_dir_all(&table).unwrap();
        fs::write(disk.join("dev"), "8:0\n").unwrap();
        fs::write(disk.join("sda1/partition"), "1\n").unwrap();
        std::os::unix::fs::symlink(&disk, table.join("8:0")).unwrap();
        std::os::unix::fs::symlink(disk.join("sda1"), table.join("8:1")).unwrap();
        assert_eq!(whole(&table, (8, 1)), Some((8, 0)));
        assert_eq!(whole(&table, (8, 0)), None);
        assert_eq!(whole(&table, (8, 2)), None);
        fs::remove_dir_all(top).unwrap();
    }
}
