//! What an error carries beside its text: what would help, and the exit code.
//!
//! An error is a chain: what was tried, on what, why not. [`Explain`] hangs a
//! hint or an exit code on it; both are silent links of the chain (they
//! display as nothing) that [`report`] and [`exit_code`] find again. Only
//! `main` prints.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use nix::errno::Errno;

/// `sublet` itself failed, before or instead of the payload.
pub const EXIT_LAUNCHER: u8 = 125;
/// A verb beside `run`: a container is not there, or not as it would have to be.
pub const EXIT_CONTAINER: u8 = 1;
/// The command was found but cannot be executed.
pub const EXIT_NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub const EXIT_NOT_FOUND: u8 = 127;

#[derive(Debug)]
struct Hint(String);

#[derive(Debug)]
struct Code(u8);

/// A silent link: it is looked up by type, never read as text.
macro_rules! silent {
    ($($link:ty),+) => {$(
        impl fmt::Display for $link {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                Ok(())
            }
        }
    )+};
}
silent!(Hint, Code);

/// Adds to an error what its text does not say.
pub trait Explain<T> {
    /// Says what would help: a command, a file, a flag. The outermost wins.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
    /// Says which code the process ends with, where it is not
    /// [`EXIT_LAUNCHER`].
    fn exits_with(self, code: u8) -> anyhow::Result<T>;
}

impl<T, E> Explain<T> for Result<T, E>
where
    Result<T, E>: anyhow::Context<T, E>,
{
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        anyhow::Context::with_context(self, || Hint(hint.into()))
    }

    fn exits_with(self, code: u8) -> anyhow::Result<T> {
        anyhow::Context::with_context(self, || Code(code))
    }
}

/// The code that the process should end with.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Code>().map_or(EXIT_LAUNCHER, |code| code.0)
}

/// What helps where no more files may be opened: a start takes what the hard
/// limit allows.
pub const MORE_FILES: &str = "no more files may be open: ulimit -n shows the limit, ulimit -Hn what \
     you may raise it to; LimitNOFILE= of a service and /etc/security/limits.conf give more";

/// What would help, if the error says so, or its cause alone does.
pub fn hint(error: &anyhow::Error) -> Option<&str> {
    let said = error.downcast_ref::<Hint>().map(|hint| hint.0.as_str());
    said.or_else(|| error.chain().any(is_out_of_files).then_some(MORE_FILES))
}

fn is_out_of_files(cause: &(dyn std::error::Error + 'static)) -> bool {
    let number = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    let errno = cause.downcast_ref::<Errno>().copied().or(number.map(Errno::from_raw));
    errno == Some(Errno::EMFILE)
}

/// The causes of an error, in one line.
pub fn causes(error: &anyhow::Error) -> String {
    let causes: Vec<String> =
        error.chain().map(ToString::to_string).filter(|text| !text.is_empty()).collect();
    causes.join(": ")
}

/// The whole error for a person: one line of causes, then the hint.
pub fn report(error: &anyhow::Error) -> String {
    let mut report = format!("error: {}", causes(error));
    if let Some(hint) = hint(error) {
        for (at, line) in hint.lines().enumerate() {
            report.push_str(if at == 0 { "\n hint: " } else { "\n       " });
            report.push_str(line);
        }
    }
    report
}

/// Whether a character changes more of a terminal than the cell it stands in:
/// it controls it, or turns the order of what is written around it, so that a
/// line reads as another one (Unicode's bidirectional controls, UAX 9).
pub fn is_harmful(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    );
    c.is_control() || turns
}

/// A stranger's words for a terminal: nothing harmful, no novels.
pub fn printable(text: &str) -> String {
    /// In characters.
    const MOST: usize = 500;
    let escape = |c: char| match is_harmful(c) {
        true => c.escape_default().collect(),
        false => String::from(c),
    };
    text.chars().take(MOST).map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_report_is_the_chain_and_the_hint() {
        let error = Err::<(), _>(anyhow!("No such file or directory (os error 2)"))
            .context("read /etc/subuid")
            .hint("give your user a range\nfor example alice:100000:65536")
            .exits_with(EXIT_NOT_FOUND)
            .unwrap_err();
        assert_eq!(
            report(&error),
            "error: read /etc/subuid: No such file or directory (os error 2)\n \
             hint: give your user a range\n       for example alice:100000:65536"
        );
        assert_eq!(exit_code(&error), EXIT_NOT_FOUND);
    }

    #[test]
    fn who_may_open_no_more_files_is_told_what_helps() {
        let full = || io::Error::from_raw_os_error(Errno::EMFILE as i32);
        let error = Err::<(), _>(full()).context("open it").unwrap_err();
        assert_eq!(hint(&error), Some(MORE_FILES));
        assert_eq!(hint(&anyhow!(Errno::EMFILE)), Some(MORE_FILES));
        assert_eq!(hint(&Err::<(), _>(full()).hint("another").unwrap_err()), Some("another"));
        assert_eq!(hint(&anyhow!(Errno::EACCES)), None);
    }

    #[test]
    fn what_turns_a_line_is_escaped_as_what_controls() {
        for c in "\x1b\n\u{9b}\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}".chars() {
            assert_eq!(printable(&format!("a{c}b")), format!("a{}b", c.escape_default()));
        }
        let letters = "aé\u{5d0}\u{200d}\u{2060}\u{206a}";
        assert_eq!(printable(letters), letters);
    }

    #[test]
    fn without_more_it_is_the_launchers_own_code() {
        assert_eq!(exit_code(&anyhow!("x")), EXIT_LAUNCHER);
        assert_eq!(report(&anyhow!("x")), "error: x");
    }
}
