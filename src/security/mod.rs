//! What the payload may do: capabilities, and the system call filter.
//!
//! Decides and compiles; `child::confine` carries it out.
#![forbid(unsafe_code)]

pub mod caps;
mod oci;
pub mod seccomp;
