//! What can be done with containers, one file a verb.
#![forbid(unsafe_code)]

mod program;
pub mod record;
pub mod run;
pub mod stats;
mod streams;
pub mod update;
