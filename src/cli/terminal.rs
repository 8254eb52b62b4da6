//! What is printed for people, and how.

use std::io::{ErrorKind, IsTerminal, Write};

use anyhow::Context;

use super::columns::plain;
use crate::error::report;

/// Prints an error on standard error, its first word red on a terminal.
pub fn tell_error(error: &anyhow::Error) {
    let text = report(error);
    match text.strip_prefix("error:") {
        Some(rest) if in_color() => tell(format_args!("\x1b[1;31merror:\x1b[0m{rest}")),
        _ => tell(format_args!("{text}")),
    }
}

/// Prints a warning on standard error.
pub fn tell_warning(text: &str) {
    if in_color() {
        tell(format_args!("\x1b[1;33mwarning:\x1b[0m {text}"));
    } else {
        tell(format_args!("warning: {text}"));
    }
}

/// Who reads an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Somebody.
    There,
    /// Nobody any more.
    Gone,
}

/// Prints an answer on standard output. A reader that has left is no error.
pub fn answer(text: &str) -> anyhow::Result<Reader> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).context("write to standard output"),
    }
}

/// A table in the place of what is on the screen: from its upper left corner,
/// the rest of each line and of the screen cleared (ECMA-48: CUP, EL, ED).
pub fn repaint(table: &str) -> String {
    format!("\x1b[H{}\x1b[J", table.replace('\n', "\x1b[K\n"))
}

/// What somebody has typed, in a form that a user has chosen: as it is for a
/// program, and without control characters on a terminal.
pub fn shown(text: String) -> String {
    if std::io::stdout().is_terminal() { harmless(&text) } else { text }
}

fn harmless(text: &str) -> String {
    text.split_inclusive(['\n', '\t'])
        .map(|part| {
            let inner = part.trim_end_matches(['\n', '\t']);
            plain(inner) + &part[inner.len()..]
        })
        .collect()
}

/// Prints a line on standard error.
pub fn tell(text: std::fmt::Arguments) {
    // Where standard error is closed there is nobody to tell.
    _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// On a terminal, unless the user wants none.
fn in_color() -> bool {
    std::io::stderr().is_terminal() && wants_color()
}

/// Whether the user wants colours where there can be some (no-color.org).
pub fn wants_color() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !set("NO_COLOR") && !dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_lines_and_nothing_that_moves_it() {
        assert_eq!(harmless("a\tb\u{1b}[2J\n\r\n"), "a\tb\\u{1b}[2J\n\\r\n");
    }

    #[test]
    fn a_repaint_clears_what_was_longer() {
        assert_eq!(repaint("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }
}
