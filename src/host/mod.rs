//! What this machine allows, found out when somebody asks.
#![forbid(unsafe_code)]

/// Facts of the machine, each probed at most once.
#[derive(Debug, Default)]
pub struct Host {}
