//! The kernel's interface where `nix` has no wrapper for it.
//!
//! With `child` the only module that holds `unsafe`. What goes through `call!`
//! touches neither the heap nor the C library, and may run between clone and
//! exec; the rest (`xattr`, `clock`, `StringArray::new`, the modes of terminals, what
//! has nix in it) is for the launcher. Errors are bare [`Errno`]s: whoever
//! knows what was tried tells the story.

pub mod clock;
pub mod confine;
pub mod fd;
pub mod heap;
pub mod link;
pub mod mount;
pub mod namespace;
pub mod path;
pub mod process;
pub mod random;
pub mod raw;
pub mod schedule;
pub mod socket;
pub mod stack;
pub mod tty;
pub mod xattr;

pub use nix::errno::Errno;

/// The outcome of a system call.
pub type Result<T> = std::result::Result<T, Errno>;

/// Calls the kernel by number and turns the answer into a [`Result`].
///
/// A macro because arguments are numbers and pointers; each use states in its
/// own SAFETY comment why that call is sound.
macro_rules! call {
    (@ $number:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr $(, $rest:expr)*) => {
        $crate::sys::raw::check($crate::sys::raw::syscall(
            $number,
            [$a as usize, $b as usize, $c as usize, $d as usize, $e as usize, $f as usize],
        ))
    };
    ($number:expr $(, $argument:expr)* $(,)?) => {
        $crate::sys::call!(@ $number $(, $argument)*, 0, 0, 0, 0, 0, 0)
    };
}
pub(crate) use call;
