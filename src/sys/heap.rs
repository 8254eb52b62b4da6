//! The heap: dlmalloc, with a lock that costs next to nothing and memory that
//! is there at once.
//!
//! A start takes three thousand turns at the heap on one thread. A mutex of
//! pthreads is a tenth of all instructions of it; and each page that is touched
//! for the first time is a fault, of which a processor in a virtual machine
//! takes a microsecond and more (docs/performance.md).

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

use dlmalloc::{Allocator, Dlmalloc};
use nix::libc;

use super::call;

/// The memory that is asked for at once, at most, has its pages from the start:
/// two steps of dlmalloc's. What is larger is a buffer, which few fill.
const AT_ONCE: usize = 128 << 10;

const PAGE: usize = 4096;

/// An allocator for `#[global_allocator]`.
///
/// Processes that share the launcher's memory may not use it: nobody would free
/// a lock that one of them was killed with.
pub struct Heap {
    busy: AtomicBool,
    inner: UnsafeCell<Dlmalloc<Pages>>,
}

// SAFETY: `inner` is used by who has set `busy`, and by nobody else.
unsafe impl Sync for Heap {}

impl Heap {
    /// One that has no memory yet.
    pub const fn new() -> Self {
        let inner = UnsafeCell::new(Dlmalloc::new_with_allocator(Pages));
        Self { busy: AtomicBool::new(false), inner }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Dlmalloc<Pages>) -> T) -> T {
        while self.busy.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
        // SAFETY: `busy` was ours to set, and is cleared below.
        let done = work(unsafe { &mut *self.inner.get() });
        self.busy.store(false, Ordering::Release);
        done
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: dlmalloc's own promises, under the lock; none of its calls unwinds or
// allocates here.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that dlmalloc asks for.
        self.with(|heap| unsafe { heap.malloc(layout.size(), layout.align()) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.with(|heap| unsafe { heap.calloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        self.with(|heap| unsafe { heap.free(block, layout.size(), layout.align()) });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        self.with(|heap| unsafe { heap.realloc(block, layout.size(), layout.align(), size) })
    }
}

/// Where the heap has its memory from: mmap(2).
struct Pages;

// SAFETY: mappings that belong to nobody else, of whole pages, zeroed by the
// kernel.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let at_once = if size <= AT_ONCE { libc::MAP_POPULATE } else { 0 };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | at_once;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: a new mapping at a place of the kernel's choice.
        match unsafe { call!(libc::SYS_mmap, none, size, rights, flags, -1_isize, 0) } {
            Ok(base) => (base as *mut u8, size, 0),
            Err(_) => (std::ptr::null_mut(), 0, 0),
        }
    }

    fn remap(&self, base: *mut u8, old: usize, new: usize, can_move: bool) -> *mut u8 {
        let flags = if can_move { libc::MREMAP_MAYMOVE } else { 0 };
        // SAFETY: dlmalloc names a mapping of its own, and uses the old place no
        // more.
        let moved = unsafe { call!(libc::SYS_mremap, base, old, new, flags) };
        moved.map_or(std::ptr::null_mut(), |base| base as *mut u8)
    }

    fn free_part(&self, base: *mut u8, old: usize, new: usize) -> bool {
        // SAFETY: the tail is dlmalloc's own, and unused.
        unsafe { call!(libc::SYS_munmap, base.add(new), old - new) }.is_ok()
    }

    fn free(&self, base: *mut u8, size: usize) -> bool {
        // SAFETY: the mapping is dlmalloc's own, and unused.
        unsafe { call!(libc::SYS_munmap, base, size) }.is_ok()
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of many sizes, by several threads at once, each with its own
    /// bytes in it to the end.
    #[test]
    fn threads_do_not_get_into_each_others_blocks() {
        let heap = Heap::new();
        std::thread::scope(|scope| {
            for thread in 1..=4_u8 {
                let heap = &heap;
                scope.spawn(move || {
                    for turn in 0..2000_usize {
                        turn_over(heap, turn * 37 % 5000 + 1, thread);
                    }
                });
            }
        });
    }

    fn turn_over(heap: &Heap, size: usize, byte: u8) {
        let layout = Layout::from_size_align(size, 1 << (size % 7)).unwrap();
        // SAFETY: as the trait asks: sizes are not zero, and each block is used
        // within its size and given back once, as it was asked for.
        unsafe {
            let block = heap.alloc(layout);
            assert!(!block.is_null() && (block as usize).is_multiple_of(layout.align()));
            block.write_bytes(byte, size);
            let block = heap.realloc(block, layout, size * 2);
            let kept = std::slice::from_raw_parts(block, size);
            assert!(kept.iter().all(|kept| *kept == byte));
            heap.dealloc(block, Layout::from_size_align(size * 2, layout.align()).unwrap());
        }
    }

    #[test]
    fn zeroed_is_zero_where_others_have_been() {
        let heap = Heap::new();
        let layout = Layout::from_size_align(3000, 8).unwrap();
        for _ in 0..3 {
            // SAFETY: as above.
            unsafe {
                let block = heap.alloc_zeroed(layout);
                assert!(std::slice::from_raw_parts(block, 3000).iter().all(|byte| *byte == 0));
                block.write_bytes(0xff, 3000);
                heap.dealloc(block, layout);
            }
        }
    }

    /// What is larger than what is had at once goes to the kernel and back.
    #[test]
    fn large_ones_grow_and_shrink() {
        let heap = Heap::new();
        let sized = |size| Layout::from_size_align(size, 16).unwrap();
        // SAFETY: as above.
        unsafe {
            let block = heap.alloc(sized(4 * AT_ONCE));
            block.add(4 * AT_ONCE - 1).write(7);
            let block = heap.realloc(block, sized(4 * AT_ONCE), 64 * AT_ONCE);
            assert_eq!(block.add(4 * AT_ONCE - 1).read(), 7);
            let block = heap.realloc(block, sized(64 * AT_ONCE), 100);
            heap.dealloc(block, sized(100));
        }
    }
}
