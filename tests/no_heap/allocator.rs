//! The allocator of a launcher whose children may not use it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering::Relaxed};

use anyhow::ensure;
use nix::libc;
use sublet::sys::process::exit_now;

/// What a child says that uses the heap.
const COMPLAINT: &[u8] = b"the heap is used between clone and exec\n";

/// What it ends with: as by abort(3), which takes the C library's locks.
pub const ABORTED: i32 = 128 + libc::SIGABRT;

/// Passes everything on to the system, but for another process than the
/// guarded one: that is counted, complained of and ended.
///
/// The child of a posix_spawn(3), which shares our memory too, is held to the
/// same: the C library uses no heap there either.
pub struct Guarded;

/// The guarded process; 0 where none is.
static PROCESS: AtomicI32 = AtomicI32::new(0);

/// How often others have used the heap, in memory that outlives them.
static USES: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// As large as a page may be.
const PAGE: usize = 65_536;

/// From now on no other process than this may use this heap. Each use is
/// counted in the first four bytes of the file behind descriptor `counter`.
pub fn guard(counter: &str) -> anyhow::Result<()> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let uses =
        unsafe { libc::mmap(ptr::null_mut(), PAGE, access, libc::MAP_SHARED, counter.parse()?, 0) };
    ensure!(uses != libc::MAP_FAILED, nix::Error::last());
    USES.store(uses.cast(), Relaxed);
    let process = this_process();
    // What is numbered in a pid namespace of its own is 1, with a reaper 2.
    ensure!(process > 2, "a child could not be told from process {process}");
    PROCESS.store(process, Relaxed);
    Ok(())
}

/// Asks the kernel: no C library of today remembers the answer.
fn this_process() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpid() }
}

/// Returns in the guarded process only.
fn check() {
    let process = PROCESS.load(Relaxed);
    if process == 0 || process == this_process() {
        return;
    }
    // SAFETY: `guard` has mapped the counter before there was a process to
    // compare with; it is aligned to a page, zeroed by the kernel, never
    // unmapped, and only ever used as an atomic. write(2) reads a constant.
    unsafe {
        (*USES.load(Relaxed)).fetch_add(1, Relaxed);
        libc::write(2, COMPLAINT.as_ptr().cast(), COMPLAINT.len());
    }
    exit_now(ABORTED)
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
