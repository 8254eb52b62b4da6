//! Compiled filters are run here, by an interpreter of the kernel's rules.
#![forbid(unsafe_code)]

mod default;
mod files;
mod fuzz;
mod golden;
mod interpreter;

use interpreter::{Call, run};

use super::super::caps::{Cap, CapSet};
use super::arch::Arch;
use super::bpf::Instruction;
use super::compile::compile;
use super::policy::{Circumstances, Nesting, Policy};
use super::syscalls::{Lookup, find};
use super::{DEFAULT, NATIVE};

const KERNEL: (u32, u32) = (6, 18);

fn caps(names: &str) -> CapSet {
    names.split_whitespace().map(|name| name.parse::<Cap>().unwrap()).collect()
}

fn number(arch: Arch, name: &str) -> u32 {
    match find(arch, name) {
        Lookup::Here(number) => number,
        other => panic!("{name}: {other:?}"),
    }
}

/// A filter and what it is for.
struct Filter {
    arch: Arch,
    instructions: Vec<Instruction>,
}

impl Filter {
    fn new(json: &str, here: &Circumstances) -> Self {
        let policy = Policy::settle(&serde_json::from_str(json).unwrap(), here).unwrap();
        Self { arch: here.arch, instructions: compile(&policy).unwrap() }
    }

    fn default(arch: Arch, caps: CapSet, nesting: Nesting) -> Self {
        Self::new(DEFAULT, &Circumstances { arch, caps, nesting, kernel: KERNEL })
    }

    /// What becomes of a native call, in a word.
    fn judge(&self, name: &str, args: &[u64]) -> String {
        let mut six = [0; 6];
        six[..args.len()].copy_from_slice(args);
        let number = number(self.arch, name);
        let call = Call { arch: self.arch.audit(), number, args: six };
        run(&self.instructions, &call).verdict.to_string()
    }
}
