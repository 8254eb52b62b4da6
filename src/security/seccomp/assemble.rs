//! A graph of decisions becomes a row of instructions.
//!
//! Also part of the build script: nothing here may use the rest of the crate.
#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};

use super::bpf::{Instruction, MAX_INSTRUCTIONS, op};
use super::graph::{Graph, Kind, Node, Question};

/// Lays out what can be reached from `root`, `root` first.
///
/// Errs where that takes more instructions than the kernel does.
pub fn assemble(graph: &Graph, root: Node) -> Result<Vec<Instruction>> {
    let order = targets_first(graph, root);
    let mut code = Backwards::default();
    let loads = entered_without_word(graph, root, &order);
    for node in order {
        match graph.kind(node) {
            Kind::End(verdict) => {
                let at = code.push(Instruction::new(op::RETURN, 0, 0, verdict.word()));
                code.places.insert(node, Place { loading: at, loaded: at });
            }
            Kind::Ask { question, yes, no } => {
                let loads = loads.contains(&node);
                code.ask(node, question, (graph, yes, no), loads);
            }
        }
    }
    let instructions = code.forwards();
    ensure!(
        instructions.len() <= MAX_INSTRUCTIONS,
        "the filter has {} instructions, the kernel takes {MAX_INSTRUCTIONS}",
        instructions.len()
    );
    Ok(instructions)
}

/// The nodes that `root` leads to, each after those that it leads to itself:
/// jumps only go forwards, and the row is written from its end.
fn targets_first(graph: &Graph, root: Node) -> Vec<Node> {
    enum Visit {
        Enter(Node),
        Leave(Node),
    }
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    let mut stack = vec![Visit::Enter(root)];
    while let Some(visit) = stack.pop() {
        match visit {
            Visit::Leave(node) => order.push(node),
            Visit::Enter(node) if seen.insert(node) => {
                stack.push(Visit::Leave(node));
                if let Kind::Ask { yes, no, .. } = graph.kind(node) {
                    stack.extend([Visit::Enter(no), Visit::Enter(yes)]);
                }
            }
            Visit::Enter(_) => {}
        }
    }
    order
}

/// The nodes that some way leads to on which another word was loaded last.
fn entered_without_word(graph: &Graph, root: Node, order: &[Node]) -> HashSet<Node> {
    let mut loads = HashSet::from([root]);
    for node in order {
        if let Kind::Ask { question, yes, no } = graph.kind(*node) {
            loads.extend([yes, no].into_iter().filter(|to| !leaves_word(graph, question, *to)));
        }
    }
    loads
}

/// Whether after `question` the accumulator holds what `to` looks at.
fn leaves_word(graph: &Graph, question: Question, to: Node) -> bool {
    match graph.kind(to) {
        Kind::End(_) => true,
        Kind::Ask { question: next, .. } => question.mask.is_none() && question.word == next.word,
    }
}

/// Where a node begins, counted from the end of the row.
#[derive(Clone, Copy)]
struct Place {
    /// For those who come with another word in the accumulator.
    loading: usize,
    /// For those who come with the right one.
    loaded: usize,
}

/// The row of instructions, last first: so every target of a jump has its
/// place before the jump is written.
#[derive(Default)]
struct Backwards {
    code: Vec<Instruction>,
    places: HashMap<Node, Place>,
}

impl Backwards {
    fn push(&mut self, instruction: Instruction) -> usize {
        self.code.push(instruction);
        self.code.len() - 1
    }

    fn ask(&mut self, node: Node, question: Question, to: (&Graph, Node, Node), loads: bool) {
        let (graph, yes, no) = to;
        // Bringing `yes` near may put one instruction between the jump and `no`.
        let no = self.near(no, leaves_word(graph, question, no), 1);
        let yes = self.near(yes, leaves_word(graph, question, yes), 0);
        let (jt, jf) = (self.distance(yes), self.distance(no));
        let mut loaded = self.push(Instruction::new(question.code, jt, jf, question.k));
        if let Some(mask) = question.mask {
            loaded = self.push(Instruction::new(op::AND, 0, 0, mask));
        }
        let loading = match loads {
            true => self.push(Instruction::new(op::LOAD, 0, 0, question.word)),
            false => loaded,
        };
        self.places.insert(node, Place { loading, loaded });
    }

    /// The place of `node`, moved to where a conditional jump reaches it that
    /// comes after at most `between` more instructions: those jumps have eight
    /// bits, the plain one has 32.
    fn near(&mut self, node: Node, holds_word: bool, between: usize) -> usize {
        let place = self.places.get_mut(&node).expect("targets are laid out first");
        let entry = if holds_word { &mut place.loaded } else { &mut place.loading };
        let skipped = self.code.len() - 1 - *entry;
        if skipped + between > usize::from(u8::MAX) {
            let target = self.code[*entry];
            let skipped = u32::try_from(skipped).expect("a row shorter than memory");
            self.code.push(match target.code {
                op::RETURN => target,
                _ => Instruction::new(op::JUMP, 0, 0, skipped),
            });
            *entry = self.code.len() - 1;
        }
        *entry
    }

    /// How many instructions lie between the one written next and `place`.
    fn distance(&self, place: usize) -> u8 {
        u8::try_from(self.code.len() - 1 - place).expect("near() brought it into reach")
    }

    fn forwards(mut self) -> Vec<Instruction> {
        self.code.reverse();
        self.code
    }
}
