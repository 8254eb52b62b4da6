//! Whether a directory is a root filesystem at all.
//!
//! What a root lacks of mount points is made in it. Who types `sublet run . make`
//! in a directory of his sources would find `dev`, `etc`, `proc` and `sys` there
//! afterwards, beside the word that there is no `make`.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::anyhow;
use nix::libc;
use oci_spec::runtime::Mount;

use crate::error::{EXIT_NOT_FOUND, Explain};
use crate::plan::step::Step;
use crate::spec::{Root, Spec};
use crate::sys::Errno;
use crate::sys::path::{open_component, open_in_root, open_typed, status};

/// Where a root filesystem has its programs; one of them is enough.
const SIGNS: [&CStr; 5] = [c"usr", c"bin", c"sbin", c"lib", c"nix"];

/// Makes sure that the program, or a place of programs, is in the directory that
/// is to be the root. What is mounted into it may bring both.
///
/// # Errors
/// A directory that is none.
pub fn check(steps: &[Step], spec: &Spec) -> anyhow::Result<()> {
    let (Root::Directory(path) | Root::Overlay(path)) = &spec.beside.root else { return Ok(()) };
    let source = CString::new(path.as_os_str().as_bytes())?;
    // Whatever is the matter with it, who makes it the root will say.
    let Ok(root) = open_typed(&source, libc::O_PATH | libc::O_DIRECTORY) else { return Ok(()) };
    if SIGNS.iter().any(|name| is_there(open_component(root.as_fd(), name, libc::O_PATH))) {
        return Ok(());
    }
    let Some(Step::Exec { candidates, argv, .. }) = steps.last() else { return Ok(()) };
    let work = spec.oci.process().as_ref().map_or(Path::new("/"), |process| process.cwd());
    let of = |candidate: &CString| work.join(OsStr::from_bytes(candidate.to_bytes()));
    let candidates: Vec<_> = candidates.iter().map(of).collect();
    let is_bind = |typ: &String| matches!(typ.as_str(), "bind" | "overlay");
    let brings = |mount: &Mount| {
        let at = mount.destination();
        let signs =
            || SIGNS.iter().map(|name| Path::new("/").join(OsStr::from_bytes(name.to_bytes())));
        mount.typ().as_ref().is_some_and(is_bind)
            && (signs().any(|sign| at.starts_with(&sign) || sign.starts_with(at))
                || candidates.iter().any(|candidate| candidate.starts_with(at)))
    };
    let is_program = |candidate: &PathBuf| {
        // There are files there that the caller may have open.
        let shown = candidate.starts_with("/proc") || candidate.starts_with("/dev");
        shown || leads_somewhere(root.as_fd(), candidate)
    };
    if spec.oci.mounts().iter().flatten().any(brings) || candidates.iter().any(is_program) {
        return Ok(());
    }
    let word = argv.strings().first().map(|word| word.to_string_lossy()).unwrap_or_default();
    let is_plain = word.chars().all(|c| c.is_alphanumeric() || "/._+-".contains(c));
    let typed = if is_plain { word.to_string() } else { format!("{word:?}") };
    let (at, rest) = (format!("{path:?}"), Root::UNPACK);
    Err(anyhow!("{at} is no root filesystem: it has neither {word:?} nor a /usr, /bin or /lib"))
        .exits_with(EXIT_NOT_FOUND)
        .hint(format!(
            "to work on it in a container of this machine's own system:\n  \
             sublet run -v {at}:{at} -w {at} host {typed}\n{rest}"
        ))
}

/// Whether something has that path, or its first name is a link: to what is
/// mounted later, maybe.
fn leads_somewhere(root: BorrowedFd<'_>, path: &Path) -> bool {
    let whole = CString::new(path.as_os_str().as_bytes());
    let first = path.components().find_map(|component| match component {
        Component::Normal(name) => CString::new(name.as_bytes()).ok(),
        _ => None,
    });
    let is_link = |name: &CString| {
        let there = open_component(root, name, libc::O_PATH).and_then(|it| status(it.as_fd()));
        there.is_ok_and(|status| status.is_link())
    };
    whole.is_ok_and(|path| is_there(open_in_root(root, &path, libc::O_PATH)))
        || first.as_ref().is_some_and(is_link)
}

/// Whether something is there, as far as the caller may know.
fn is_there<T>(found: Result<T, Errno>) -> bool {
    !matches!(found, Err(Errno::ENOENT | Errno::ENOTDIR))
}
