//! What an answer is written on: a terminal with its width, or anything else.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use crate::sys::tty;

/// Where an answer goes, and what may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paper {
    /// Letters in a line, where there is an end to it.
    width: Option<usize>,
    color: bool,
    /// Letters beyond ASCII are understood.
    unicode: bool,
}

/// No line is broken to less, however narrow a terminal says it is.
const NARROWEST: usize = 20;

impl Paper {
    /// Standard output.
    pub fn of_output() -> Self {
        let out = std::io::stdout();
        let is_terminal = out.is_terminal();
        let width = tty::width(out.as_fd()).filter(|_| is_terminal);
        let width = width.map(|width| usize::from(width).max(NARROWEST));
        Self { width, color: is_terminal && super::terminal::wants_color(), unicode: is_utf8() }
    }

    /// Without colours, so wide.
    #[cfg(test)]
    pub fn plain(width: usize) -> Self {
        Self { width: Some(width), color: false, unicode: true }
    }

    /// The same for letters of ASCII alone.
    #[cfg(test)]
    pub fn ascii(width: usize) -> Self {
        Self { unicode: false, ..Self::plain(width) }
    }

    /// How many letters a line may have.
    pub fn width(self) -> usize {
        self.width.unwrap_or(usize::MAX)
    }

    /// Whether letters beyond ASCII are understood.
    pub fn is_unicode(self) -> bool {
        self.unicode
    }

    /// In bold letters.
    pub fn strong(self, text: &str) -> String {
        self.styled("1", text)
    }

    /// In faint letters.
    pub fn faint(self, text: &str) -> String {
        self.styled("2", text)
    }

    /// As something that is well.
    pub fn good(self, text: &str) -> String {
        self.styled("32", text)
    }

    /// As what belongs to the host.
    pub fn host(self, text: &str) -> String {
        self.styled("33", text)
    }

    /// As something that is not.
    pub fn bad(self, text: &str) -> String {
        self.styled("1;31", text)
    }

    /// As one of a series, each with a colour of its own.
    pub fn marked(self, number: usize, text: &str) -> String {
        const COLORS: [&str; 6] = ["1;33", "1;36", "1;35", "1;34", "1;32", "1;31"];
        self.styled(COLORS[number % COLORS.len()], text)
    }

    /// ECMA-48, SGR.
    fn styled(self, style: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\x1b[{style}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Whether the caller's locale is of UTF-8; locale(7).
fn is_utf8() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    locale.ends_with("utf-8") || locale.ends_with("utf8") || locale.contains("utf-8@")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_is_for_terminals() {
        let plain = Paper::plain(80);
        assert_eq!((plain.strong("a"), plain.marked(9, "b")), ("a".to_owned(), "b".to_owned()));
        let colored = Paper { color: true, ..plain };
        assert_eq!(colored.bad("a"), "\x1b[1;31ma\x1b[0m");
    }
}
