//! Giving rights up: capabilities, no_new_privs, seccomp; capabilities(7),
//! prctl(2), seccomp(2).

use std::os::fd::{FromRawFd, OwnedFd};

use super::{Errno, Result, call};

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: 64 bits in two structures.
const CAP_VERSION: u32 = 0x2008_0522;

/// Sets the effective, permitted and inheritable set of this thread, one bit a
/// capability.
pub fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> Result<()> {
    let header = CapHeader { version: CAP_VERSION, pid: 0 };
    let half = |shift: u32| CapData {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads one header and two data structures, which is
    // what the pointers lead to; the kernel writes to neither.
    unsafe { call!(libc::SYS_capset, &raw const header, data.as_ptr())? };
    Ok(())
}

/// The effective, permitted and inheritable set of this thread.
pub fn capabilities() -> Result<(u64, u64, u64)> {
    let mut header = CapHeader { version: CAP_VERSION, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: version 3 writes two data structures, for which there is room.
    unsafe { call!(libc::SYS_capget, &raw mut header, data.as_mut_ptr())? };
    let join = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
    Ok((
        join(data[0].effective, data[1].effective),
        join(data[0].permitted, data[1].permitted),
        join(data[0].inheritable, data[1].inheritable),
    ))
}

fn prctl(option: i32, a: libc::c_ulong, b: libc::c_ulong) -> Result<i32> {
    // SAFETY: every option used in this module takes numbers only.
    unsafe { Ok(call!(libc::SYS_prctl, option, a, b, 0, 0)? as i32) }
}

/// Takes everything out of the bounding set that is not in `keep`.
pub fn bound_capabilities(keep: u64) -> Result<()> {
    for number in 0..64 {
        if keep >> number & 1 == 1 {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, number, 0) {
            // The first number that this kernel does not know.
            Err(Errno::EINVAL) => break,
            other => other?,
        };
    }
    Ok(())
}

/// Whether capability `number` is in the bounding set; `None` past the last
/// one that this kernel knows.
pub fn bounded(number: u32) -> Option<bool> {
    prctl(libc::PR_CAPBSET_READ, number.into(), 0).ok().map(|answer| answer == 1)
}

/// Whether capability `number` is in the ambient set.
pub fn ambient(number: u32) -> bool {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET as libc::c_ulong, number.into())
        == Ok(1)
}

/// Raises the capabilities in `set`, permitted and inheritable already, in the
/// ambient set.
pub fn raise_ambient(set: u64) -> Result<()> {
    for number in (0..64).filter(|number| set >> number & 1 == 1) {
        prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, number)?;
    }
    Ok(())
}

/// Lets the permitted set survive the next change of uid.
pub fn keep_capabilities() -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, 1, 0).map(drop)
}

/// From here on no exec gives more rights than there are.
pub fn no_new_privileges() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Lets no process without rights over ours look into this memory, through
/// /proc or by ptrace(2).
pub fn hide_memory() -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0, 0).map(drop)
}

/// The signal that this process gets when its parent dies.
pub fn parent_death_signal(signal: i32) -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong, 0).map(drop)
}

/// Loads a system call filter for this thread. `flags` are
/// `SECCOMP_FILTER_FLAG_*`.
pub fn load_filter(filter: &[libc::sock_filter], flags: u32) -> Result<()> {
    load(filter, flags).map(drop)
}

/// The same with `SECCOMP_FILTER_FLAG_NEW_LISTENER` among the flags: the
/// listener, which is closed at an exec.
pub fn load_filter_and_listen(filter: &[libc::sock_filter], flags: u32) -> Result<OwnedFd> {
    let number = load(filter, flags)?;
    // SAFETY: with this flag the answer is a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

fn load(filter: &[libc::sock_filter], flags: u32) -> Result<isize> {
    let Ok(len) = u16::try_from(filter.len()) else { return Err(Errno::E2BIG) };
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: `len` counts what the pointer leads to, and the kernel only
    // reads it.
    unsafe { call!(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) }
}

/// Which version of Landlock the kernel speaks; landlock_create_ruleset(2),
/// LANDLOCK_CREATE_RULESET_VERSION.
pub fn landlock_version() -> Result<u32> {
    let version: libc::c_uint = 1;
    // SAFETY: with this flag the pointer is null and the size 0, and the answer
    // is a number.
    let answer = unsafe { call!(libc::SYS_landlock_create_ruleset, 0, 0, version)? };
    u32::try_from(answer).map_err(|_| Errno::ERANGE)
}
