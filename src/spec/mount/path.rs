//! Paths in a mount: outside as the caller means them, inside made plain.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, ensure};

/// A path of the host, made absolute from the working directory. A `..` stays:
/// the directory before it may be a symbolic link, which only the kernel
/// follows rightly.
pub fn host_path(text: &str) -> anyhow::Result<PathBuf> {
    std::path::absolute(text)
        .with_context(|| format!("find the working directory, from which {text:?} is meant"))
}

/// A path of the container, absolute and without `.`, `..` and doubled
/// slashes. A `..` goes back by name and never above the root; what symbolic
/// links inside the root make of the rest is found out when it is mounted.
pub fn target_path(text: &str) -> anyhow::Result<PathBuf> {
    ensure!(text.starts_with('/'), "the target {text:?} is not absolute");
    let mut plain = PathBuf::from("/");
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => plain.push(name),
            // At the root there is nothing to pop, as in the kernel.
            Component::ParentDir => _ = plain.pop(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    ensure!(plain != Path::new("/"), "the target {text:?} is the root itself");
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_made_plain() {
        for (text, plain) in
            [("/a", "/a"), ("//a/./b//", "/a/b"), ("/a/../../etc", "/etc"), ("/a\nb,c", "/a\nb,c")]
        {
            assert_eq!(target_path(text).unwrap(), Path::new(plain), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in ["", "a", "./a", "/", "/..", "/a/..", "//."] {
            assert!(target_path(text).is_err(), "{text:?} was taken");
        }
    }
}
