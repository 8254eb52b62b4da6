//! Stacks for processes that share the launcher's memory.

use super::{Result, call};

/// What the deepest call of the child takes, several times over, in a build
/// without optimisation too.
const SIZE: usize = 256 * 1024;

/// A page that nobody may touch lies below, so that an overflow is a fault and
/// no damage.
const GUARD: usize = 64 * 1024;

/// A stack. Its pages cost nothing before they are touched.
pub struct Stack {
    base: *mut libc::c_void,
}

impl Stack {
    /// A new stack.
    pub fn new() -> Result<Self> {
        let none = std::ptr::null_mut::<libc::c_void>();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new mapping at a place of the kernel's choice overlaps
        // nothing; the guard is part of it.
        unsafe {
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            let base = call!(libc::SYS_mmap, none, GUARD + SIZE, rights, flags, -1_isize, 0)?;
            let stack = Self { base: base as *mut libc::c_void };
            call!(libc::SYS_mprotect, stack.base, GUARD, libc::PROT_NONE)?;
            Ok(stack)
        }
    }

    /// Its lowest usable address, and how many bytes lie above.
    pub fn area(&self) -> (u64, u64) {
        (self.base as u64 + GUARD as u64, SIZE as u64)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own; whoever ran on it is gone,
        // as the user of `process::clone_sharing` has promised.
        let _ = unsafe { call!(libc::SYS_munmap, self.base, GUARD + SIZE) };
    }
}
