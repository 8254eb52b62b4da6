//! `--device`, as typed.

use anyhow::{bail, ensure};
use oci_spec::runtime::Mount;

use super::mount;
use crate::error::Explain;

/// Reads `SRC[:DST][:rwm]`: a device of the host, or a directory of them.
///
/// A node cannot be made in a user namespace, so it is a bind of the host's
/// that lets devices be devices; who carries it out checks that it is one.
pub fn device(text: &str) -> anyhow::Result<Mount> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, access) = match parts[..] {
        [source] => (source, source, None),
        [source, second] if is_access(second) => (source, source, Some(second)),
        [source, target] => (source, target, None),
        [source, target, access] => (source, target, Some(access)),
        _ => bail!("more than SRC:DST:rwm"),
    };
    if !source.starts_with('/') {
        ensure!(!source.contains('='), "devices by CDI name are not in sublet yet");
        bail!("the device {source:?} is not absolute");
    }
    if let Some(access) = access {
        ensure!(is_access(access), "{access:?} is not an access: of the letters r, w and m");
        if !(access.contains('r') && access.contains('w')) {
            return Err(anyhow::anyhow!("the access {access:?} cannot be enforced"))
                .hint("only root can limit it: leave it out, or change the mode of the node");
        }
    }
    Ok(mount::device(source.into(), mount::target_path(target)?))
}

/// Each of the letters at most once, as the device cgroup has them.
fn is_access(text: &str) -> bool {
    !text.is_empty()
        && text.chars().enumerate().all(|(at, c)| "rwm".contains(c) && !text[..at].contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_device_is_a_bind_that_lets_it_work() {
        let mount = device("/dev/fuse").unwrap();
        assert_eq!(mount.destination(), Path::new("/dev/fuse"));
        assert!(!mount.options().as_ref().unwrap().iter().any(|option| option.contains("nodev")));
        for text in ["/dev/a:/dev/b", "/dev/a:/dev/b:rwm", "/dev/b:rw"] {
            assert_eq!(device(text).unwrap().destination(), Path::new("/dev/b"), "{text}");
        }
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for text in [
            "",
            "null",
            "vendor.com/gpu=all",
            "/dev/a:b",
            "/dev/a:/dev/b:x",
            "/dev/a:r",
            "/dev/a:/dev/b:rr",
            "/dev/a:/dev/b:rw:m",
            "/dev/a:",
            "/dev/é:é",
        ] {
            assert!(device(text).is_err(), "{text:?} was taken");
        }
    }
}
