//! Extended attributes, xattr(7).

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

/// The value of attribute `name` of the file at `path`, links followed.
/// `None` where it has none or the filesystem knows none.
///
/// # Errors
/// `ERANGE` where the value is longer than `limit` bytes, and what
/// getxattr(2) says.
pub fn get(path: &Path, name: &CStr, limit: usize) -> Result<Option<Vec<u8>>, Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let mut value = vec![0u8; limit];
    // SAFETY: both strings end with NUL and outlive the call; the kernel
    // writes at most `value.len()` bytes to the buffer that `value` owns.
    let length = unsafe {
        nix::libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len())
    };
    match Errno::result(length) {
        Ok(length) => {
            value.truncate(length.unsigned_abs());
            Ok(Some(value))
        }
        Err(Errno::ENODATA | Errno::ENOTSUP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Gives the file at `path`, links followed, an attribute.
///
/// # Errors
/// What setxattr(2) says: `EOPNOTSUPP` where the file system has none such.
pub fn set(path: &Path, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: both strings end with NUL and outlive the call; the kernel reads
    // `value.len()` bytes of the slice.
    let done = unsafe {
        nix::libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    Errno::result(done).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_the_attribute_has_none() {
        assert_eq!(get(Path::new("/"), c"security.capability", 64), Ok(None));
        assert_eq!(get(Path::new("/nonexistent"), c"user.x", 64), Err(Errno::ENOENT));
        assert_eq!(get(Path::new("/\0"), c"user.x", 64), Err(Errno::EINVAL));
    }
}
