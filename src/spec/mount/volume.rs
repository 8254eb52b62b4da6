//! `--volume`, as typed.

use anyhow::{bail, ensure};
use oci_spec::runtime::Mount;

use super::bind::Bind;
use super::{host_path, target_path};
use crate::error::Explain;

/// Reads `SRC:DST[:OPTION,...]`. `SRC` is a path of the host and told from a
/// name by how it begins: `/`, `./`, `../`, or `.` and `..` alone. Whether it
/// is there is found out when it is mounted.
pub fn volume(text: &str) -> anyhow::Result<Mount> {
    let mut parts = text.split(':');
    let (source, target, options) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(source), Some(target), options, None) => (source, target, options),
        (Some(_), None, ..) => bail!("a volume has a source and a target: SRC:DST"),
        _ => {
            return Err(anyhow::anyhow!("more than SRC:DST:OPTIONS"))
                .hint("a path with a colon goes through --mount type=bind,src=...,dst=...");
        }
    };
    ensure!(!source.is_empty(), "the source is empty");
    if !is_path(source) {
        return Err(anyhow::anyhow!("named volumes are not in sublet yet"))
            .hint(format!("if a directory is meant, write ./{source}"));
    }
    let mut bind = Bind::default();
    for word in options.into_iter().flat_map(|words| words.split(',')) {
        bind.word(word)?;
    }
    bind.mount(host_path(source)?, target_path(target)?)
}

fn is_path(source: &str) -> bool {
    matches!(source, "." | "..") || ["/", "./", "../"].iter().any(|begin| source.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn options(text: &str) -> String {
        volume(text).unwrap().options().as_ref().unwrap().join(",")
    }

    #[test]
    fn a_volume_shows_submounts_and_no_privileges() {
        let mount = volume("/srv/in:/data/../x").unwrap();
        assert_eq!(mount.source().as_deref(), Some(Path::new("/srv/in")));
        assert_eq!(mount.destination(), Path::new("/x"));
        assert_eq!(mount.typ().as_deref(), Some("bind"));
        assert_eq!(options("/a:/b"), "rbind,rnosuid,rnodev,rprivate");
    }

    #[test]
    fn options_say_how() {
        assert_eq!(options("/a:/b:ro,z"), "rbind,rro,rnosuid,rnodev,rprivate");
        assert_eq!(options("/a:/b:rw,suid,dev,noexec,rslave"), "rbind,rnoexec,rslave");
        assert_eq!(options("/a:/b:bind,ro"), "bind,ro,nosuid,nodev,rprivate");
        let overlay = volume("/a:/b:O").unwrap();
        assert_eq!(overlay.typ().as_deref(), Some("overlay"));
        assert_eq!(overlay.options().as_deref(), Some(&["nosuid".into(), "nodev".into()][..]));
    }

    #[test]
    fn relative_sources_begin_with_a_dot() {
        let here = std::env::current_dir().unwrap();
        for (text, path) in [(".:/b", here.clone()), ("./a:/b", here.join("a"))] {
            assert_eq!(volume(text).unwrap().source().as_deref(), Some(path.as_path()));
        }
    }

    #[test]
    fn odd_names_are_names() {
        let mount = volume("/a\nb, c:/d\ne,f").unwrap();
        assert_eq!(mount.source().as_deref(), Some(Path::new("/a\nb, c")));
        assert_eq!(mount.destination(), Path::new("/d\ne,f"));
    }

    #[test]
    fn what_is_no_volume_is_refused() {
        for text in [
            "",
            "/a",
            ":/b",
            "/a:",
            "data:/b",
            "sub/dir:/b",
            "~:/b",
            "/a:b",
            "/a:/",
            "/a:/b:ro,rw",
            "/a:/b:",
            "/a:/b:x",
            "/a:/b:ro:z",
            "/a:/b:O,ro",
            "/a:/b:U",
            "/a:/b:RO",
            "/a:/b:ro,",
            "/a:/b:lowerdir=/etc",
            "...:/b",
        ] {
            assert!(volume(text).is_err(), "{text:?} was taken");
        }
    }
}
