//! The decisions of a filter as a graph without cycles: what is the same is
//! one node, however many ways lead there.
//!
//! Also part of the build script: nothing here may use the rest of the crate.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use super::bpf::{Verdict, data, op};
use super::policy::Rule;
use super::profile::{Arg, Operator};

/// A node, by its place in the graph it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node(usize);

/// What happens at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The filter ends.
    End(Verdict),
    /// A word of the call is looked at.
    Ask {
        /// What is asked.
        question: Question,
        /// Where to go if it holds.
        yes: Node,
        /// Where to go if not.
        no: Node,
    },
}

/// A comparison of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The word's offset in `struct seccomp_data`.
    pub word: u32,
    /// The bits that are kept of it; all where `None`.
    pub mask: Option<u32>,
    /// One of the conditional jumps of [`op`].
    pub code: u16,
    /// What it is compared with.
    pub k: u32,
}

/// All nodes.
#[derive(Debug, Default)]
pub struct Graph {
    kinds: Vec<Kind>,
    known: HashMap<Kind, Node>,
}

impl Graph {
    /// What happens at `node`.
    pub fn kind(&self, node: Node) -> Kind {
        self.kinds[node.0]
    }

    /// The end with `verdict`.
    pub fn end(&mut self, verdict: Verdict) -> Node {
        self.node(Kind::End(verdict))
    }

    /// Goes to `yes` or `no`, by `question`.
    pub fn ask(&mut self, question: Question, yes: Node, no: Node) -> Node {
        if yes == no { yes } else { self.node(Kind::Ask { question, yes, no }) }
    }

    fn node(&mut self, kind: Kind) -> Node {
        let Self { kinds, known } = self;
        *known.entry(kind).or_insert_with(|| {
            kinds.push(kind);
            Node(kinds.len() - 1)
        })
    }

    /// Looks for the number in `segments`: where each starts, and where to go.
    /// The first starts at 0; every search takes about as many steps.
    pub fn search(&mut self, segments: &[(u32, Node)]) -> Node {
        let (left, right) = segments.split_at(segments.len() / 2);
        match (left, right) {
            ([], [(_, node)]) => *node,
            _ => {
                let least = right[0].0;
                let (right, left) = (self.search(right), self.search(left));
                let question =
                    Question { word: data::NUMBER, mask: None, code: op::JUMP_GE, k: least };
                self.ask(question, right, left)
            }
        }
    }

    /// Tries `rules` in order; `otherwise` where none matches.
    pub fn first_match(&mut self, rules: &[Rule], otherwise: Node) -> Node {
        rules.iter().rev().fold(otherwise, |next, rule| {
            let end = self.end(rule.verdict);
            rule.comparisons.iter().rev().fold(end, |then, arg| self.compare(*arg, then, next))
        })
    }

    /// Compares 64 bits, which classic BPF has to do by halves.
    fn compare(&mut self, arg: Arg, yes: Node, no: Node) -> Node {
        let half = |value: u64| ((value >> 32) as u32, value as u32);
        let (high, low) = half(arg.value);
        match arg.op {
            Operator::Equal => self.masked(arg.index, u64::MAX, arg.value, yes, no),
            Operator::NotEqual => self.masked(arg.index, u64::MAX, arg.value, no, yes),
            Operator::MaskedEqual => self.masked(arg.index, arg.value, arg.value_two, yes, no),
            Operator::GreaterOrEqual => self.above(arg.index, high, (op::JUMP_GE, low), yes, no),
            Operator::Greater => self.above(arg.index, high, (op::JUMP_GT, low), yes, no),
            Operator::Less => self.above(arg.index, high, (op::JUMP_GE, low), no, yes),
            Operator::LessOrEqual => self.above(arg.index, high, (op::JUMP_GT, low), no, yes),
        }
    }

    /// The high halves decide, and where they are equal the low ones.
    fn above(&mut self, index: u32, high: u32, low: (u16, u32), yes: Node, no: Node) -> Node {
        let question = |word, code, k| Question { word, mask: None, code, k };
        let (low, high_word) = (question(data::low(index), low.0, low.1), data::high(index));
        let equal = self.ask(low, yes, no);
        let at_most = self.ask(question(high_word, op::JUMP_EQ, high), equal, no);
        self.ask(question(high_word, op::JUMP_GT, high), yes, at_most)
    }

    fn masked(&mut self, index: u32, mask: u64, value: u64, yes: Node, no: Node) -> Node {
        let low = self.masked_half(data::low(index), mask as u32, value as u32, yes, no);
        self.masked_half(data::high(index), (mask >> 32) as u32, (value >> 32) as u32, low, no)
    }

    /// `word & mask == value`, in as few instructions as it takes. A mask of
    /// zero asks nothing: that is how a comparison of an `int` argument leaves
    /// out the high half, which the kernel ignores too (CVE-2019-10063).
    fn masked_half(&mut self, word: u32, mask: u32, value: u32, yes: Node, no: Node) -> Node {
        let question = |mask, code, k| Question { word, mask, code, k };
        match (mask, value) {
            _ if value & !mask != 0 => no,
            (0, _) => yes,
            (u32::MAX, _) => self.ask(question(None, op::JUMP_EQ, value), yes, no),
            (_, 0) => self.ask(question(None, op::JUMP_SET, mask), no, yes),
            _ if mask == value && mask.is_power_of_two() => {
                self.ask(question(None, op::JUMP_SET, mask), yes, no)
            }
            _ => self.ask(question(Some(mask), op::JUMP_EQ, value), yes, no),
        }
    }
}
