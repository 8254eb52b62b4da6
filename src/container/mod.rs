//! What can be done with containers, one file a verb.
#![forbid(unsafe_code)]

mod asked;
pub mod attach;
mod cidfile;
pub mod copy;
pub mod create;
pub mod detach;
pub mod diff;
pub mod events;
pub mod exec;
pub mod filter;
pub mod health;
pub mod inspect;
mod joined;
mod linger;
pub mod list;
pub mod logs;
pub mod ns;
pub mod oci;
pub mod pause;
mod pidfile;
pub mod port;
mod program;
pub mod record;
pub mod remove;
mod request;
pub mod run;
pub mod signal;
pub mod stats;
mod streams;
mod supervisor;
pub mod time;
pub mod top;
pub mod update;
pub mod view;
pub mod wait;
pub mod why;
