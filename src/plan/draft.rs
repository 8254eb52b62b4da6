//! A plan while it is being made: steps in order, slots handed out.

use std::ffi::CString;
use std::path::Path;

use anyhow::Context;

use super::attr;
use super::step::{Expect, Lookup, Slot, Step};
use crate::sys::mount::{MountAttr, Reach};

/// The steps so far. Those that touch the host's own files wait for nothing;
/// the others come after the gate of the id maps.
#[derive(Debug, Default)]
pub struct Draft {
    /// What can be done before the ids are mapped: opening what the host has,
    /// with the caller's own rights.
    pub early: Vec<Step>,
    /// What takes a mapped id: everything that makes a file.
    pub late: Vec<Step>,
    /// What the user is told once, because it is less than was to be had.
    pub notes: Vec<String>,
    slots: usize,
}

impl Draft {
    /// An empty plan. [`Slot::ROOT`] is taken.
    pub fn new() -> Self {
        Self { slots: 1, ..Self::default() }
    }

    /// A new slot.
    pub fn slot(&mut self) -> Slot {
        self.slots += 1;
        Slot(self.slots - 1)
    }

    /// How many slots the child needs.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Adds a step after the gate.
    pub fn push(&mut self, step: Step) {
        self.late.push(step);
    }

    /// Opens a tree of the host, before the gate.
    pub fn open(&mut self, source: CString, reach: Reach, expect: Expect) -> Slot {
        let into = self.slot();
        self.early.push(Step::OpenTree { source, lookup: Lookup::AsTyped, into, reach, expect });
        into
    }

    /// Makes a file system, after the gate.
    pub fn filesystem(&mut self, kind: &str, options: &[(&str, Option<&str>)], attrs: u64) -> Slot {
        let into = self.slot();
        let step = filesystem(kind, options, attrs, into);
        self.push(step);
        into
    }

    /// Sets attributes, where there are any to set.
    pub fn set(&mut self, tree: Slot, what: &str, set: u64, propagation: u64, reach: Reach) {
        if set != 0 || propagation != 0 {
            let attr = MountAttr { set, clear: attr::cleared(set), propagation, userns_fd: 0 };
            self.push(Step::SetAttr { tree, what: what.to_owned(), attr, reach });
        }
    }
}

/// Text without a NUL: our own, or some that has passed [`cstring`].
pub fn plain(text: &str) -> CString {
    CString::new(text).or_else(|_| CString::new(text.replace('\0', ""))).unwrap_or_default()
}

/// A step that makes a file system.
pub fn filesystem(kind: &str, options: &[(&str, Option<&str>)], attrs: u64, into: Slot) -> Step {
    // The table of mounts shows a source; "none" tells nobody anything.
    let source = [("source", Some(kind))];
    let options = source.iter().chain(options).map(|(key, value)| (plain(key), value.map(plain)));
    let options = options.collect();
    Step::NewFilesystem { kind: plain(kind), options, attrs, into }
}

/// A path as the kernel takes it.
pub fn cstring(path: &Path) -> anyhow::Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).with_context(|| format!("{path:?} has a NUL in it"))
}

/// Text as the kernel takes it.
pub fn cstring_text(text: &str) -> anyhow::Result<CString> {
    CString::new(text).with_context(|| format!("{text:?} has a NUL in it"))
}
