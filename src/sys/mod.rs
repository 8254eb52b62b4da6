//! The kernel's interface where `nix` has no wrapper for it.
//!
//! With `child` the only module that holds `unsafe`. Nothing here touches the
//! heap, so all of it may also run between clone and exec. Errors are bare
//! [`Errno`]s: whoever knows what was tried tells the story.

pub mod confine;
pub mod fd;
pub mod link;
pub mod mount;
pub mod path;
pub mod process;
pub mod tty;
pub mod xattr;

pub use nix::errno::Errno;

/// The outcome of a system call.
pub type Result<T> = std::result::Result<T, Errno>;

/// Turns a raw return value into a result.
pub(crate) fn check(value: libc::c_long) -> Result<libc::c_long> {
    if value < 0 { Err(Errno::last()) } else { Ok(value) }
}

/// Calls the kernel by number and turns the answer into a [`Result`].
///
/// A macro because `syscall(2)` is variadic: every argument keeps its own
/// type, and each use states in its own SAFETY comment why that call is sound.
macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        $crate::sys::check(libc::syscall($number $(, $argument)*))
    };
}
pub(crate) use call;
