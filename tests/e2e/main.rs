//! The launcher from outside: what people type, and what they get.
//!
//! Run as an ordinary user; `common` says what the environment chooses. Each
//! test states facts about one container or one refusal.

mod common;

mod apart;
mod attach;
mod background;
mod badinput;
mod cgroupns;
mod cgroups;
mod confinement;
mod copy;
mod detach;
mod doctor;
mod exec;
mod faults;
mod files;
mod health;
mod hostile;
mod hosts;
mod identity;
mod join;
mod killed;
mod kills;
mod limits;
mod limits_stats;
mod looking;
mod many;
mod namespaces;
mod network;
mod notify;
mod oci;
mod ports;
mod races;
mod real;
mod records;
mod run;
mod services;
mod settings;
mod shells;
mod signals;
mod systemd;
mod telling;
mod tty;
mod verbs;
