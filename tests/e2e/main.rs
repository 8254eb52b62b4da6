//! The launcher from outside: what people type, and what they get.
//!
//! Run as an ordinary user; `common` says what the environment chooses. Each
//! test states facts about one container or one refusal.

mod common;

mod badinput;
mod confinement;
mod files;
mod hostile;
mod identity;
mod namespaces;
mod races;
mod real;
mod run;
mod signals;
mod telling;
mod tty;
