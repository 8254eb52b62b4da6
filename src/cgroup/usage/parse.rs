//! The few forms that files of cgroups have.

/// Digits alone, and the newline behind them: not `max`, which a limit is
/// where there is none.
pub(super) fn count(text: &str) -> Option<u64> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Lines of a word and a number.
pub(super) struct Table(String);

impl Table {
    pub(super) fn of(text: String) -> Self {
        Self(text)
    }

    pub(super) fn get(&self, key: &str) -> Option<u64> {
        let line = |line: &str| line.strip_prefix(key)?.strip_prefix(' ').and_then(count);
        self.0.lines().find_map(line)
    }
}

/// In lines of a device and `KEY=NUMBER`s, the sum of all that are called
/// `key`.
pub(super) fn summed(text: &str, key: &str) -> u64 {
    let value = |word: &str| count(word.strip_prefix(key)?.strip_prefix('=')?);
    text.split_ascii_whitespace().filter_map(value).fold(0, u64::saturating_add)
}
