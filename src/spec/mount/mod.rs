//! Mounts as typed, and the order in which they are asked for.
//!
//! The options of a [`Mount`] made here are complete: what is not among them
//! is not wanted. Those with an `r` before (`rro`, `rnosuid`) hold for the
//! submounts too. A mount of type `overlay` without a `lowerdir=` is a
//! throw-away overlay over its source.

mod bind;
mod defaults;
mod flag;
mod path;
mod tmpfs;
mod volume;

use anyhow::{Context, ensure};
use oci_spec::runtime::Mount;
use std::path::{Path, PathBuf};

pub use defaults::{host_ipc_mounts, private_mounts, scratch_mounts};
pub use flag::mount;
pub use path::{host_path, target_path};
pub use tmpfs::{shm_size_option, tmpfs};
pub use volume::volume;

/// Joins the defaults with what the user asked for, parents before what lies
/// in them and otherwise in the given order. A user's mount takes the place of
/// the default at the same target, and one at /dev takes the place of all that
/// would be mounted below it.
pub fn arrange(mut defaults: Vec<Mount>, asked: Vec<Mount>) -> anyhow::Result<Vec<Mount>> {
    for (at, mount) in asked.iter().enumerate() {
        let target = mount.destination();
        let twice = asked[..at].iter().any(|earlier| earlier.destination() == target);
        ensure!(!twice, "two mounts at {target:?}: only the last could be seen");
        let whole_dev = target == Path::new("/dev");
        defaults.retain(|default| {
            let place = default.destination();
            place != target && !(whole_dev && place.starts_with("/dev"))
        });
    }
    defaults.extend(asked);
    defaults.sort_by_key(|mount| mount.destination().components().count());
    Ok(defaults)
}

/// One mount, written the way a table of mounts reads.
fn entry(
    target: impl Into<PathBuf>,
    kind: &str,
    source: impl Into<PathBuf>,
    options: &[&str],
) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(target.into())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(|&option| option.to_owned()).collect()));
    mount
}

/// A device of the host, with its power but nothing else of it.
pub fn device(source: PathBuf, target: PathBuf) -> Mount {
    entry(target, "bind", source, &["rbind", "rnosuid", "rnoexec", "rprivate"])
}

/// An octal file mode of at most four digits.
fn mode(text: &str) -> anyhow::Result<u32> {
    let digits = (1..=4).contains(&text.trim_start_matches('0').len().max(1))
        && text.bytes().all(|b| b.is_ascii_digit())
        && !text.is_empty();
    ensure!(digits, "{text:?} is not an octal mode such as 1777");
    u32::from_str_radix(text, 8).with_context(|| format!("{text:?} is not an octal mode"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(mounts: &[Mount]) -> Vec<&str> {
        mounts.iter().map(|mount| mount.destination().to_str().unwrap()).collect()
    }

    fn tmpfs_at(target: &str) -> Mount {
        entry(target, "tmpfs", "tmpfs", &[])
    }

    #[test]
    fn parents_come_first_and_the_rest_keeps_its_order() {
        let asked = ["/b/c/d", "/b", "/a/x", "/b/c", "/a"].map(tmpfs_at).to_vec();
        assert_eq!(
            targets(&arrange(vec![], asked).unwrap()),
            ["/b", "/a", "/a/x", "/b/c", "/b/c/d"]
        );
    }

    #[test]
    fn a_users_mount_replaces_the_default() {
        let mounts = arrange(private_mounts(None), vec![tmpfs_at("/sys")]).unwrap();
        assert_eq!(
            targets(&mounts),
            ["/proc", "/dev", "/sys", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys/fs/cgroup"]
        );
        let mounts = arrange(private_mounts(None), vec![tmpfs_at("/dev/x"), tmpfs_at("/dev")]);
        assert_eq!(
            targets(&mounts.unwrap()),
            ["/proc", "/sys", "/dev", "/dev/x", "/sys/fs/cgroup"]
        );
    }

    #[test]
    fn one_target_twice_is_refused() {
        assert!(arrange(vec![], vec![tmpfs_at("/a"), tmpfs_at("/a")]).is_err());
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("1777").unwrap(), 0o1777);
        assert_eq!(mode("01777").unwrap(), 0o1777);
        assert_eq!(mode("0").unwrap(), 0);
        for text in ["", "8", "17777", "-1", "+7", "0o7", "rwx"] {
            assert!(mode(text).is_err(), "{text:?} was taken");
        }
    }
}
