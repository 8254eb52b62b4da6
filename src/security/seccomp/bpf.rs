//! What the kernel loads: instructions of classic BPF, the words that a filter
//! returns, the flags that go with it (seccomp(2), linux/filter.h).
//!
//! Also part of the build script: nothing here may use the rest of the crate.
#![forbid(unsafe_code)]

use std::fmt;
use std::ops::BitOr;

use super::errno;

/// How many instructions a filter may have (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction, laid out as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do: one of [`op`].
    pub code: u16,
    /// A conditional jump that holds skips so many instructions.
    pub jt: u8,
    /// A conditional jump that does not hold skips so many.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

impl Instruction {
    /// An instruction from its four fields.
    pub const fn new(code: u16, jt: u8, jf: u8, k: u32) -> Self {
        Self { code, jt, jf, k }
    }
}

/// The operations that seccomp takes and a compiled profile needs.
pub mod op {
    /// Loads the word at offset `k` of `struct seccomp_data`.
    pub const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    /// Keeps the bits of `k`.
    pub const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
    /// Skips `k` instructions.
    pub const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
    /// Jumps on `== k`.
    pub const JUMP_EQ: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    /// Jumps on `> k`, unsigned.
    pub const JUMP_GT: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
    /// Jumps on `>= k`, unsigned.
    pub const JUMP_GE: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    /// Jumps on `& k != 0`.
    pub const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
    /// Ends the filter with `k`.
    pub const RETURN: u16 = 0x06; // BPF_RET | BPF_K
}

/// Offsets into `struct seccomp_data`.
pub mod data {
    /// The system call's number.
    pub const NUMBER: u32 = 0;
    /// The architecture, as audit(7) numbers them.
    pub const ARCH: u32 = 4;
    /// How many arguments a system call has.
    pub const ARGUMENTS: u32 = 6;

    /// The low half of argument `index`: both architectures are little-endian.
    pub const fn low(index: u32) -> u32 {
        16 + 8 * index
    }

    /// The high half of argument `index`.
    pub const fn high(index: u32) -> u32 {
        low(index) + 4
    }
}

/// The word that a filter returns: what becomes of the system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Verdict(u32);

impl Verdict {
    /// The process dies of SIGSYS.
    pub const KILL_PROCESS: Self = Self(0x8000_0000);
    /// The thread dies of SIGSYS.
    pub const KILL_THREAD: Self = Self(0x0000_0000);
    /// The thread is sent SIGSYS.
    pub const TRAP: Self = Self(0x0003_0000);
    /// The call is logged and made.
    pub const LOG: Self = Self(0x7ffc_0000);
    /// The call is made.
    pub const ALLOW: Self = Self(0x7fff_0000);

    /// The call is not made and fails with `errno`.
    pub const fn errno(errno: u16) -> Self {
        Self(0x0005_0000 | errno as u32)
    }

    /// The tracer is told, with `message`; without one the call fails with
    /// ENOSYS.
    pub const fn trace(message: u16) -> Self {
        Self(0x7ff0_0000 | message as u32)
    }

    /// The call waits until a listener has decided; without one it fails with
    /// ENOSYS.
    pub const NOTIFY: Self = Self(0x7fc0_0000);

    /// The verdict that a filter returned.
    #[cfg(test)]
    pub(super) const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// The word itself.
    pub const fn word(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = self.0 & 0xffff;
        match self.0 & 0xffff_0000 {
            0x8000_0000 => f.write_str("kill-process"),
            0x0000_0000 => f.write_str("kill-thread"),
            0x0003_0000 => f.write_str("trap"),
            0x0005_0000 => match errno::name(low) {
                Some(name) => f.write_str(name),
                None => write!(f, "errno-{low}"),
            },
            0x7ff0_0000 => write!(f, "trace-{low}"),
            0x7fc0_0000 => f.write_str("notify"),
            0x7ffc_0000 => f.write_str("log"),
            0x7fff_0000 => f.write_str("allow"),
            _ => write!(f, "{:#010x}", self.0),
        }
    }
}

/// Flags for `seccomp(SECCOMP_SET_MODE_FILTER)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Flags(u32);

impl Flags {
    /// The filter also goes to the process's other threads.
    pub const TSYNC: Self = Self(1 << 0);
    /// All verdicts but ALLOW are logged, as `actions_logged` permits.
    pub const LOG: Self = Self(1 << 1);
    /// Speculative store bypass stays as it is: before 5.16 a filter turned
    /// the costly mitigation on.
    pub const SPEC_ALLOW: Self = Self(1 << 2);
    /// The call returns a descriptor, the listener that decides.
    pub const NEW_LISTENER: Self = Self(1 << 3);
    /// While a listener decides, only a deadly signal interrupts.
    pub const WAIT_KILLABLE_RECV: Self = Self(1 << 5);

    /// The flags with these bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// As the system call takes them.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// These but those of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
