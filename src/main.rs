//! The program: words in, an exit code out.
#![forbid(unsafe_code)]

use sublet::sys::heap::Heap;

/// The heap of musl, of which releases are built, asks the kernel for memory
/// and gives it back at every turn (docs/performance.md).
#[global_allocator]
static HEAP: Heap = Heap::new();

fn main() -> std::process::ExitCode {
    sublet::cli::main()
}
