//! Classic BPF as seccomp runs it, and as it checks it before.

use super::super::bpf::{Instruction, MAX_INSTRUCTIONS, Verdict, data, op};

/// `struct seccomp_data`, less the instruction pointer.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub arch: u32,
    pub number: u32,
    pub args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            data::NUMBER => self.number,
            data::ARCH => self.arch,
            8 | 12 => 0,
            _ => {
                let arg = self.args[(offset - 16) as usize / 8];
                if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
            }
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub verdict: Verdict,
    /// How many instructions that took.
    pub steps: usize,
    /// Whether arguments were looked at. Where not, the kernel remembers the
    /// answer for the number and runs the filter no more (if it is ALLOW).
    pub by_arguments: bool,
}

/// Runs `program` for `call`.
pub fn run(program: &[Instruction], call: &Call) -> Ended {
    let (mut at, mut accumulator, mut by_arguments) = (0, 0u32, false);
    for steps in 1.. {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let mut jump = |holds| at += usize::from(if holds { jt } else { jf });
        match code {
            op::LOAD => {
                by_arguments |= k >= data::low(0);
                accumulator = call.word(k);
            }
            op::AND => accumulator &= k,
            op::JUMP => at += k as usize,
            op::JUMP_EQ => jump(accumulator == k),
            op::JUMP_GT => jump(accumulator > k),
            op::JUMP_GE => jump(accumulator >= k),
            op::JUMP_SET => jump(accumulator & k != 0),
            op::RETURN => return Ended { verdict: Verdict::from_word(k), steps, by_arguments },
            _ => panic!("no such instruction: {code:#x}"),
        }
    }
    unreachable!("a program without loops ends")
}

/// What `bpf_check_classic` and `seccomp_check_filter` ask of a filter, and
/// that no instruction is there in vain.
pub fn check(program: &[Instruction]) {
    assert!(!program.is_empty() && program.len() <= MAX_INSTRUCTIONS);
    assert_eq!(program.last().unwrap().code, op::RETURN);
    let mut reached = vec![false; program.len()];
    reached[0] = true;
    for (at, Instruction { code, jt, jf, k }) in program.iter().enumerate() {
        assert!(reached[at], "instruction {at} is never run");
        let skips = match *code {
            op::LOAD => {
                assert!(k.is_multiple_of(4) && *k < 64);
                vec![0]
            }
            op::AND => vec![0],
            op::JUMP => vec![*k as usize],
            op::JUMP_EQ | op::JUMP_GT | op::JUMP_GE | op::JUMP_SET => {
                vec![usize::from(*jt), usize::from(*jf)]
            }
            op::RETURN => vec![],
            _ => panic!("seccomp does not take {code:#x}"),
        };
        for skip in skips {
            reached[at + 1 + skip] = true;
        }
    }
}
