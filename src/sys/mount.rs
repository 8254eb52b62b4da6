//! The mount interface by file descriptor: open_tree(2), move_mount(2),
//! fsopen(2), mount_setattr(2), pivot_root(2).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Result, call};

/// `AT_RECURSIVE`: the whole tree of mounts (linux/fcntl.h).
const AT_RECURSIVE: libc::c_uint = 0x8000;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const OPEN_TREE_CLOEXEC: libc::c_uint = libc::O_CLOEXEC as libc::c_uint;
const AT_EMPTY_PATH: libc::c_uint = libc::AT_EMPTY_PATH as libc::c_uint;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;

/// How far an operation on a mount reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The one mount.
    Mount,
    /// The mount and all below it.
    Tree,
}

impl Reach {
    fn flag(self) -> libc::c_uint {
        match self {
            Self::Mount => 0,
            Self::Tree => AT_RECURSIVE,
        }
    }
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttr {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, or 0 to leave it.
    pub propagation: u64,
    /// Of an idmapped mount; always 0 here.
    pub userns_fd: u64,
}

/// A detached copy of what lies at `path` below `at`; see open_tree(2).
///
/// An empty `path` copies what `at` itself refers to.
pub fn open_tree(at: BorrowedFd<'_>, path: &CStr, reach: Reach) -> Result<OwnedFd> {
    let empty = if path.is_empty() { AT_EMPTY_PATH } else { 0 };
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | reach.flag() | empty;
    // SAFETY: `path` is NUL-terminated and outlives the call, which only reads
    // it; a non-negative answer is a new descriptor that nobody else owns.
    unsafe {
        let fd = call!(libc::SYS_open_tree, at.as_raw_fd(), path.as_ptr(), flags)?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Attaches the detached mount `tree` on top of what `target` refers to.
///
/// `target` may also refer to a symbolic link itself (`O_PATH|O_NOFOLLOW`):
/// the mount then covers the link.
pub fn move_mount(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are static NUL-terminated strings that are only read;
    // the descriptors are borrowed for the length of the call.
    unsafe {
        call!(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            flags
        )?;
    }
    Ok(())
}

/// Attaches a detached tree to `name` in a directory that nobody else has seen
/// yet; a symbolic link there is covered and not followed.
pub fn move_mount_to(tree: BorrowedFd<'_>, at: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let (from, to) = (tree.as_raw_fd(), at.as_raw_fd());
    let flags = MOVE_MOUNT_F_EMPTY_PATH;
    // SAFETY: as above.
    unsafe { call!(libc::SYS_move_mount, from, c"".as_ptr(), to, name.as_ptr(), flags)? };
    Ok(())
}

/// A new instance of a file system, not attached anywhere.
///
/// `options` are fsconfig(2) keys with their value, or a bare flag. `attrs`
/// are `MOUNT_ATTR_*`.
pub fn new_filesystem<'a>(
    kind: &CStr,
    options: impl Iterator<Item = (&'a CStr, Option<&'a CStr>)>,
    attrs: u64,
) -> Result<OwnedFd> {
    // SAFETY: `kind` is NUL-terminated and only read; the answer is a new
    // descriptor that nobody else owns.
    let context = unsafe {
        let fd = call!(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC)?;
        OwnedFd::from_raw_fd(fd as i32)
    };
    for (key, value) in options {
        let command = if value.is_some() { FSCONFIG_SET_STRING } else { FSCONFIG_SET_FLAG };
        let value = value.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: `key` and, for SET_STRING, `value` are NUL-terminated and
        // only read; SET_FLAG wants a null value and 0, which it gets.
        unsafe {
            call!(libc::SYS_fsconfig, context.as_raw_fd(), command, key.as_ptr(), value, 0)?;
        }
    }
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: CMD_CREATE takes null, null, 0; fsmount's answer is a new
    // descriptor that nobody else owns.
    unsafe {
        call!(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, none, none, 0)?;
        let fd = call!(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, attrs)?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Changes the attributes of the mount that `at` refers to; mount_setattr(2).
pub fn set_attr(at: BorrowedFd<'_>, attr: &MountAttr, reach: Reach) -> Result<()> {
    set_attr_at(at.as_raw_fd(), c"", attr, reach.flag() | AT_EMPTY_PATH)
}

/// Sets how events pass between `/` of this mount namespace, with all below
/// it, and the namespace it was copied from.
pub fn set_root_propagation(propagation: u64) -> Result<()> {
    let attr = MountAttr { propagation, ..MountAttr::default() };
    set_attr_at(libc::AT_FDCWD, c"/", &attr, AT_RECURSIVE)
}

fn set_attr_at(at: i32, path: &CStr, attr: &MountAttr, flags: libc::c_uint) -> Result<()> {
    // SAFETY: `path` and `attr` outlive the call and are only read; the size
    // passed is that of the structure behind the pointer.
    unsafe {
        call!(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>()
        )?;
    }
    Ok(())
}

/// The number of the mount that an open file is on; statx(2), Linux 5.8.
pub fn mount_id(fd: BorrowedFd<'_>) -> Result<u64> {
    // SAFETY: `statx` is plain numbers, zero is a value of each; the kernel
    // writes one such structure.
    unsafe {
        let mut statx: libc::statx = std::mem::zeroed();
        let (flags, mask) = (libc::AT_EMPTY_PATH, libc::STATX_MNT_ID);
        call!(libc::SYS_statx, fd.as_raw_fd(), c"".as_ptr(), flags, mask, &raw mut statx)?;
        Ok(statx.stx_mnt_id)
    }
}

/// Makes `root`, a mount on top of the present root, the root and lets go of
/// the present one with everything that is mounted in it.
pub fn pivot(root: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: plain calls with static strings; no memory is written.
    // pivot_root(".", ".") stacks the old root on the new one, where "." then
    // refers to the old root (pivot_root(2), NOTES), and MNT_DETACH takes it
    // off again.
    unsafe {
        call!(libc::SYS_fchdir, root.as_raw_fd())?;
        call!(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr())?;
        call!(libc::SYS_umount2, c".".as_ptr(), libc::MNT_DETACH)?;
        call!(libc::SYS_chdir, c"/".as_ptr())?;
    }
    Ok(())
}
