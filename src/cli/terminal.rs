//! What is printed for people, and how.

use std::io::{ErrorKind, IsTerminal, Write};

use anyhow::Context;
use serde::Serialize;

use super::columns::plain;
use crate::error::{is_harmful, report};
use crate::log::{More, Stream};

/// Prints an error on standard error, its first word red on a terminal.
pub fn tell_error(error: &anyhow::Error) {
    tell_report(&report(error));
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
/// program, and on a terminal without what is harmful to it.
pub fn shown(text: String) -> String {
    if std::io::stdout().is_terminal() { harmless(&text) } else { text }
}

/// A value for a program, in one line of JSON.
///
/// # Errors
/// What can't be written so.
pub fn json(value: &(impl Serialize + ?Sized)) -> anyhow::Result<String> {
    Ok(escaped(&serde_json::to_string(value)?))
}

/// The same in many lines, which people look at, too.
///
/// # Errors
/// What can't be written so.
pub fn pretty_json(value: &(impl Serialize + ?Sized)) -> anyhow::Result<String> {
    Ok(escaped(&serde_json::to_string_pretty(value)?))
}

/// JSON that means the same and does a terminal no harm. All that is harmful is
/// in strings, but for the ends of its lines, and has four digits.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match is_harmful(c) && c != '\n' {
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => escaped.push(c),
        }
    }
    escaped
}

fn harmless(text: &str) -> String {
    text.split_inclusive(['\n', '\t'])
        .map(|part| {
            let inner = part.trim_end_matches(['\n', '\t']);
            plain(inner) + &part[inner.len()..]
        })
        .collect()
}

/// Prints a report of an error that somebody else has made.
pub fn tell_report(text: &str) {
    match text.strip_prefix("error:") {
        Some(rest) if in_color() => tell(format_args!("\x1b[1;31merror:\x1b[0m{rest}")),
        _ => tell(format_args!("{text}")),
    }
}

/// Passes on what a container has said.
///
/// # Errors
/// What the disk says.
pub fn pass_on(stream: Stream, bytes: &[u8]) -> anyhow::Result<More> {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let to: &mut dyn Write = match stream {
        Stream::Out => &mut out,
        Stream::Err => &mut err,
    };
    match to.write_all(bytes).and_then(|()| to.flush()) {
        Ok(()) => Ok(More::Wanted),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(More::Enough),
        Err(error) => Err(error).context("write what the container has said"),
    }
}

/// Puts `text` behind what `into` holds, but for what would change more of a
/// terminal than a colour: a title, the clipboard, what is typed next.
pub fn escape(text: &[u8], into: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(text);
    let mut rest = &*text;
    while let Some(character) = rest.chars().next() {
        if let Some(length) = colour(rest) {
            into.extend_from_slice(&rest.as_bytes()[..length]);
            rest = &rest[length..];
            continue;
        }
        let length = character.len_utf8();
        match character {
            '\t' => into.push(b'\t'),
            // The terminal of a container ends its lines so.
            '\r' if rest.len() == 1 => {}
            _ if is_harmful(character) => {
                into.extend(character.escape_unicode().to_string().bytes());
            }
            _ => into.extend_from_slice(&rest.as_bytes()[..length]),
        }
        rest = &rest[length..];
    }
}

/// How long the sequence for a colour is that `text` begins with: SGR of
/// ECMA-48.
fn colour(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("\x1b[")?;
    let end = inner.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    inner[end..].starts_with('m').then_some(2 + end + 1)
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

/// A colour of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// The terminal's own.
    Plain,
    /// All is well.
    Green,
    /// Less than could be.
    Yellow,
    /// It fails.
    Red,
}

/// Whether words have colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// They have.
    Always,
    /// They have none.
    Never,
}

impl Paint {
    /// For what is printed with [`answer`].
    pub fn for_answers() -> Self {
        match std::io::stdout().is_terminal() && wants_color() {
            true => Self::Always,
            false => Self::Never,
        }
    }

    /// The word in its colour.
    pub fn word(self, colour: Colour, word: &str) -> String {
        let number = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
            Colour::Plain => return word.to_owned(),
        };
        self.escaped(number, word)
    }

    /// The words in bold.
    pub fn strong(self, words: &str) -> String {
        self.escaped(1, words)
    }

    fn escaped(self, number: u8, words: &str) -> String {
        match self {
            Self::Always => format!("\x1b[{number}m{words}\x1b[0m"),
            Self::Never => words.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_lines_and_nothing_that_moves_it() {
        assert_eq!(harmless("a\tb\u{1b}[2J\n\r\n"), "a\tb\\u{1b}[2J\n\\r\n");
    }

    #[test]
    fn json_means_the_same_and_harms_nobody() {
        let value = ["a\u{1b}\n\u{7f}\u{9b}2J\u{202e}\u{2069}é\\"];
        let (line, lines) = (json(&value).unwrap(), pretty_json(&value).unwrap());
        assert!(!line.contains(is_harmful) && line.contains("\\u009b2J\\u202e\\u2069é"), "{line}");
        assert_eq!(lines, format!("[\n  {}\n]", &line[1..line.len() - 1]));
        assert_eq!(serde_json::from_str::<[String; 1]>(&lines).unwrap(), value);
    }

    #[test]
    fn a_repaint_clears_what_was_longer() {
        assert_eq!(repaint("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }

    #[test]
    fn colours_pass_and_nothing_else() {
        for (text, shown) in [
            ("plain \té", "plain \té"),
            ("\x1b[1;31mred\x1b[m", "\x1b[1;31mred\x1b[m"),
            ("\x1b]52;c;eA==\x07", "\\u{1b}]52;c;eA==\\u{7}"),
            ("\x1b[2J\x1b[", "\\u{1b}[2J\\u{1b}["),
            ("a\rb\r", "a\\u{d}b"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{202e}gpj.\u{2066}", "\\u{202e}gpj.\\u{2066}"),
        ] {
            let mut bytes = Vec::new();
            escape(text.as_bytes(), &mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), shown);
        }
        let mut bytes = Vec::new();
        escape(b"\xff\x1b", &mut bytes);
        assert_eq!(bytes, "\u{fffd}\\u{1b}".as_bytes());
    }
}
