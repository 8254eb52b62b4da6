//! `sublet attach`: back to a container in the background.

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::staying::StayingArgs;
use super::terminal;
use crate::container::attach::{Outcome, Wanted, attach};
use crate::container::record;
use crate::error::Explain;

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

    /// Only listen
    #[arg(long)]
    no_stdin: bool,

    #[command(flatten)]
    staying: StayingArgs,

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
    let keys = args.staying.keys()?;
    let wanted = Wanted { input: !args.no_stdin, keys, proxy: args.staying.sig_proxy };
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
