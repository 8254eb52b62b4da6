//! The last things that need the container's own names: host name, working
//! directory, program.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

use nix::libc;

use super::report::Part;
use super::{Failure, Outcome};
use crate::sys::process::{self, StringArray};
use crate::sys::{Errno, Result, call, fd, path};

/// Sets the host name of this UTS namespace.
pub fn hostname(name: &CStr) -> Result<()> {
    // SAFETY: the kernel reads as many bytes as the length says.
    unsafe { call!(libc::SYS_sethostname, name.as_ptr(), name.count_bytes())? };
    Ok(())
}

/// Sets the NIS domain name of this UTS namespace.
pub fn domainname(name: &CStr) -> Result<()> {
    // SAFETY: as above.
    unsafe { call!(libc::SYS_setdomainname, name.as_ptr(), name.count_bytes())? };
    Ok(())
}

/// Goes to a directory inside, and makes sure that it is.
///
/// A working directory of `/proc/self/fd/N` once led out through a descriptor
/// that had been left open (CVE-2024-21626): magic links are not followed, and
/// the kernel is asked where we ended up.
pub fn work_directory(directory: &CStr) -> Outcome {
    #[cfg(feature = "weaken")]
    if super::weak::WORK_DIRECTORY.load(std::sync::atomic::Ordering::Relaxed) {
        let opened = path::open_typed(directory, libc::O_PATH | libc::O_DIRECTORY)?;
        return Ok(fd::change_directory(opened.as_fd())?);
    }
    let root = path::open_typed(c"/", libc::O_PATH | libc::O_DIRECTORY)?;
    let opened = path::open_in_root(root.as_fd(), directory, libc::O_PATH | libc::O_DIRECTORY)
        .map_err(|errno| Part::Resolve.failed(errno))?;
    fd::change_directory(opened.as_fd())?;
    let mut buffer = [0_u8; path::PATH_MAX];
    // SAFETY: the kernel writes at most as many bytes as the buffer has.
    unsafe { call!(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len())? };
    // What lies outside of the root is shown as "(unreachable)/…" (getcwd(3)).
    if buffer[0] == b'/' { Ok(()) } else { Err(Part::Outside.failed(Errno::EXDEV)) }
}

/// Tries the candidates in order, as execvp(3) does: goes on where there is no
/// such file, remembers one that may not be executed.
pub fn exec(candidates: &[CString], argv: &StringArray, envp: &StringArray) -> Failure {
    let mut denied: Option<Failure> = None;
    for candidate in candidates {
        match process::exec(candidate, argv, envp) {
            Errno::ENOENT if is_there(candidate) => return Part::Interpreter.failed(Errno::ENOENT),
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => denied = Some(Errno::EACCES.into()),
            errno => return errno.into(),
        }
    }
    denied.unwrap_or(Failure { part: Part::Whole, errno: Errno::ENOENT })
}

/// Looks for one of the candidates that may be executed, as [`exec`] would try
/// them. A program that is there can still turn out to be none.
pub fn find(candidates: &[CString]) -> Outcome {
    let mut denied = Errno::ENOENT;
    for candidate in candidates {
        let directory = || {
            let opened = path::open_typed(candidate, libc::O_PATH)?;
            path::status(opened.as_fd()).map(|status| status.is_directory())
        };
        match path::may_execute(candidate).and_then(|()| directory()) {
            Ok(false) => return Ok(()),
            Ok(true) | Err(Errno::EACCES) => denied = Errno::EACCES,
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(denied.into())
}

/// Whether the file itself is there, so that what is not must be what it names
/// as its interpreter.
fn is_there(file: &CStr) -> bool {
    path::open_typed(file, libc::O_PATH).is_ok()
}
