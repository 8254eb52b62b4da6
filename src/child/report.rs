//! What the child tells the parent: a few numbers in one packet.

use nix::unistd::Pid;

use crate::plan::step::{Gate, Phase};
use crate::sys::Errno;
use crate::sys::process::Ended;

/// The part of a step that failed, where a step has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Part {
    /// The step as such.
    Whole = 0,
    /// Looking its target up.
    Resolve = 1,
    /// Making its target.
    Create = 2,
    /// The thing is not of the kind it has to be.
    Kind = 3,
    /// Setting the supplementary groups.
    Groups = 4,
    /// Setting the gid.
    Gid = 5,
    /// Setting the uid.
    Uid = 6,
    /// Setting the capabilities.
    Capabilities = 7,
    /// What was set does not read back.
    ReadBack = 8,
    /// The program is there, but the interpreter or loader it names is not.
    Interpreter = 9,
    /// The directory is outside of the container's root.
    Outside = 10,
    /// The place is in /proc.
    Procfs = 11,
    /// Setting the offsets of its clocks.
    Offsets = 12,
    /// Making the thread that hands the listener of its filter over.
    Thread = 13,
}

const PARTS: [Part; 14] = [
    Part::Whole,
    Part::Resolve,
    Part::Create,
    Part::Kind,
    Part::Groups,
    Part::Gid,
    Part::Uid,
    Part::Capabilities,
    Part::ReadBack,
    Part::Interpreter,
    Part::Outside,
    Part::Procfs,
    Part::Offsets,
    Part::Thread,
];

const PHASES: [Phase; 7] = [
    Phase::Trees,
    Phase::Maps,
    Phase::Mounts,
    Phase::Network,
    Phase::Root,
    Phase::Confine,
    Phase::Uplink,
];

/// How a hook has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEnd {
    /// By itself, or killed by others.
    Ended(Ended),
    /// It could not be run.
    NotRun(Errno),
    /// It took longer than it may, and was killed.
    TooLong,
}

impl HookEnd {
    /// Kind and number, in one.
    fn to_number(self) -> u64 {
        let (kind, number) = match self {
            Self::Ended(Ended::Exited(code)) => (1, code),
            Self::Ended(Ended::Killed(signal)) => (2, signal),
            Self::NotRun(errno) => (3, errno as i32),
            Self::TooLong => (4, 0),
        };
        kind << 32 | u64::from(number as u32)
    }

    fn from_number(both: u64) -> Option<Self> {
        let number = both as u32 as i32;
        Some(match both >> 32 {
            1 => Self::Ended(Ended::Exited(number)),
            2 => Self::Ended(Ended::Killed(number)),
            3 => Self::NotRun(Errno::from_raw(number)),
            4 => Self::TooLong,
            _ => return None,
        })
    }
}

/// One packet from the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A stretch is over, at this time of `CLOCK_MONOTONIC`, in nanoseconds.
    Mark(Phase, u64),
    /// The descriptor that comes with this packet is the terminal's other end.
    Terminal,
    /// The descriptor that comes with this packet is the socket by which the
    /// program speaks to the service manager.
    Notify,
    /// The descriptor that comes with this packet is the listener of the system
    /// call filter, which is loaded.
    Listener,
    /// It has come to a gate where it is met, or, at the last one, passed it.
    Arrived(Gate),
    /// The child goes on as this process; the descriptor that comes with this
    /// packet is its pidfd.
    Born(Pid),
    /// The hook that has this place in its list has ended; the child is gone if
    /// that was no success.
    Hook(u32, HookEnd),
    /// The step at this index failed, and the child is gone.
    Stopped {
        /// The index of the step.
        at: usize,
        /// Which part of it.
        part: Part,
        /// The kernel's answer.
        errno: Errno,
    },
}

impl Report {
    /// The length of a packet, in bytes.
    pub const LENGTH: usize = 16;

    /// A stretch is over now.
    pub fn mark(phase: Phase) -> Self {
        Self::Mark(phase, crate::sys::process::monotonic_nanos())
    }

    /// A step has failed.
    pub fn stopped(at: usize, part: Part, errno: Errno) -> Self {
        Self::Stopped { at, part, errno }
    }

    /// The packet: kind, detail, and eight bytes of number, in native order.
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let (kind, detail, number) = match self {
            Self::Mark(phase, nanos) => (1_u32, phase as u32, nanos),
            Self::Terminal => (2, 0, 0),
            Self::Notify => (6, 0, 0),
            Self::Listener => (8, 0, 0),
            Self::Arrived(gate) => (4, u32::from(gate as u8), 0),
            Self::Hook(number, end) => (7, number, end.to_number()),
            Self::Born(pid) => (5, 0, pid.as_raw() as u64),
            Self::Stopped { at, part, errno } => {
                (3, part as u32, (at as u64) << 32 | errno as u32 as u64)
            }
        };
        let mut bytes = [0; Self::LENGTH];
        bytes[0..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&detail.to_ne_bytes());
        bytes[8..16].copy_from_slice(&number.to_ne_bytes());
        bytes
    }

    /// Reads a packet; `None` for one that no child of ours sends.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kind = u32::from_ne_bytes(bytes.get(0..4)?.try_into().ok()?);
        let detail = u32::from_ne_bytes(bytes.get(4..8)?.try_into().ok()?);
        let number = u64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
        match kind {
            1 => {
                let phase = PHASES.into_iter().find(|phase| *phase as u32 == detail)?;
                Some(Self::Mark(phase, number))
            }
            2 => Some(Self::Terminal),
            6 => Some(Self::Notify),
            8 => Some(Self::Listener),
            4 => {
                let gate = Gate::MET.into_iter().find(|gate| u32::from(*gate as u8) == detail)?;
                Some(Self::Arrived(gate))
            }
            3 => {
                let part = PARTS.into_iter().find(|part| *part as u32 == detail)?;
                let errno = Errno::from_raw(number as u32 as i32);
                Some(Self::Stopped { at: (number >> 32) as usize, part, errno })
            }
            7 => Some(Self::Hook(detail, HookEnd::from_number(number)?)),
            5 => Some(Self::Born(Pid::from_raw(number as i32))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_reads_back() {
        let mut reports = vec![Report::Terminal, Report::Notify, Report::Listener];
        reports.push(Report::Born(Pid::from_raw(4_194_304)));
        reports.extend(PHASES.map(|phase| Report::Mark(phase, u64::MAX - 1)));
        reports.extend(Gate::MET.map(Report::Arrived));
        reports.extend(PARTS.map(|part| Report::stopped(123, part, Errno::EOVERFLOW)));
        let ends = [
            HookEnd::Ended(Ended::Exited(255)),
            HookEnd::Ended(Ended::Killed(9)),
            HookEnd::NotRun(Errno::ENOEXEC),
            HookEnd::TooLong,
        ];
        reports.extend(ends.map(|end| Report::Hook(7, end)));
        for report in reports {
            assert_eq!(Report::from_bytes(&report.to_bytes()), Some(report));
        }
        assert_eq!(Report::from_bytes(&[9; Report::LENGTH]), None);
        assert_eq!(Report::from_bytes(&[]), None);
    }
}
