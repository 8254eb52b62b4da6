//! What can be done with containers, one file a verb.
#![forbid(unsafe_code)]

mod program;
pub mod run;
mod streams;
