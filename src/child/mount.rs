//! Trees opened, targets found, mounts attached: by descriptor throughout.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::libc;

use super::report::Part;
use super::{Child, Failure, Outcome};
use crate::plan::step::{Expect, Lookup, Missing, Slot, Target};
use crate::sys::mount::{
    MountAttr, Reach, mount_id, move_mount, move_mount_to, open_tree, set_attr,
};
use crate::sys::path::{
    PATH_MAX, create_file, make_directory, on_procfs, open_component, open_in_root, open_typed,
    open_without_links, status,
};
use crate::sys::{Errno, Result, call};

/// Copies the mounts at a path of the host.
pub fn open(
    source: &CStr,
    lookup: Lookup,
    reach: Reach,
    expect: Expect,
) -> std::result::Result<OwnedFd, Failure> {
    // One lookup: what is checked and what is mounted are the same.
    let opened = match lookup {
        Lookup::AsTyped => open_typed(source, libc::O_PATH),
        Lookup::NoLinks => open_without_links(source, libc::O_PATH),
    };
    let opened = opened.map_err(|errno| Part::Resolve.failed(errno))?;
    let status = status(opened.as_fd())?;
    match expect {
        Expect::Any => {}
        // Whoever may not go into it would only hear so of what is in it.
        Expect::Directory if status.is_directory() => {
            open_component(opened.as_fd(), c".", libc::O_PATH)?;
        }
        Expect::Directory => return Err(Part::Kind.failed(Errno::ENOTDIR)),
        Expect::Node if status.is_device() || status.is_directory() => {}
        Expect::Node => return Err(Part::Kind.failed(Errno::ENODEV)),
        Expect::Device { major, minor } if status.is_character_device(major, minor) => {}
        Expect::Block { major, minor } if status.is_block_device(major, minor) => {}
        Expect::Device { .. } | Expect::Block { .. } => {
            return Err(Part::Kind.failed(Errno::ENODEV));
        }
    }
    Ok(open_tree(opened.as_fd(), c"", reach)?)
}

/// Copies a mount that is kept, or what is at `name` in it.
pub fn copy(from: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    open_tree(from, name, Reach::Mount)
}

/// Hides what is at a path of the container.
///
/// What covers it are mounts of ours, never the container's own `/dev/null`,
/// which an image may have put anything at (CVE-2025-31133).
///
/// # Errors
/// With `asked`, that nothing is there.
pub fn mask(
    root: BorrowedFd<'_>,
    path: &CStr,
    (null, empty): (BorrowedFd<'_>, BorrowedFd<'_>),
    asked: bool,
) -> Outcome {
    let found = match asked {
        true => open_in_root(root, path, libc::O_PATH).map_err(|it| Part::Resolve.failed(it))?,
        false => match there(root, path)? {
            Some(found) => found,
            None => return Ok(()),
        },
    };
    let cover = if status(found.as_fd())?.is_directory() { empty } else { null };
    let cover = open_tree(cover, c"", Reach::Mount)?;
    Ok(move_mount(cover.as_fd(), found.as_fd())?)
}

/// Makes what is at a path of the container read-only, by mounting it on
/// itself.
pub fn protect(root: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    let Some(found) = there(root, path)? else { return Ok(()) };
    let again = open_tree(found.as_fd(), c"", Reach::Tree)?;
    let attr = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    set_attr(again.as_fd(), &attr, Reach::Tree)?;
    move_mount(again.as_fd(), found.as_fd())
}

/// Makes all mounts below `tree` read-only, but not `tree` itself: mount points
/// are still to be made in it.
pub fn protect_below(tree: BorrowedFd<'_>) -> Result<()> {
    let all = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    set_attr(tree, &all, Reach::Tree)?;
    let back = MountAttr { clear: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    match set_attr(tree, &back, Reach::Mount) {
        // It was read-only on the host, and is so for good here
        // (mount_namespaces(7), locked attributes).
        Err(Errno::EPERM) => Ok(()),
        other => other,
    }
}

/// What is at a path of the container; `None` where nothing is, or nothing
/// that this process could see, which then the payload can't either.
fn there(root: BorrowedFd<'_>, path: &CStr) -> Result<Option<OwnedFd>> {
    match open_in_root(root, path, libc::O_PATH) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Makes a directory with the mode and the owner of another.
pub fn make_like(at: BorrowedFd<'_>, name: &CStr, like: BorrowedFd<'_>) -> Result<()> {
    let like = status(like)?;
    make_directory(at, name, like.mode & 0o7777)?;
    let made = open_component(at, name, libc::O_RDONLY | libc::O_DIRECTORY)?;
    // An owner that is not in the map can own nothing here (EINVAL).
    // SAFETY: numbers only.
    let _ = unsafe { call!(libc::SYS_fchown, made.as_raw_fd(), like.uid, like.gid) };
    // After the owner, whose change takes set-id bits away.
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_fchmod, made.as_raw_fd(), like.mode & 0o7777)? };
    Ok(())
}

