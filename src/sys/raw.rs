//! System calls without the C library.
//!
//! The child and the watcher share the launcher's memory, its thread-local
//! `errno` too, and run beside it. A wrapper of the C library that stored an
//! error there could be read by the other process. These give the kernel's
//! answer back in a register and store nothing.

use std::arch::asm;

use nix::errno::Errno;

/// Calls the kernel; a raw answer, negative errno for an error (syscall(2)).
///
/// # Safety
///
/// As the call itself: pointers among the arguments must be good for what the
/// kernel does with them.
#[cfg(target_arch = "x86_64")]
pub unsafe fn syscall(number: libc::c_long, a: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the registers are those of the kernel's convention, which
    // clobbers rcx and r11 and nothing else; the rest is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// Calls the kernel; a raw answer, negative errno for an error (syscall(2)).
///
/// # Safety
///
/// As the call itself: pointers among the arguments must be good for what the
/// kernel does with them.
#[cfg(target_arch = "aarch64")]
pub unsafe fn syscall(number: libc::c_long, a: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the registers are those of the kernel's convention, which
    // clobbers x0 and nothing else; the rest is the caller's promise.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a[0] as isize => answer,
            in("x1") a[1], in("x2") a[2], in("x3") a[3], in("x4") a[4], in("x5") a[5],
            options(nostack),
        );
    }
    answer
}

/// clone3(2) or clone(2), by number, for a child that shares this memory: it
/// runs `entry(argument)` on the stack that the arguments name, and the caller
/// gets the raw answer.
///
/// # Safety
///
/// `a` must be what the call takes, with CLONE_VM and a stack, aligned to 16
/// bytes, which nobody else uses as long as the child lives; `argument` must be
/// good for `entry`, which may not use thread-local storage.
#[cfg(target_arch = "x86_64")]
pub unsafe fn clone_into(
    number: libc::c_long,
    a: [usize; 5],
    entry: extern "C" fn(*const ()) -> !,
    argument: *const (),
) -> isize {
    let answer: isize;
    // SAFETY: in the parent this is an ordinary call. The child has the same
    // registers but for rax and rsp, the latter at the top of its own stack,
    // aligned as a call wants it, and never returns here.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") number as isize => answer,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2], in("r10") a[3], in("r8") a[4],
            in("r12") argument, in("r13") entry,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    answer
}

/// clone3(2) or clone(2), by number, for a child that shares this memory: it
/// runs `entry(argument)` on the stack that the arguments name, and the caller
/// gets the raw answer.
///
/// # Safety
///
/// `a` must be what the call takes, with CLONE_VM and a stack, aligned to 16
/// bytes, which nobody else uses as long as the child lives; `argument` must be
/// good for `entry`, which may not use thread-local storage.
#[cfg(target_arch = "aarch64")]
pub unsafe fn clone_into(
    number: libc::c_long,
    a: [usize; 5],
    entry: extern "C" fn(*const ()) -> !,
    argument: *const (),
) -> isize {
    let answer: isize;
    // SAFETY: in the parent this is an ordinary call. The child has the same
    // registers but for x0 and sp, the latter at the top of its own stack, and
    // never returns here.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            in("x8") number,
            inlateout("x0") a[0] as isize => answer,
            in("x1") a[1], in("x2") a[2], in("x3") a[3], in("x4") a[4],
            in("x20") argument, in("x21") entry,
            lateout("x30") _,
        );
    }
    answer
}

/// Turns a raw answer into a result.
pub fn check(answer: isize) -> super::Result<isize> {
    // The kernel keeps the last page of addresses for errors.
    match answer {
        -4095..=-1 => Err(Errno::from_raw(-answer as i32)),
        _ => Ok(answer),
    }
}
