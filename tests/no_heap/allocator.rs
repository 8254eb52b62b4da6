//! The allocator of a launcher whose copies may not use it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::abort;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

use nix::libc;

/// What a copy says that uses the heap.
const COMPLAINT: &[u8] = b"the heap is used between clone and exec\n";

/// Passes everything on to the system, but for a copy of the guarded process:
/// that is counted, complained of and ended.
pub struct Guarded;

/// The guarded process's mark, 1, in a page that the kernel fills with zeros
/// in every copy of the process (madvise(2), `MADV_WIPEONFORK`); null where
/// nothing is guarded. Unlike a process id it is right in a new pid namespace
/// too, and leaves posix_spawn(3) alone, whose child shares our memory.
static MARK: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// How often copies have used the heap, in memory that they share with us.
static USES: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// From now on a copy of this process may not use the heap. Each use is
/// counted in the first four bytes of the file behind descriptor `counter`.
pub fn guard(counter: &str) -> anyhow::Result<()> {
    USES.store(map(libc::MAP_SHARED, counter.parse()?)?.cast(), Relaxed);
    let mark = map(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    // SAFETY: the page is ours, new, and stays mapped; nobody else has its
    // address before it is stored below.
    unsafe {
        nix::Error::result(libc::madvise(mark.cast(), PAGE, libc::MADV_WIPEONFORK))?;
        mark.write(1);
    }
    MARK.store(mark, Relaxed);
    Ok(())
}

/// As long as a page may be, or longer.
const PAGE: usize = 65_536;

fn map(flags: i32, file: i32) -> nix::Result<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let address = unsafe { libc::mmap(ptr::null_mut(), PAGE, access, flags, file, 0) };
    if address == libc::MAP_FAILED { Err(nix::Error::last()) } else { Ok(address.cast()) }
}

/// Returns in the guarded process only.
fn check() {
    let mark = MARK.load(Relaxed);
    // SAFETY: not null, it is the page of `guard`, which is never unmapped.
    // Volatile, because it changes behind the compiler's back.
    if mark.is_null() || unsafe { mark.read_volatile() } == 1 {
        return;
    }
    // SAFETY: `guard` has mapped the counter, zeroed by the kernel, before the
    // mark; it is aligned to a page and only ever used as an atomic. write(2)
    // reads a constant.
    unsafe {
        (*USES.load(Relaxed)).fetch_add(1, Relaxed);
        libc::write(2, COMPLAINT.as_ptr().cast(), COMPLAINT.len());
    }
    abort()
}

// SAFETY: every method does what the system's does, or does not return.
unsafe impl GlobalAlloc for Guarded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check();
        // SAFETY: the caller's promise is the one that the system asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        check();
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
