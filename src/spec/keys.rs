//! `--detach-keys`: what is typed to leave a container running.

use std::str::FromStr;

use anyhow::{bail, ensure};

/// Keys that are typed one after the other; none of them is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    bytes: Vec<u8>,
    /// How many have been typed.
    typed: usize,
}

impl FromStr for Keys {
    type Err = anyhow::Error;

    /// Reads letters and `ctrl-LETTER`, with commas between; nothing is no
    /// keys.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        for key in text.split(',').filter(|_| !text.is_empty()) {
            let byte = match (key.strip_prefix("ctrl-"), key.as_bytes()) {
                (Some(control), _) => match control.to_ascii_lowercase().as_bytes() {
                    [letter @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => {
                        letter & 0x1f
                    }
                    _ => {
                        bail!("{key:?} is not a key: ctrl-a to ctrl-z, ctrl-@ and ctrl-[\\]^_ are")
                    }
                },
                (None, [byte @ b' '..=b'~']) => *byte,
                _ => bail!("{key:?} is not a key: a letter, or ctrl-LETTER, with commas between"),
            };
            bytes.push(byte);
        }
        ensure!(bytes.len() <= Self::MOST, "so many keys nobody types");
        Ok(Self { bytes, typed: 0 })
    }
}

impl Default for Keys {
    /// docker's: ctrl-p,ctrl-q.
    fn default() -> Self {
        Self { bytes: vec![0x10, 0x11], typed: 0 }
    }
}

impl Keys {
    /// The longest sequence of them.
    pub const MOST: usize = 32;

    /// Takes what was typed: what of it is to be passed on, and whether the
    /// keys were among it; what comes behind them is nobody's.
    pub fn take(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len() + self.typed);
        for byte in typed {
            if self.bytes.get(self.typed) == Some(byte) {
                self.typed += 1;
                if self.typed == self.bytes.len() {
                    self.typed = 0;
                    return (passed, true);
                }
                continue;
            }
            // They were not the keys after all, but may be their beginning.
            passed.extend_from_slice(&self.bytes[..self.typed]);
            self.typed = usize::from(self.bytes.first() == Some(byte));
            if self.typed == 0 {
                passed.push(*byte);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        let read = |text: &str| text.parse::<Keys>().map(|keys| keys.bytes);
        assert_eq!(read("ctrl-p,ctrl-q").unwrap(), Keys::default().bytes);
        assert_eq!(read("a,ctrl-[,ctrl-A").unwrap(), [b'a', 0x1b, 1]);
        assert!(read("").unwrap().is_empty());
        for text in ["ctrl-", "ctrl-1", "ab", ",", "é", "ctrl-p,", "\n"] {
            assert!(read(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn only_all_of_them_in_a_row_count() {
        let mut keys = Keys::default();
        assert_eq!(keys.take(b"a\x10b"), (b"a\x10b".to_vec(), false));
        assert_eq!(keys.take(b"\x10"), (vec![], false));
        assert_eq!(keys.take(b"\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.take(b"\x11rest"), (vec![], true));
        assert_eq!(keys.take(b"x"), (b"x".to_vec(), false));
        let mut none = "".parse::<Keys>().unwrap();
        assert_eq!(none.take(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
