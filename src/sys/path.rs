//! Paths below a directory that somebody else controls: openat2(2).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Errno, Result, call};

/// The longest path that is taken, its NUL included (limits.h `PATH_MAX`).
pub const PATH_MAX: usize = libc::PATH_MAX as usize;

/// Opens `path` with `root` as `/`: neither `..` nor a symbolic link leads out
/// of it, and no magic link of procfs is followed.
///
/// `flags` are those of open(2); `O_CLOEXEC` is added.
pub fn open_in_root(root: BorrowedFd<'_>, path: &CStr, flags: i32) -> Result<OwnedFd> {
    let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    #[cfg(feature = "weaken")]
    let resolve = weak::apply(resolve);
    #[cfg(feature = "weaken")]
    let path = weak::below(path);
    let path = if path.is_empty() { c"." } else { path };
    open_resolving(root, path, flags, resolve)
}

/// Opens `path` as the kernel resolves it for this process; `ELOOP` where any
/// part of it is a link.
pub fn open_without_links(path: &CStr, flags: i32) -> Result<OwnedFd> {
    open_resolving(here(), path, flags, libc::RESOLVE_NO_SYMLINKS)
}

/// openat2(2).
fn open_resolving(
    directory: BorrowedFd<'_>,
    path: &CStr,
    flags: i32,
    resolve: u64,
) -> Result<OwnedFd> {
    // SAFETY: `open_how` is plain numbers for which zero is the documented
    // default of every field.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.resolve = resolve;
    loop {
        // SAFETY: `path` is NUL-terminated, `how` outlives the call and its
        // true size is given; a non-negative answer is a new descriptor.
        let answer = unsafe {
            call!(
                libc::SYS_openat2,
                directory.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>()
            )
        };
        match answer {
            // SAFETY: as above, the descriptor is new and owned by nobody.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
            // A rename or mount elsewhere raced with `..`; openat2(2) says to
            // try again.
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Where relative paths begin.
fn here() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD is the documented "no directory" value, is never
    // closed, and is only handed on to openat(2) and openat2(2).
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}

/// The switches of the feature `weaken`: how a launcher looks paths up that
/// does not mind who made them.
#[cfg(feature = "weaken")]
mod weak {
    use std::ffi::CStr;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    pub static PLAIN: AtomicBool = AtomicBool::new(false);

    pub fn apply(resolve: u64) -> u64 {
        if PLAIN.load(Relaxed) { 0 } else { resolve }
    }

    /// Without RESOLVE_IN_ROOT an absolute path would begin at the host's
    /// root; this launcher puts its root before it, as text.
    pub fn below(path: &CStr) -> &CStr {
        let slashes = path.to_bytes().iter().take_while(|byte| **byte == b'/').count();
        let rest = if PLAIN.load(Relaxed) { slashes } else { 0 };
        CStr::from_bytes_with_nul(&path.to_bytes_with_nul()[rest..]).unwrap_or(path)
    }
}

/// Looks paths up as open(2) would.
#[cfg(feature = "weaken")]
pub fn weaken_resolution() {
    weak::PLAIN.store(true, std::sync::atomic::Ordering::Relaxed);
}

/// Opens the one component `name` of `directory`, without following it.
pub fn open_component(directory: BorrowedFd<'_>, name: &CStr, flags: i32) -> Result<OwnedFd> {
    open_at(directory, name, flags | libc::O_NOFOLLOW, 0)
}

/// Opens `.`, `..` or the one component `name` of `directory`, and follows it
/// where it is a link.
pub fn open_following(directory: BorrowedFd<'_>, name: &CStr, flags: i32) -> Result<OwnedFd> {
    open_at(directory, name, flags, 0)
}

/// Makes and opens the new file `name` of `directory`; fails where it exists.
pub fn create_file(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<OwnedFd> {
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_WRONLY;
    open_at(directory, name, flags, mode)
}

/// Opens the file `name` of `directory`, which has to be there, to append to
/// it.
pub fn append_to(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    open_component(directory, name, libc::O_APPEND | libc::O_WRONLY | libc::O_NONBLOCK)
}

/// Opens `path` as the kernel resolves it for this process, links and all:
/// only for paths that the user typed.
pub fn open_typed(path: &CStr, flags: i32) -> Result<OwnedFd> {
    open_at(here(), path, flags, 0)
}

fn open_at(directory: BorrowedFd<'_>, name: &CStr, flags: i32, mode: u32) -> Result<OwnedFd> {
    // SAFETY: `name` is NUL-terminated and only read; a non-negative answer is
    // a new descriptor that nobody else owns.
    unsafe {
        let fd = call!(
            libc::SYS_openat,
            directory.as_raw_fd(),
            name.as_ptr(),
            flags | libc::O_CLOEXEC,
            mode
        )?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Whether this process, by its real ids, may execute what is at `path`;
/// access(2).
pub fn may_execute(path: &CStr) -> Result<()> {
    // SAFETY: `path` is NUL-terminated and only read; AT_FDCWD is the documented
    // "no directory" value.
    unsafe { call!(libc::SYS_faccessat, libc::AT_FDCWD, path.as_ptr(), libc::X_OK)? };
    Ok(())
}

/// Makes the directory `name` of `directory`.
pub fn make_directory(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    // SAFETY: `name` is NUL-terminated and only read.
    unsafe { call!(libc::SYS_mkdirat, directory.as_raw_fd(), name.as_ptr(), mode)? };
    Ok(())
}

/// Removes the empty directory `name` of `directory`; rmdir(2).
pub fn remove_directory(directory: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: `name` is NUL-terminated and only read.
    unsafe {
        call!(libc::SYS_unlinkat, directory.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR)?;
    }
    Ok(())
}

/// Exchanges what two names in `directory` stand for; renameat2(2), for which
/// musl has no function.
pub fn exchange(directory: BorrowedFd<'_>, one: &CStr, other: &CStr) -> Result<()> {
    let (at, flags) = (directory.as_raw_fd(), libc::RENAME_EXCHANGE);
    // SAFETY: both strings are NUL-terminated and only read.
    unsafe { call!(libc::SYS_renameat2, at, one.as_ptr(), at, other.as_ptr(), flags)? };
    Ok(())
}

/// Makes the symbolic link `name` of `directory`, pointing at `target`.
pub fn make_link(directory: BorrowedFd<'_>, name: &CStr, target: &CStr) -> Result<()> {
    // SAFETY: both strings are NUL-terminated and only read.
    unsafe {
        call!(libc::SYS_symlinkat, target.as_ptr(), directory.as_raw_fd(), name.as_ptr())?;
    }
    Ok(())
}

/// Opens what a link of procfs refers to, such as a namespace, to look at it.
pub fn open_link(directory: BorrowedFd<'_>, link: &CStr) -> Result<OwnedFd> {
    open_at(directory, link, libc::O_PATH, 0)
}

/// Calls `each` with every name in a directory, read from where it stands;
/// getdents64(2).
pub fn each_name(directory: BorrowedFd<'_>, mut each: impl FnMut(&CStr)) -> Result<()> {
    each_entry(directory, |name, _| each(name))
}

/// As [`each_name`], with the kind of file: `DT_DIR` and its like, which a few
/// file systems leave at `DT_UNKNOWN`.
pub fn each_entry(directory: BorrowedFd<'_>, mut each: impl FnMut(&CStr, u8)) -> Result<()> {
    /// `struct linux_dirent64` up to the name: ino, off, reclen, type.
    const NAME: usize = 19;
    const LENGTH: usize = 16;
    let mut buffer = [0_u64; 512];
    loop {
        // SAFETY: the kernel writes at most as many bytes as the buffer has.
        let filled = unsafe {
            let size = size_of_val(&buffer);
            call!(libc::SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), size)?
        };
        if filled == 0 {
            return Ok(());
        }
        // SAFETY: the first `filled` bytes of the buffer, which are numbers.
        let mut entries =
            unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), filled as usize) };
        while let Some(&[low, high, kind]) = entries.get(LENGTH..NAME) {
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let (entry, rest) = entries.split_at_checked(length).ok_or(Errno::EIO)?;
            let name = entry.get(NAME..).ok_or(Errno::EIO)?;
            each(CStr::from_bytes_until_nul(name).map_err(|_| Errno::EIO)?, kind);
            entries = rest;
        }
    }
}

/// Whether an open file is of procfs; fstatfs(2).
pub fn on_procfs(fd: BorrowedFd<'_>) -> Result<bool> {
    // PROC_SUPER_MAGIC, to which the C libraries give different types.
    Ok(kind_of_filesystem(fd)? == 0x9fa0)
}

/// Whether an open file is of devpts.
pub fn on_devpts(fd: BorrowedFd<'_>) -> Result<bool> {
    // DEVPTS_SUPER_MAGIC of linux/magic.h.
    Ok(kind_of_filesystem(fd)? == 0x1cd1)
}

fn kind_of_filesystem(fd: BorrowedFd<'_>) -> Result<u64> {
    // SAFETY: `statfs` is plain numbers, zero is a value of each; the kernel
    // writes one such structure.
    unsafe {
        let mut statfs: libc::statfs = std::mem::zeroed();
        call!(libc::SYS_fstatfs, fd.as_raw_fd(), &raw mut statfs)?;
        Ok(statfs.f_type as u64)
    }
}

/// What fstat(2) says of an open file.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// `st_mode`: kind and permissions.
    pub mode: u32,
    /// `st_uid`: the owner, as numbered here.
    pub uid: u32,
    /// `st_gid`: the group, as numbered here.
    pub gid: u32,
    /// `st_rdev`, of a device node.
    pub rdev: u64,
    /// `st_dev`: the file system.
    pub dev: u64,
    /// `st_ino`: the inode.
    pub ino: u64,
}

impl Status {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// Whether it is a symbolic link.
    pub fn is_link(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFLNK
    }

    /// Whether it is a device node.
    pub fn is_device(&self) -> bool {
        matches!(self.mode & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK)
    }

    /// Whether it is a block device with this number.
    pub fn is_block_device(&self, major: u32, minor: u32) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFBLK && self.rdev == libc::makedev(major, minor)
    }

    /// Whether it is a character device with this number.
    pub fn is_character_device(&self, major: u32, minor: u32) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFCHR && self.rdev == libc::makedev(major, minor)
    }
}

/// The status of an open file, `O_PATH` ones too.
pub fn status(fd: BorrowedFd<'_>) -> Result<Status> {
    // SAFETY: `stat` is plain numbers, zero is a value of each; fstat writes
    // one such structure behind the pointer.
    let stat = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        call!(libc::SYS_fstat, fd.as_raw_fd(), &raw mut stat)?;
        stat
    };
    Ok(Status {
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: stat.st_rdev,
        dev: stat.st_dev,
        ino: stat.st_ino,
    })
}
