//! Becoming the payload's user with the payload's rights.

use nix::libc;

use super::Outcome;
use super::report::Part;
use crate::plan::step::{Capabilities, Groups};
use crate::sys::{Errno, Result, call, confine};

/// Sets a resource limit, hard and soft.
pub fn limit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the kernel reads one structure, of this process (0), and is not
    // asked for the former limit.
    unsafe { call!(libc::SYS_prlimit64, 0, resource, &raw const limit, 0)? };
    Ok(())
}

/// Sets the file mode creation mask.
pub fn umask(mask: u32) {
    // SAFETY: takes a number and cannot fail (umask(2)).
    let _ = unsafe { call!(libc::SYS_umask, mask) };
}

// The C library's own set*id functions tell all threads of the process to do
// the same, through structures of the launcher, which this process shares or
// has a copy of. The system calls change just this process.

fn set_gid(gid: u32) -> Result<()> {
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_setresgid, gid, gid, gid)? };
    Ok(())
}

fn set_uid(uid: u32) -> Result<()> {
    // SAFETY: numbers only.
    unsafe { call!(libc::SYS_setresuid, uid, uid, uid)? };
    Ok(())
}

fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the pointer leads to as many gids as the count says; the kernel
    // only reads.
    unsafe { call!(libc::SYS_setgroups, groups.len(), groups.as_ptr())? };
    Ok(())
}

/// Becomes a user that is in the map, so that what is made during the set-up
/// has an owner: an id outside of the map may create nothing (EOVERFLOW).
pub fn become_for_setup(uid: u32, gid: u32) -> Result<()> {
    set_gid(gid)?;
    // Only a change to uid 0 keeps all capabilities by itself.
    confine::keep_capabilities()?;
    set_uid(uid)?;
    let (_, permitted, inheritable) = confine::capabilities()?;
    confine::set_capabilities(permitted, permitted, inheritable)
}

/// Becomes the payload's user, with exactly the given groups and capabilities.
///
/// Groups before the gid before the uid: each takes a right that the next
/// would have given away. The bounding set first, for that takes CAP_SETPCAP.
pub fn identity(uid: u32, gid: u32, groups: &Groups, wanted: &Capabilities) -> Outcome {
    confine::bound_capabilities(wanted.bounding).map_err(|e| Part::Capabilities.failed(e))?;
    match groups {
        Groups::Keep => {}
        Groups::Set(groups) => set_groups(groups).map_err(|e| Part::Groups.failed(e))?,
    }
    set_gid(gid).map_err(|e| Part::Gid.failed(e))?;
    confine::keep_capabilities()?;
    set_uid(uid).map_err(|e| Part::Uid.failed(e))?;
    confine::set_capabilities(wanted.effective, wanted.permitted, wanted.inheritable)
        .and_then(|()| confine::raise_ambient(wanted.ambient))
        .map_err(|e| Part::Capabilities.failed(e))?;
    if holds(wanted)? { Ok(()) } else { Err(Part::ReadBack.failed(Errno::EPERM)) }
}

/// Whether the sets are what they were set to. A right that was to be gone and
/// is not must stop the start, whatever the reason.
fn holds(wanted: &Capabilities) -> Result<bool> {
    let now = confine::capabilities()?;
    if now != (wanted.effective, wanted.permitted, wanted.inheritable) {
        return Ok(false);
    }
    // What is not both permitted and inheritable can't be ambient
    // (capabilities(7)).
    let mut may_be_ambient = (0..64).filter(|n| now.1 & now.2 >> n & 1 == 1);
    if may_be_ambient.any(|n| confine::ambient(n) != (wanted.ambient >> n & 1 == 1)) {
        return Ok(false);
    }
    let mut known = (0..64).map_while(|n| Some((n, confine::bounded(n)?)));
    Ok(known.all(|(n, bounded)| bounded == (wanted.bounding >> n & 1 == 1)))
}
