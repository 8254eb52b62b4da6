//! The launcher from outside: what people type, and what they get.
//!
//! Run as an ordinary user; `common` says what the environment chooses. Each
//! test states facts about one container or one refusal.

mod common;

mod confinement;
mod files;
mod identity;
mod namespaces;
mod run;
