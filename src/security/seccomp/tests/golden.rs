//! The default profile, call by call, against a list for people to review.
//!
//! `BLESS=1 cargo test --lib golden` writes the lists anew.

use std::fmt::Write;

use super::super::arch::Arch;
use super::super::policy::Nesting;
use super::super::syscalls::name;
use super::interpreter::{Call, check, run};
use super::{CapSet, Filter};
use crate::golden;

/// Beyond the newest call: what a future kernel adds has to be ENOSYS.
const NUMBERS: u32 = 480;

/// What a filter says to a number: a verdict, or that the arguments decide.
fn word(filter: &Filter, number: u32) -> String {
    let call = Call { arch: filter.arch.audit(), number, args: [0; 6] };
    let ended = run(&filter.instructions, &call);
    if ended.by_arguments { "arguments".into() } else { ended.verdict.to_string() }
}

fn compare(arch: Arch, file: &str) {
    let filter = |caps, nesting| Filter::default(arch, caps, nesting);
    let filters = [
        filter(CapSet::DEFAULT, Nesting::Refused),
        filter(CapSet::EMPTY, Nesting::Refused),
        filter(CapSet::DEFAULT, Nesting::Allowed),
    ];
    let mut now = format!("{:4}{:26}{:11}{:11}{}\n", "", "", "default", "no caps", "nested");
    for number in 0..=NUMBERS {
        let [default, bare, nested] = filters.each_ref().map(|filter| word(filter, number));
        let name = name(arch, number).unwrap_or("-");
        writeln!(now, "{number:<4}{name:26}{default:11}{bare:11}{nested}").unwrap();
    }
    golden::compare(&format!("src/security/seccomp/tests/{file}"), &now);
}

#[test]
fn default_on_x86_64() {
    compare(Arch::X86_64, "default.x86_64.txt");
}

#[test]
fn default_on_aarch64() {
    compare(Arch::Aarch64, "default.aarch64.txt");
}

#[test]
fn no_number_takes_long() {
    for arch in [Arch::X86_64, Arch::Aarch64] {
        for nesting in [Nesting::Refused, Nesting::Allowed] {
            let filter = Filter::default(arch, CapSet::DEFAULT, nesting);
            check(&filter.instructions);
            let steps = |number| {
                let call = Call { arch: arch.audit(), number, args: [0; 6] };
                let ended = run(&filter.instructions, &call);
                if ended.by_arguments { 0 } else { ended.steps }
            };
            let worst = (0..=NUMBERS).map(steps).max().unwrap();
            let length = filter.instructions.len();
            println!("{arch:?} {nesting:?}: {length} instructions, at most {worst} for a number");
            assert!(worst <= 11 && length <= 256, "{length} instructions, {worst} steps");
        }
    }
}
