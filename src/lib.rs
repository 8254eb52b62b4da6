//! sublet, a rootless container launcher.
//!
//! One flow: what was asked ([`spec::Spec`]) is decided into a
//! [`plan::Plan`], done by `launch`, lived with by `monitor`, and told to other
//! commands in a [`state::Record`]. The order of the modules below is the order
//! of the layers: a module uses only those above it. docs/architecture.md draws
//! the picture.

pub mod error;
#[allow(unsafe_code)] // talks to the kernel
pub mod sys;

pub mod host;
pub mod security;
pub mod spec;

pub mod state;

pub mod log;

pub mod control;

pub mod plan;

#[allow(unsafe_code)] // runs between clone and exec
pub mod child;

pub mod idmap;

pub mod cgroup;

pub mod network;

pub mod launch;

pub mod monitor;

pub mod container;

pub mod doctor;

pub mod cli;

#[cfg(test)]
mod golden;
