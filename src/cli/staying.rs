//! How somebody stays with a container: flags of those verbs that let him.

use clap::{ArgAction, Args};

use super::run::detach_keys;
use crate::spec::keys::Keys;

/// What is typed to leave, and for whom signals are.
#[derive(Debug, Args)]
pub struct StayingArgs {
    /// What is typed to leave it running [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,

    /// Pass signals on to it [default: true]
    #[arg(
        long,
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub sig_proxy: bool,
}

impl StayingArgs {
    /// What is typed; none with `''`.
    ///
    /// # Errors
    /// Keys that there are not.
    pub fn keys(&self) -> anyhow::Result<Option<Keys>> {
        self.detach_keys.as_deref().map_or(Ok(Some(Keys::default())), detach_keys)
    }
}