/// Makes `root` the root, and makes sure that nothing is left above it.
///
/// A mount that stayed on top of the root would be where `/..` leads.
pub fn pivot(root: BorrowedFd<'_>) -> Outcome {
    crate::sys::mount::pivot(root)?;
    let above = open_typed(c"/..", libc::O_PATH | libc::O_DIRECTORY)?;
    if mount_id(above.as_fd())? == mount_id(root)? {
        Ok(())
    } else {
        Err(Part::Outside.failed(Errno::EXDEV))
    }
}

/// Attaches `tree`.
pub fn attach(child: &Child, tree: BorrowedFd<'_>, target: &Target, missing: Missing) -> Outcome {
    let found = match target {
        // On top of the present root: needs no place in the file system, and
        // is out of the way as soon as the child pivots into it.
        Target::Root => open_typed(c"/", libc::O_PATH)?,
        Target::Spot(slot) => return Ok(move_mount(tree, child.kept(*slot)?)?),
        Target::Aside => open_typed(c"/proc", libc::O_PATH | libc::O_DIRECTORY)?,
        Target::Inside(slot, name) => return Ok(move_mount_to(tree, child.kept(*slot)?, name)?),
        Target::Path(path) => {
            let directory = status(tree)?.is_directory();
            let Some(found) = find(child.kept(Slot::ROOT)?, path, directory, missing)? else {
                return Ok(());
            };
            // A link of the image's may lead there too, to a file that
            // confines the container (CVE-2019-16884, CVE-2025-52881).
            if on_procfs(found.as_fd())? && !is_below_proc(path) {
                return match missing {
                    Missing::Try => Ok(()),
                    _ => Err(Part::Procfs.failed(Errno::EPERM)),
                };
            }
            found
        }
    };
    Ok(move_mount(tree, found.as_fd())?)
}

fn is_below_proc(path: &CStr) -> bool {
    let rest = path.to_bytes().strip_prefix(b"/proc");
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// The place at `path` below `root` for a directory or for anything else.
///
/// A directory is looked up with its last component followed, as `cd` would.
/// Anything else is mounted on the very last component, be it a symbolic link,
/// a FIFO or a socket: the mount covers it, and where a link of the image
/// points is of no account.
fn find(
    root: BorrowedFd<'_>,
    path: &CStr,
    directory: bool,
    missing: Missing,
) -> std::result::Result<Option<OwnedFd>, Failure> {
    let looked_up = if directory {
        open_in_root(root, path, libc::O_PATH | libc::O_DIRECTORY)
    } else {
        open_in_root(root, path, libc::O_PATH | libc::O_NOFOLLOW)
    };
    let made = match looked_up {
        Ok(found) => return Ok(Some(found)),
        // A file for a directory on the way is as good as nothing there.
        Err(Errno::ENOENT | Errno::ENOTDIR) if missing == Missing::Skip => return Ok(None),
        Err(Errno::ENOENT) => {
            create(root, path, directory).map_err(|errno| Part::Create.failed(errno))
        }
        Err(errno) => Err(Part::Resolve.failed(errno)),
    };
    match made {
        Ok(made) => Ok(Some(made)),
        Err(_) if missing == Missing::Try => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Makes `path` below `root`, and the directories that lead to it.
fn create(root: BorrowedFd<'_>, path: &CStr, directory: bool) -> Result<OwnedFd> {
    // A copy whose slashes become ends of strings, one after the other. On the
    // stack: there is no heap here.
    let mut buffer = [0_u8; PATH_MAX];
    let path = path.to_bytes();
    if path.len() >= PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    buffer[..path.len()].copy_from_slice(path);

    let mut parent = open_in_root(root, c".", libc::O_PATH | libc::O_DIRECTORY)?;
    let mut start = 0;
    for end in 1..=path.len() {
        if end < path.len() && path[end] != b'/' {
            continue;
        }
        let whole = end == path.len();
        let name_start = path[start..end].iter().position(|b| *b != b'/').map(|at| start + at);
        start = end;
        let Some(name_start) = name_start else { continue };
        buffer[end] = 0;
        let name = CStr::from_bytes_until_nul(&buffer[name_start..]).map_err(|_| Errno::EINVAL)?;
        if whole && !directory {
            match create_file(parent.as_fd(), name, 0o644) {
                // Or made meanwhile, by another container that starts in this root.
                Ok(_) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
            return open_component(parent.as_fd(), name, libc::O_PATH);
        }
        match make_directory(parent.as_fd(), name, 0o755) {
            Ok(()) => {
                parent = open_component(parent.as_fd(), name, libc::O_PATH | libc::O_DIRECTORY)?
            }
            Err(Errno::EEXIST) => {
                // From the root again, so that a link on the way is followed,
                // and stays inside. One that leads nowhere is an error: what
                // it would make is for the image to say, not for us.
                let so_far = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::EINVAL)?;
                parent = open_in_root(root, so_far, libc::O_PATH | libc::O_DIRECTORY)?;
            }
            Err(errno) => return Err(errno),
        }
        if end < path.len() {
            buffer[end] = b'/';
        }
    }
    Ok(parent)
}
