//! A policy becomes a filter.
//!
//! Before a filter runs for the first time the kernel runs it once for every
//! number, to learn which calls it always allows (`seccomp_cache_prepare`), so
//! a filter that tries number after number costs start time: ours halves the
//! range with each step.
//!
//! Also part of the build script: nothing here may use the rest of the crate.
#![forbid(unsafe_code)]

use anyhow::Result;

use super::assemble::assemble;
use super::bpf::{Instruction, Verdict, data, op};
use super::errno;
use super::graph::{Graph, Node, Question};
use super::policy::Policy;

/// Compiles `policy`.
///
/// Calls by the numbers of another architecture, or of another ABI of the same
/// (x32), fail with ENOSYS whatever the policy is: they would be judged by the
/// wrong table.
///
/// Errs where the filter is longer than the kernel takes.
pub fn compile(policy: &Policy) -> Result<Vec<Instruction>> {
    let mut graph = Graph::default();
    let foreign = graph.end(Verdict::errno(errno::ENOSYS));
    let mut segments = segments(policy, &mut graph);
    if let Some(number) = policy.arch.foreign_from() {
        push(&mut segments, number, foreign);
    }
    let native = graph.search(&segments);
    let is_native =
        Question { word: data::ARCH, mask: None, code: op::JUMP_EQ, k: policy.arch.audit() };
    let root = graph.ask(is_native, native, foreign);
    assemble(&graph, root)
}

/// Runs of numbers that are treated alike: where each starts, and its node.
fn segments(policy: &Policy, graph: &mut Graph) -> Vec<(u32, Node)> {
    let default = graph.end(policy.default);
    let mut segments = vec![(0, default)];
    let mut next = 0;
    for (number, rules) in &policy.rules {
        if *number > next {
            push(&mut segments, next, default);
        }
        push(&mut segments, *number, graph.first_match(rules, default));
        next = number + 1;
    }
    push(&mut segments, next, default);
    segments
}

/// Adds a segment, unless it goes on as the one before or takes its place.
fn push(segments: &mut Vec<(u32, Node)>, start: u32, node: Node) {
    segments.pop_if(|last| last.0 == start);
    if segments.last().is_none_or(|last| last.1 != node) {
        segments.push((start, node));
    }
}
