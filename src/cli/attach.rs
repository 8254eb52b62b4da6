//! `sublet attach`: back to a container in the background.

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::run::detach_keys;
use super::terminal;
use crate::container::attach::{Outcome, Wanted, attach};
use crate::container::record;
use crate::error::Explain;
use crate::spec::keys::Keys;

/// Go back to a container in the background
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet attach [OPTIONS] CONTAINER",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct AttachArgs {
    /// Its name or id, or the beginning of its id
    #[arg(value_name = "CONTAINER", hide = true)]
    container: Option<String>,

    /// What is typed to leave it running [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,

    /// Only listen
    #[arg(long)]
    no_stdin: bool,

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
    sig_proxy: bool,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

What it says from now on comes here, and what you type goes there: to its
terminal, if it was started with -t, else to its standard input, if with -i. KEYS
are letters and ctrl-LETTER, with commas between.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet run -dit --name shell ./root     a shell in the background
  sublet attach shell                     ctrl-p ctrl-q leaves it running
  sublet attach --no-stdin web

The exit code is the container's; 0 if you have left it.";

/// Attaches the caller, and gives the code to end with.
pub fn run(args: AttachArgs) -> anyhow::Result<u8> {
    let Some(word) = &args.container else {
        return Err(anyhow!("CONTAINER is missing: a name or an id"))
            .hint("sublet ps shows those that run");
    };
    let keys = args.detach_keys.as_deref().map_or(Ok(Some(Keys::default())), detach_keys)?;
    let wanted = Wanted { input: !args.no_stdin, keys, proxy: args.sig_proxy };
    let store = record::store()?;
    Ok(code(attach(&store, &store.find(word)?, wanted)?, word))
}

/// The code to end with; says that what was left, under that name, runs on.
pub fn code(outcome: Outcome, word: &str) -> u8 {
    match outcome {
        Outcome::Ended(code) => code,
        Outcome::Signalled(signal) => 128_u8.wrapping_add(signal as u8),
        Outcome::Left => {
            terminal::tell(format_args!("sublet: {word} runs on in the background"));
            0
        }
    }
}
