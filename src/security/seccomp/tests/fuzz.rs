//! Random policies: the compiled filter against an evaluation that reads the
//! rules one after the other.

use std::collections::{BTreeMap, BTreeSet};

use super::super::bpf::{Flags, Verdict, data};
use super::super::policy::Rule;
use super::super::profile::{Arg, Operator};
use super::interpreter::{check, run};
use super::*;

/// xorshift64*: the same sequence on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Often one of a few, so that comparisons hold by chance, and often with
    /// the halves that trip a careless comparison.
    fn value(&mut self) -> u64 {
        let half = |random: &mut Self| match random.below(4) {
            0 => 0,
            1 => random.below(4),
            2 => random.pick(&[u32::MAX, u32::MAX - 1, 1 << 31, 0x5412]).into(),
            _ => u64::from(random.next() as u32),
        };
        half(self) << 32 | half(self)
    }

    fn arg(&mut self, index: u32) -> Arg {
        let op = self.pick(&[
            Operator::NotEqual,
            Operator::Less,
            Operator::LessOrEqual,
            Operator::Equal,
            Operator::GreaterOrEqual,
            Operator::Greater,
            Operator::MaskedEqual,
            Operator::MaskedEqual,
        ]);
        let mask = self.pick(&[0, u64::MAX, 0xffff_ffff, 1 << 40, 1 << 3, 0x7e02_0000]);
        match op {
            Operator::MaskedEqual if self.below(2) == 0 => {
                let value_two = self.pick(&[0, mask, self.0 & mask, self.0]);
                Arg { index, value: mask, value_two, op }
            }
            _ => Arg { index, value: self.value(), value_two: self.value(), op },
        }
    }

    fn rule(&mut self) -> Rule {
        let verdict = self.pick(&[
            Verdict::ALLOW,
            Verdict::LOG,
            Verdict::KILL_PROCESS,
            Verdict::errno(1),
            Verdict::errno(38),
            Verdict::trace(7),
        ]);
        let count = if self.below(16) == 0 { 0 } else { 1 + self.below(3) };
        let indices: BTreeSet<u64> = (0..count).map(|_| self.below(6)).collect();
        let mut comparisons: Vec<Arg> = indices.into_iter().map(|i| self.arg(i as u32)).collect();
        if self.below(2) == 0 {
            comparisons.reverse();
        }
        Rule { comparisons, verdict }
    }

    fn policy(&mut self, arch: Arch, most_rules: u64) -> Policy {
        let mut rules: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
        for _ in 0..self.below(60) {
            let number = self.below(480) as u32;
            rules.insert(number, (0..self.below(most_rules)).map(|_| self.rule()).collect());
        }
        let default = self.rule().verdict;
        let (flags, unknown) = (Flags::default(), BTreeSet::new());
        Policy { arch, default, rules, flags, unknown }
    }

    /// A call that is likely to matter to `policy`.
    fn call(&mut self, policy: &Policy) -> Call {
        let numbers: Vec<u32> = policy.rules.keys().copied().collect();
        let number = match self.below(8) {
            0 => self.next() as u32,
            1 => self.below(480) as u32,
            _ if numbers.is_empty() => 0,
            _ => self.pick(&numbers),
        };
        let mut args = [0; 6].map(|_: u64| self.value());
        let rules = policy.rules.get(&number).map_or(&[][..], Vec::as_slice);
        if let Some(at) =
            (rules.len() as u64).checked_sub(1).map(|_| self.below(rules.len() as u64))
        {
            for Arg { index, value, value_two, .. } in &rules[at as usize].comparisons {
                let near =
                    self.pick(&[*value, *value_two, value ^ (1 << 32), value.wrapping_sub(1)]);
                args[*index as usize] = near;
            }
        }
        let arch = match self.below(16) {
            0 => self.next() as u32,
            1 => 0x4000_0003,
            _ => policy.arch.audit(),
        };
        Call { arch, number, args }
    }
}

/// What the policy says, read as it is written.
fn evaluate(policy: &Policy, call: &Call) -> Verdict {
    let x32 = policy.arch == Arch::X86_64 && call.number >= 0x4000_0000;
    if call.arch != policy.arch.audit() || x32 {
        return Verdict::errno(38);
    }
    let rules = policy.rules.get(&call.number).map_or(&[][..], Vec::as_slice);
    let first = rules.iter().find(|rule| {
        rule.comparisons.iter().all(|Arg { index, value, value_two, op }| {
            let arg = call.args[*index as usize];
            match op {
                Operator::NotEqual => arg != *value,
                Operator::Less => arg < *value,
                Operator::LessOrEqual => arg <= *value,
                Operator::Equal => arg == *value,
                Operator::GreaterOrEqual => arg >= *value,
                Operator::Greater => arg > *value,
                Operator::MaskedEqual => arg & value == *value_two,
            }
        })
    });
    first.map_or(policy.default, |rule| rule.verdict)
}

#[test]
fn compiled_filters_say_what_the_rules_say() {
    let mut random = Random(0x0073_7562_6c65_7421);
    let (mut longest, mut verdicts) = (0, BTreeSet::new());
    for round in 0..500 {
        let arch = random.pick(&[Arch::X86_64, Arch::Aarch64]);
        let most_rules = random.pick(&[3, 3, 6, 50]);
        let policy = random.policy(arch, most_rules);
        let Ok(program) = compile(&policy) else {
            assert_eq!(most_rules, 50, "only the longest may be too long");
            continue;
        };
        check(&program);
        longest = longest.max(program.len());
        for _ in 0..200 {
            let call = random.call(&policy);
            let (is, should) = (run(&program, &call).verdict, evaluate(&policy, &call));
            assert_eq!(is, should, "round {round}: {call:x?}\n{policy:#?}");
            verdicts.insert(is);
        }
    }
    assert!(longest > 3000, "far jumps were not tried: {longest}");
    assert_eq!(verdicts.len(), 6);
}

#[test]
fn words_of_the_call_are_where_the_kernel_has_them() {
    assert_eq!((data::low(0), data::high(0), data::low(5), data::high(5)), (16, 20, 56, 60));
}
