//! Lists of CPUs and of memory nodes: `0-3,7`; cpuset(7), "List format".

use std::collections::BTreeSet;

use anyhow::{Context, ensure};

/// The highest number of a CPU that a kernel can be built for.
const LAST: u32 = 8191;

/// The numbers in a list.
pub fn numbers(text: &str) -> anyhow::Result<BTreeSet<u32>> {
    let mut numbers = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first, text)?, number(last, text)?);
        ensure!(first <= last, "{part:?} goes downwards");
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

fn number(part: &str, text: &str) -> anyhow::Result<u32> {
    let digits = part.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| part.parse().ok()).flatten().filter(|number| *number <= LAST);
    number.with_context(|| format!("{text:?} is not a list as 0-3,7 of numbers to {LAST}"))
}

/// Checks a list, and gives it back as it was written; an empty one is none.
pub fn list(text: &str) -> anyhow::Result<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    numbers(text).map(|_| Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(numbers("0-3,7").unwrap(), BTreeSet::from([0, 1, 2, 3, 7]));
        assert_eq!(numbers("5,1,1-2").unwrap(), BTreeSet::from([1, 2, 5]));
        assert_eq!(list("").unwrap(), None);
        assert_eq!(list("0,2").unwrap().as_deref(), Some("0,2"));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            ",",
            "1,",
            "-1",
            "1-",
            "3-1",
            "1-2-3",
            "a",
            "0 1",
            "0\n",
            "+1",
            "8192",
            "0-9999999999",
            "all",
        ] {
            assert!(list(text).is_err(), "{text:?} was taken");
        }
    }
}
