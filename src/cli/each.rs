//! The verbs that do the same thing to each container they are given.

use anyhow::anyhow;

use super::terminal;
use crate::container::record;
use crate::error::{EXIT_CONTAINER, Explain};
use crate::state::Store;

/// Does `act` to each, and prints what it answers. What goes wrong with one
/// keeps it from no other; gives the code to end with.
pub fn each(
    containers: &[String],
    mut act: impl FnMut(&Store, &str) -> anyhow::Result<String>,
) -> anyhow::Result<u8> {
    if containers.is_empty() {
        return Err(anyhow!("CONTAINER is missing: a name or an id"))
            .hint("sublet ps shows those that run, sublet ps -a all that are known");
    }
    let store = record::store()?;
    let mut code = 0;
    for word in containers {
        match act(&store, word) {
            Ok(answer) => _ = terminal::answer(&format!("{answer}\n"))?,
            Err(error) => {
                terminal::tell_error(&error);
                code = EXIT_CONTAINER;
            }
        }
    }
    Ok(code)
}
