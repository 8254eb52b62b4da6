//! `sublet cp`: files out of a container and into it.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::terminal;
use crate::container::copy::{Copied, End, Ids, copy};
use crate::container::record;
use crate::error::Explain;
use crate::host::Host;

/// Copy files out of a container, or into it
#[derive(Debug, Args)]
#[command(
    override_usage = "sublet cp [OPTIONS] CONTAINER:SRC DST|-\n       sublet cp [OPTIONS] SRC|- CONTAINER:DST",
    help_template = HELP,
    after_help = EXAMPLES
)]
pub struct CpArgs {
    /// From where, and to where
    #[arg(value_name = "SRC DST", num_args = 0.., hide = true)]
    words: Vec<OsString>,

    /// Into a container: keep the owners, where it has them
    #[arg(short, long)]
    archive: bool,

    /// Don't say how much was copied; without a terminal it is not said anyway
    #[arg(short, long)]
    quiet: bool,

    /// Print help
    #[arg(short, long, action = ArgAction::Help)]
    help: Option<bool>,
}

const HELP: &str = "\
{about}

{usage-heading} {usage}

A directory is copied with all that is in it: into DST where that is a directory,
else as DST. SRC/. is what is in SRC. On - there is a tar file. Copies belong to
the container's root inside and to you outside, where no file keeps its
set-user-id bit. Links are copied as links; a path of yours through a link that a
container may have put into its volume is refused.

The container may run, stand still, or have ended with a directory as its ROOT;
what belongs to other ids than yours only one that runs can read.

{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  sublet cp web:/var/log/app.log .
  sublet cp ./conf/. web:/etc/app         what is in conf, into /etc/app
  sublet cp web:/srv - | tar -t";

/// Copies.
pub fn run(args: CpArgs) -> anyhow::Result<u8> {
    let [from, to] = &args.words[..] else {
        return Err(anyhow!("cp takes two words: from where, and to where"))
            .hint("sublet cp CONTAINER:SRC DST\nsublet cp SRC CONTAINER:DST");
    };
    let (from, to) = (End::from(from.as_bytes()), End::from(to.as_bytes()));
    let to_terminal = to == End::Stream && std::io::stdout().is_terminal();
    let from_terminal = from == End::Stream && std::io::stdin().is_terminal();
    if to_terminal || from_terminal {
        return Err(anyhow!("a tar file is nothing for a terminal"))
            .hint("sublet cp web:/srv - > srv.tar");
    }
    let ids = if args.archive { Ids::Kept } else { Ids::Given };
    let (store, host) = (record::store()?, Host::new());
    let note = |text: &str| terminal::tell_warning(text);
    let Copied { files, bytes } = copy(&store, (&from, &to), ids, &host, &note)?;
    if !args.quiet && std::io::stderr().is_terminal() {
        terminal::tell(format_args!("sublet: copied {files} files of {bytes} bytes"));
    }
    Ok(0)
}
