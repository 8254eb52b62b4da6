//! What can be done with containers, one file a verb.
#![forbid(unsafe_code)]

mod cidfile;
mod program;
pub mod record;
pub mod remove;
pub mod run;
pub mod stats;
mod streams;
pub mod update;
