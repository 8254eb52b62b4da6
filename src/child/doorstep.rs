//! Waiting for the start, without a launcher.
//!
//! An OCI runtime makes a container and goes; somebody else starts it later,
//! or never. Until then its first process waits at a socket that listens in the
//! directory of the container's record, where only the caller gets. It has
//! nothing else of the host's: no descriptor, and no memory that it shares.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::report::Report;
use super::{Child, Outcome};
use crate::plan::step::Gate;
use crate::sys::fd::{self, Patience};
use crate::sys::{Errno, Result, socket};

/// Says that the parent has what it needs to go, and waits until it has noted
/// that. One that is gone by then takes this process along: nobody would know
/// of it.
pub fn meet(child: &mut Child, gate: Gate) -> Outcome {
    child.send(&Report::Arrived(gate))?;
    child.pass(gate)
}

/// Lets go of every descriptor from `first` on, and waits at the doorstep. From then
/// on whoever came in hears what else there is to tell.
pub fn await_start(child: &mut Child, first: u32) -> Outcome {
    let doorstep = child.doorstep.ok_or(Errno::EBADF)?;
    // Descriptors of this process that are closed below without their owners.
    std::mem::forget(std::mem::take(&mut child.slots));
    std::mem::forget(child.network.take());
    std::mem::forget(std::mem::take(&mut child.told));
    let (before, behind) = (doorstep.as_raw_fd() as u32, doorstep.as_raw_fd() as u32 + 1);
    // SAFETY: the owners of what is closed are forgotten above, those that the
    // launcher had are never used in this process, and the channel is replaced
    // below without a drop. The doorstep is the launcher's, and stays open.
    unsafe {
        if before > first {
            fd::close_all(first, before - 1)?;
        }
        fd::close_all(behind, u32::MAX)?;
    }
    let visitor = loop {
        match let_in(doorstep) {
            Ok(Some(visitor)) => break visitor,
            // It only looked whether we are here.
            Ok(None) | Err(Errno::EINTR | Errno::ECONNABORTED) => {}
            Err(errno) => return Err(errno.into()),
        }
    };
    std::mem::forget(std::mem::replace(&mut child.channel, visitor));
    // What the launcher has said counts no more.
    child.open = 0;
    child.send(&Report::Arrived(Gate::Started))
}

/// A visitor who says that the payload may run. One who says nothing, such as
/// one that was stopped on its way, does not keep the next ones out for long.
fn let_in(doorstep: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let visitor = socket::accept_anybody(doorstep)?;
    if fd::wait_readable([visitor.as_fd()], Patience::Seconds)? != [true] {
        return Ok(None);
    }
    let mut word = [0_u8; 1];
    let heard = fd::read(visitor.as_fd(), &mut word);
    Ok((heard == Ok(1) && word[0] == Gate::Started as u8).then_some(visitor))
}
