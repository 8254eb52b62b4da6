//! Single values of a process, as typed.

use anyhow::{Context, ensure};
use std::path::PathBuf;

/// Where programs are looked for, unless something else is asked for.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Reads what comes before the command: a JSON array of words, or one word as
/// it stands, blanks and all. An empty one is none.
pub fn entrypoint(text: &str) -> anyhow::Result<Vec<String>> {
    if text.starts_with('[') {
        return serde_json::from_str(text)
            .with_context(|| format!("{text:?} begins like a JSON array of strings but is none"));
    }
    Ok(if text.is_empty() { Vec::new() } else { vec![text.to_owned()] })
}

/// Reads an octal file mode creation mask.
pub fn umask(text: &str) -> anyhow::Result<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mask = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    mask.filter(|mask| *mask <= 0o777)
        .with_context(|| format!("{text:?} is not a mask: octal, from 0000 to 0777"))
}

/// Reads how willingly the kernel kills it for memory, from -1000 to 1000
/// (proc_pid_oom_score_adj(5)).
pub fn oom_score_adj(text: &str) -> anyhow::Result<i32> {
    let score = text.parse::<i32>().ok().filter(|score| (-1000..=1000).contains(score));
    score.with_context(|| format!("{text:?} is not a number from -1000 to 1000"))
}

/// Reads the working directory, absolute in the container.
pub fn workdir(text: &str) -> anyhow::Result<PathBuf> {
    ensure!(text.starts_with('/'), "{text:?} is not absolute");
    Ok(PathBuf::from(text))
}

/// Reads a host name as the kernel and resolvers take it: at most 64 letters,
/// digits, `-`, `.` and `_`, a letter or digit first.
pub fn hostname(text: &str) -> anyhow::Result<String> {
    ensure!(text.len() <= 64, "a host name has at most 64 characters, this one {}", text.len());
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    ensure!(
        text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && text.bytes().all(plain),
        "{text:?} is not a host name: letters, digits and -._ only, a letter or digit first"
    );
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entrypoints() {
        assert_eq!(entrypoint("/bin/my prog").unwrap(), ["/bin/my prog"]);
        assert_eq!(entrypoint(r#"["sh", "-c", "a, b"]"#).unwrap(), ["sh", "-c", "a, b"]);
        assert!(entrypoint("").unwrap().is_empty());
        for text in ["[", "[\"sh\"", "[1]", "[[\"sh\"]]"] {
            assert!(entrypoint(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(umask("0022").unwrap(), 0o22);
        assert_eq!(oom_score_adj("-1000").unwrap(), -1000);
        for text in ["", "8", "1000", "-1", "+7", "0o22"] {
            assert!(umask(text).is_err(), "{text:?} was taken");
        }
        for text in ["", "1001", "-1001", "x", "1.5"] {
            assert!(oom_score_adj(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        assert_eq!(hostname("web-1.lan").unwrap(), "web-1.lan");
        for text in ["", "a/b", "-a", ".", "a b", "a\n", "\u{1b}[2J", "é", &"x".repeat(300)] {
            assert!(hostname(text).is_err(), "{text:?} was taken");
        }
        for text in ["", "a", "./a", "~"] {
            assert!(workdir(text).is_err(), "{text:?} was taken");
        }
    }
}
